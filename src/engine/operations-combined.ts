/**
 * What the nodes of combined adapters mean: sums of pruned factors, products cut to a rank. The arithmetic is that of src/merge/pruned-sum.ts and
 * src/merge/truncation.ts; this file brings rows and preparations together.
 */
import { programShape } from '../core/row-program.js'
import { prune, weightedSum } from '../merge/pruned-sum.js'
import { addRows, truncation } from '../merge/truncation.js'
import { PANEL_ELEMENTS, panels, whole, type Bench, type Node } from './operations-adapters.js'

export function evaluatePrunedSum(bench: Bench, program: Node<'prunedSum'>, first: number, into: Float32Array): void {
  const { rows, cols } = programShape(program)
  const sum = bench.kept(program, rows * cols, (all) => {
    bench.borrowFloats(program.parts.length * all.length, (buffer) => {
      const matrices = program.parts.map(({ input }, i) => {
        const values = buffer.subarray(i * all.length, (i + 1) * all.length)
        bench.rows(input, 0, values)
        prune(values, program.density)
        return values
      })
      const weights = program.parts.map(({ weight }) => weight)
      weightedSum(matrices, weights, program, all)
    })
  })
  into.set(sum.subarray(first * cols, first * cols + into.length))
}

/** What remains of B once per tile, of A once per tensor; their product is that of every low-rank update. */
export function evaluateTruncatedProduct(bench: Bench, program: Node<'truncatedProduct'>, first: number, into: Float32Array): void {
  const { rows: size, cols } = programShape(program.A)
  const { left, A, rank } = bench.prepared(program, () => shortFactors(bench, program))
  if (rank === 0) return void into.fill(0)
  const rows = into.length / cols
  bench.borrowFloats(rows * (size + rank), (buffer) => {
    const [long, short] = [buffer.subarray(0, rows * size), buffer.subarray(rows * size)]
    bench.unmeasured(() => bench.rows(program.B, first, long))
    for (let row = 0; row < rows; row++)
      for (let n = 0; n < rank; n++) {
        let sum = 0
        for (let k = 0; k < size; k++) sum += long[row * size + k]! * left[k * rank + n]!
        short[row * rank + n] = sum
      }
    bench.arithmetic.lowRank(short, A, 1, rank, cols, into)
  })
}

/** What B is multiplied with, and what is left of A (rank x cols). */
function shortFactors(bench: Bench, { B, A, rank: most }: Node<'truncatedProduct'>): { left: Float64Array; A: Float32Array; rank: number } {
  const { rows: size, cols } = programShape(A)
  const R = new Float64Array(size * size)
  panels(bench, B, (values) => addRows(R, size, Float64Array.from(values)))
  const long = whole(bench, A)
  const { left, right, rank } = truncation(R, triangleOfColumns(long, size), size, most)
  const short = new Float32Array(rank * cols)
  for (let col = 0; col < cols; col++)
    for (let n = 0; n < rank; n++) {
      let sum = 0
      for (let k = 0; k < size; k++) sum += right[n * size + k]! * long[k * cols + col]!
      short[n * cols + col] = sum
    }
  return { left, A: short, rank }
}

/** The triangle of Aᵀ, by some columns of A (size x cols) at a time. */
function triangleOfColumns(A: Float32Array, size: number): Float64Array {
  const cols = A.length / size
  const S = new Float64Array(size * size)
  const most = Math.max(1, Math.floor(PANEL_ELEMENTS / size))
  for (let first = 0; first < cols; first += most) {
    const count = Math.min(most, cols - first)
    addRows(
      S,
      size,
      Float64Array.from({ length: count * size }, (_, i) => A[(i % size) * cols + first + Math.floor(i / size)]!),
    )
  }
  return S
}
