/**
 * What the nodes of adapters mean that store little and make much of it: circulant blocks, mixtures of a bank's vectors, single elements, and products over all rows.
 */
import { MismatchError } from '../core/errors.js'
import { programShape } from '../core/row-program.js'
import { placeOfTensor, type TensorInfo } from '../core/tensor-info.js'
import { mixRows, sharesOfLogits, sharesOfWeights, type Shares } from '../merge/mixtures.js'
import { panels, whole, type Bench, type Node } from './operations-adapters.js'

export function evaluateCirculant(bench: Bench, { input, size }: Node<'circulant'>, first: number, into: Float32Array): void {
  const { cols } = programShape(input)
  const kernels = whole(bench, input)
  for (let row = 0; row < into.length / cols; row++) {
    const block = Math.floor((first + row) / size)
    const turn = (first + row) % size
    for (let start = 0; start < cols; start += size) {
      const kernel = kernels.subarray(block * cols + start, block * cols + start + size)
      const to = row * cols + start
      into.set(kernel.subarray(size - turn), to)
      into.set(kernel.subarray(0, size - turn), to + turn)
    }
  }
}

export function evaluateMixture(bench: Bench, program: Node<'mixture'>, first: number, into: Float32Array): void {
  const { cols } = programShape(program.bank)
  const shares = bench.prepared(program, () => readShares(bench, program))
  mixRows(shares, whole(bench, program.bank), cols, first, into)
}

function readShares(bench: Bench, { bank, choice }: Node<'mixture'>): Shares {
  const { rows: choices } = programShape(bank)
  if (choice.by === 'logits') return sharesOfLogits(bench.stored(choice.logits), choices, choice.top)
  const ids = bench.integers(choice.ids)
  checkBelow(choice.ids, ids, choices, 'vectors in the bank')
  return sharesOfWeights(bench.stored(choice.weights), ids, choice.ids.shape.at(-1) ?? 1)
}

/** Elements by row: those of row i are `starts[i]` to `starts[i + 1]`. */
interface Scattered {
  readonly starts: Uint32Array
  readonly cols: Uint32Array
  readonly values: Float32Array
}

export function evaluateScatter(bench: Bench, program: Node<'scatter'>, first: number, into: Float32Array): void {
  const { cols } = program
  const scattered = bench.prepared(program, () => sortByRow(bench, program))
  into.fill(0)
  for (let row = 0; row < into.length / cols; row++) {
    for (let i = scattered.starts[first + row]!; i < scattered.starts[first + row + 1]!; i++) {
      const at = row * cols + scattered.cols[i]!
      into[at] = Math.fround(into[at]! + scattered.values[i]!)
    }
  }
}

function sortByRow(bench: Bench, { rows, cols, positions, values }: Node<'scatter'>): Scattered {
  const count = programShape(values).rows
  const stored = bench.integers(positions)
  const isPairs = positions.shape.length === 2
  checkBelow(positions, isPairs ? stored.subarray(0, count) : stored, isPairs ? rows : rows * cols, isPairs ? 'rows' : 'elements')
  if (isPairs) checkBelow(positions, stored.subarray(count), cols, 'columns', count)
  const rowOf = (i: number): number => (isPairs ? stored[i]! : Math.floor(stored[i]! / cols))
  const scattered: Scattered = { starts: new Uint32Array(rows + 1), cols: new Uint32Array(count), values: new Float32Array(count) }
  for (let i = 0; i < count; i++) scattered.starts[rowOf(i) + 1]!++
  for (let row = 0; row < rows; row++) scattered.starts[row + 1]! += scattered.starts[row]!
  const next = scattered.starts.slice()
  const all = whole(bench, values)
  for (let i = 0; i < count; i++) {
    const to = next[rowOf(i)]!++
    scattered.cols[to] = isPairs ? stored[count + i]! : stored[i]! % cols
    scattered.values[to] = all[i]!
  }
  return scattered
}

function checkBelow(tensor: TensorInfo, ids: Float64Array, limit: number, what: string, from = 0): void {
  const index = ids.findIndex((id) => !(id >= 0 && id < limit && Number.isInteger(id)))
  if (index < 0) return
  throw new MismatchError(
    `element ${from + index} is ${ids[index]}, but there are ${limit} ${what}. Is it the base that the adapter was trained on?`,
    placeOfTensor(tensor),
  )
}

export function evaluateTransposedProduct(bench: Bench, program: Node<'transposedProduct'>, first: number, into: Float32Array): void {
  const { left, right } = program
  const { rows, cols } = programShape(program)
  const product = bench.kept(program, rows * cols, (values) => {
    const sums = new Float64Array(rows * cols)
    const all = whole(bench, left)
    panels(bench, right, (panel, firstRow) => {
      for (let row = 0; row < panel.length / cols; row++) {
        for (let i = 0; i < rows; i++) {
          const factor = all[(firstRow + row) * rows + i]!
          for (let col = 0; col < cols; col++) sums[i * cols + col]! += factor * panel[row * cols + col]!
        }
      }
    })
    values.set(sums)
  })
  into.set(product.subarray(first * cols, first * cols + into.length))
}
