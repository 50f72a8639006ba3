/**
 * What the nodes of orthogonal adapters mean: blocks that rotate the columns of each row, mirrors, pairs of rows, orthonormal bases. The arithmetic is that of
 * src/merge/orthogonal.ts; this file brings rows and preparations together.
 */
import { permutedRow } from '../core/row-order.js'
import { programShape } from '../core/row-program.js'
import { cayley, differenceSquares, mirrors, orthonormalColumns, reflectRows } from '../merge/orthogonal.js'
import { smallestEigenvectors } from '../merge/smallest-components.js'
import { panels, whole, type Bench, type Node } from './operations-adapters.js'

export function evaluateCayley(bench: Bench, program: Node<'cayley'>, first: number, into: Float32Array): void {
  const { input, size, form } = program
  const { cols } = programShape(input)
  const block = size * size
  const by = shrinking(bench, program)
  const [from, to] = [Math.floor(first / size), Math.ceil((first + into.length / size) / size)]
  bench.borrowFloats((to - from) * (cols + block), (buffer) => {
    const [values, blocks] = [buffer.subarray(0, (to - from) * cols), buffer.subarray((to - from) * cols)]
    bench.rows(input, from, values)
    for (let i = 0; i < to - from; i++) cayley(values.subarray(i * cols, (i + 1) * cols), size, form, blocks.subarray(i * block, (i + 1) * block), by)
    into.set(blocks.subarray((first - from * size) * size, (first - from * size) * size + into.length))
  })
}

/** What blocks are multiplied with so that all together are no longer than they may be. */
function shrinking(bench: Bench, program: Node<'cayley'>): number {
  const { together, size } = program
  if (together === undefined) return 1
  return bench.prepared(program, () => {
    let squares = 0
    panels(bench, together.blocks, (rows) => (squares += differenceSquares(rows, size)))
    const norm = Math.sqrt(squares) + 1e-8 // as LyCORIS and sd-scripts have it
    return { by: norm > together.limit ? together.limit / norm : 1 }
  }).by
}

/** Of each block the wanted rows, times all the rows that it turns. */
export function evaluateRotateRows(bench: Bench, { input, blocks }: Node<'rotateRows'>, first: number, into: Float32Array): void {
  const { cols } = programShape(input)
  const { cols: size } = programShape(blocks)
  const turns = whole(bench, blocks)
  const [low, end] = [first - (first % size), first + into.length / cols]
  bench.borrowFloats(size * cols, (before) => {
    for (let row = low; row < end; row += size) {
      const [from, to] = [Math.max(first, row), Math.min(end, row + size)]
      bench.rows(input, row, before)
      bench.arithmetic.lowRank(turns.subarray(from * size, to * size), before, 1, size, cols, into.subarray((from - first) * cols, (to - first) * cols))
    }
  })
}

/** Pieces of the same block lie together, so that the kernel of low-rank updates multiplies them: rank and columns are both the block's size. */
export function evaluateRotateColumns(bench: Bench, program: Node<'rotateColumns'>, first: number, into: Float32Array): void {
  const { input, blocks, columns } = program
  const { cols } = programShape(input)
  const { rows: blockRows, cols: size } = programShape(blocks)
  const turned = bench.kept(program, blockRows * size, (kept) => transposeBlocks(whole(bench, blocks), size, kept))
  const place = columns && Uint32Array.from({ length: cols }, (_, col) => permutedRow(columns.shape, columns.order, col))
  const rows = into.length / cols
  bench.rows(input, first, into)
  bench.borrowFloats(2 * rows * size, (buffer) => {
    const [pieces, rotated] = [buffer.subarray(0, rows * size), buffer.subarray(rows * size)]
    for (let start = 0; start < cols; start += size) {
      const at = (row: number, i: number): number => row * cols + (place === undefined ? start + i : place[start + i]!)
      for (let row = 0; row < rows; row++) for (let i = 0; i < size; i++) pieces[row * size + i] = into[at(row, i)]!
      const block = blockRows === size ? 0 : start * size
      bench.arithmetic.lowRank(pieces, turned.subarray(block, block + size * size), 1, size, size, rotated)
      for (let row = 0; row < rows; row++) for (let i = 0; i < size; i++) into[at(row, i)] = rotated[row * size + i]!
    }
  })
}

function transposeBlocks(blocks: Float32Array, size: number, into: Float32Array): void {
  const block = size * size
  for (let i = 0; i < blocks.length; i++) {
    const [row, col] = [Math.floor((i % block) / size), i % size]
    into[i - (i % block) + col * size + row] = blocks[i]!
  }
}

