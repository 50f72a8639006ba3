/**
 * What the nodes of combined adapters mean: sums of pruned factors, products cut to a rank. The arithmetic is that of src/merge/pruned-sum.ts and
 * src/merge/truncation.ts; this file brings rows and preparations together.
 */
import { programShape, type RowProgram } from '../core/row-program.js'
import { prune, weightedSum } from '../merge/pruned-sum.js'
import { addRows, truncation, type Truncation } from '../merge/truncation.js'
import { PANEL_ELEMENTS, panels, type Bench, type Node } from './operations-adapters.js'

export function evaluatePrunedSum(bench: Bench, program: Node<'prunedSum'>, first: number, into: Float32Array): void {
  const { rows, cols } = programShape(program)
  const { parts, density } = program
  const count = rows * cols
  const sum = bench.kept(program, count, (all) => {
    bench.borrowFloats((parts.length + 2) * count, (buffer) => {
      const [keys, ids, ...matrices] = Array.from({ length: parts.length + 2 }, (_, i) => buffer.subarray(i * count, (i + 1) * count))
      if (keys === undefined || ids === undefined) return
      const ranking = { keys, ids: new Uint32Array(ids.buffer, ids.byteOffset, count) }
      parts.forEach(({ input }, i) => {
        bench.rows(input, 0, matrices[i]!)
        prune(matrices[i]!, density, ranking)
      })
      const weights = parts.map(({ weight }) => weight)
      weightedSum(matrices, weights, program, all)
    })
  })
  into.set(sum.subarray(first * cols, first * cols + into.length))
}

/** What is left of B is computed for each tile, of A once; their product is that of every low-rank update. */
export function evaluateTruncatedProduct(bench: Bench, program: Node<'truncatedProduct'>, first: number, into: Float32Array): void {
  const { rows: size, cols } = programShape(program.A)
  const found = bench.prepared(program, () => truncationOf(bench, program))
  const { left, rank } = found
  if (rank === 0) return void into.fill(0)
  const A = bench.kept(program, bench.arithmetic.packedElements(rank, cols), (packed) => packShort(bench, program.A, found, packed))
  const rows = into.length / cols
  bench.borrowFloats(rows * (size + rank), (buffer) => {
    const [long, B] = [buffer.subarray(0, rows * size), buffer.subarray(rows * size)]
    bench.unmeasured(() => bench.rows(program.B, first, long))
    for (let row = 0; row < rows; row++)
      for (let n = 0; n < rank; n++) {
        let sum = 0
        for (let k = 0; k < size; k++) sum += long[row * size + k]! * left[k * rank + n]!
        B[row * rank + n] = sum
      }
    bench.arithmetic.product({ B, A, scale: 1, rank, cols }, into)
  })
}

function truncationOf(bench: Bench, { B, A, rank }: Node<'truncatedProduct'>): Truncation {
  const size = programShape(A).rows
  const R = new Float64Array(size * size)
  const panel = new Float64Array(Math.max(PANEL_ELEMENTS, size))
  panels(bench, B, (values) => {
    const count = values.length / size
    for (let k = 0; k < size; k++) for (let row = 0; row < count; row++) panel[k * count + row] = values[row * size + k]!
    addRows(R, size, panel.subarray(0, values.length))
  })
  const S = new Float64Array(size * size)
  withAll(bench, A, (values) => addColumns(S, size, values, panel))
  return truncation(R, S, size, rank)
}

/** What is left of A: (rank x cols), packed row by row. */
function packShort(bench: Bench, A: RowProgram, { right, rank }: Truncation, packed: Float32Array): void {
  const { rows: size, cols } = programShape(A)
  const sums = new Float64Array(cols)
  withAll(bench, A, (long) =>
    bench.borrowFloats(cols, (row) => {
      for (let n = 0; n < rank; n++) {
        sums.fill(0)
        for (let k = 0; k < size; k++) {
          const factor = right[n * size + k]!
          for (let col = 0; col < cols; col++) sums[col]! += factor * long[k * cols + col]!
        }
        row.set(sums)
        bench.arithmetic.packRows(row, n, rank, cols, packed)
      }
    }),
  )
}

function withAll(bench: Bench, program: RowProgram, use: (values: Float32Array) => void): void {
  const { rows, cols } = programShape(program)
  bench.borrowFloats(rows * cols, (values) => {
    bench.rows(program, 0, values)
    use(values)
  })
}

/** Takes the columns of A (size x any number), as rows of Aᵀ, into a triangle. @param panel  holds some of them at a time */
function addColumns(S: Float64Array, size: number, A: Float32Array, panel: Float64Array): void {
  const cols = A.length / size
  const most = Math.floor(panel.length / size)
  for (let first = 0; first < cols; first += most) {
    const count = Math.min(most, cols - first)
    for (let k = 0; k < size; k++) panel.set(A.subarray(k * cols + first, k * cols + first + count), k * count)
    addRows(S, size, panel.subarray(0, count * size))
  }
}