export function evaluateReflectColumns(bench: Bench, program: Node<'reflectColumns'>, first: number, into: Float32Array): void {
  const { input, vectors, orthogonal } = program
  const found = bench.prepared(program, () => mirrors(whole(bench, vectors), programShape(vectors).cols, orthogonal))
  bench.rows(input, first, into)
  reflectRows(into, found)
}

export function evaluateRotatePairs(bench: Bench, program: Node<'rotatePairs'>, first: number, into: Float32Array): void {
  const { input, group } = program
  const { rows, cols } = programShape(input)
  const [own, other] = [whole(bench, program.first), whole(bench, program.second)]
  const count = into.length / cols
  // whole groups, which hold both of every pair
  const low = first - (first % group)
  const high = Math.min(rows, Math.ceil((first + count) / group) * group)
  bench.borrowFloats((high - low) * cols, (all) => {
    bench.rows(input, low, all)
    for (let row = 0; row < count; row++) {
      const index = first + row
      const isLower = index % group < group / 2
      const [a, b] = [own[index]!, isLower ? -other[index]! : other[index]!]
      const [from, to] = [(index - low) * cols, row * cols]
      const partner = from + (isLower ? 1 : -1) * (group / 2) * cols
      for (let col = 0; col < cols; col++) into[to + col] = Math.fround(Math.fround(a * all[from + col]!) + Math.fround(b * all[partner + col]!))
    }
  })
}

export function evaluateOrthonormal(bench: Bench, program: Node<'orthonormal'>, first: number, into: Float32Array): void {
  const { rows, cols } = programShape(program)
  const basis = bench.kept(program, rows * cols, (values) => {
    bench.rows(program.input, 0, values)
    orthonormalColumns(values, cols)
  })
  into.set(basis.subarray(first * cols, first * cols + into.length))
}

/** Each row loses what it has of the smallest right singular vectors; of a wide matrix the rows together lose what they have of the left ones. */
export function evaluateDropSmallest(bench: Bench, program: Node<'dropSmallest'>, first: number, into: Float32Array): void {
  const { input, count } = program
  const { rows, cols } = programShape(input)
  const isWide = rows < cols
  const { left, right } = bench.prepared(program, () => {
    const vectors = smallestEigenvectors(gram(bench, program, isWide), Math.min(rows, cols), count)
    return isWide ? { left: vectors, right: projected(bench, program, vectors) } : { left: undefined, right: vectors }
  })
  bench.rows(input, first, into)
  const row = new Float64Array(cols)
  for (let start = 0; start < into.length; start += cols) {
    row.set(into.subarray(start, start + cols))
    for (let i = 0; i < count; i++) {
      const vector = right.subarray(i * cols, (i + 1) * cols)
      const share = left === undefined ? vector.reduce((sum, value, col) => sum + value * into[start + col]!, 0) : left[i * rows + first + start / cols]!
      for (let col = 0; col < cols; col++) row[col]! -= share * vector[col]!
    }
    into.set(row, start)
  }
}

/** W·Wᵀ or Wᵀ·W, whichever is smaller. */
function gram(bench: Bench, { input }: Node<'dropSmallest'>, isWide: boolean): Float64Array {
  const { rows, cols } = programShape(input)
  const size = Math.min(rows, cols)
  const sums = new Float64Array(size * size)
  if (isWide) {
    const all = whole(bench, input)
    for (let i = 0; i < rows; i++)
      for (let j = 0; j <= i; j++) {
        let sum = 0
        for (let col = 0; col < cols; col++) sum += all[i * cols + col]! * all[j * cols + col]!
        sums[i * size + j] = sums[j * size + i] = sum
      }
    return sums
  }
  panels(bench, input, (values) => {
    for (let start = 0; start < values.length; start += cols)
      for (let i = 0; i < cols; i++) {
        const value = values[start + i]!
        for (let j = 0; j < cols; j++) sums[i * size + j]! += value * values[start + j]!
      }
  })
  return sums
}

/** `vectors` (count x rows) · W: (count x cols). */
function projected(bench: Bench, { input, count }: Node<'dropSmallest'>, vectors: Float64Array): Float64Array {
  const { rows, cols } = programShape(input)
  const sums = new Float64Array(count * cols)
  panels(bench, input, (values, firstRow) => {
    for (let row = 0; row < values.length / cols; row++)
      for (let i = 0; i < count; i++) {
        const share = vectors[i * rows + firstRow + row]!
        for (let col = 0; col < cols; col++) sums[i * cols + col]! += share * values[row * cols + col]!
      }
  })
  return sums
}
