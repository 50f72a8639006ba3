/**
 * The smallest singular components of a matrix, by the eigenvectors of its Gram matrix: reduction to three diagonals, then the QL
 * algorithm with implicit shifts, in f64. Cubic in the shorter side: for what cannot be done otherwise (KaSA).
 *
 * Law: Golub & Van Loan, Matrix Computations, §8.3; PEFT tuners/lora/variants.py `KasaLinearVariant._truncate_base_weight`.
 */
import { InternalError } from '../core/errors.js'

const MOST_ITERATIONS = 60 // for one eigenvalue; two or three are usual

/**
 * Eigenvectors of the `count` smallest eigenvalues of a symmetric matrix, one after the other.
 * @param matrix  (size x size), symmetric; overwritten
 */
export function smallestEigenvectors(matrix: Float64Array, size: number, count: number): Float64Array {
  const { diagonal, offDiagonal } = tridiagonalize(matrix, size)
  diagonalize(diagonal, offDiagonal, matrix, size)
  const order = Array.from(diagonal, (value, i) => ({ value, i })).sort((a, b) => a.value - b.value || a.i - b.i)
  const vectors = new Float64Array(count * size)
  order.slice(0, count).forEach(({ i }, n) => vectors.set(matrix.subarray(i * size, (i + 1) * size), n * size))
  return vectors
}

/**
 * Householder's reduction: A = Pᵀ·T·P. `matrix` becomes P, whose ROWS are turned into eigenvectors later: rows lie together in memory.
 */
function tridiagonalize(matrix: Float64Array, size: number): { diagonal: Float64Array; offDiagonal: Float64Array } {
  const [diagonal, offDiagonal] = [new Float64Array(size), new Float64Array(size)]
  const factors = new Float64Array(size)
  const p = new Float64Array(size)
  for (let k = 0; k < size - 2; k++) {
    const v = matrix.subarray(k * size, (k + 1) * size) // row k, by symmetry the column
    const norm = Math.sqrt(squares(v, k + 1))
    offDiagonal[k] = v[k + 1]! > 0 ? -norm : norm
    if (norm === 0) continue
    v[k + 1]! -= offDiagonal[k]!
    const factor = 2 / squares(v, k + 1)
    factors[k] = factor
    subtractRankTwo(matrix, size, k, factor, p)
  }
  for (let i = 0; i < size; i++) diagonal[i] = matrix[i * size + i]!
  if (size > 1) offDiagonal[size - 2] = matrix[(size - 2) * size + size - 1]!
  accumulate(matrix, size, factors)
  return { diagonal, offDiagonal }
}

/** A ← H·A·H for the mirror H of row k, on the part behind it. */
function subtractRankTwo(matrix: Float64Array, size: number, k: number, factor: number, p: Float64Array): void {
  const v = matrix.subarray(k * size, (k + 1) * size)
  let projection = 0
  for (let i = k + 1; i < size; i++) {
    let sum = 0
    for (let j = k + 1; j < size; j++) sum += matrix[i * size + j]! * v[j]!
    p[i] = factor * sum
    projection += p[i]! * v[i]!
  }
  const half = (factor * projection) / 2
  for (let i = k + 1; i < size; i++) p[i]! -= half * v[i]!
  for (let i = k + 1; i < size; i++) {
    const [vi, pi] = [v[i]!, p[i]!]
    for (let j = k + 1; j < size; j++) matrix[i * size + j]! -= vi * p[j]! + pi * v[j]!
  }
}

/** The product of all mirrors, in place of their vectors, transposed. */
function accumulate(matrix: Float64Array, size: number, factors: Float64Array): void {
  const mirrors = Array.from({ length: Math.max(0, size - 2) }, (_, k) => matrix.slice(k * size, (k + 1) * size))
  matrix.fill(0)
  for (let i = 0; i < size; i++) matrix[i * size + i] = 1
  for (let k = size - 3; k >= 0; k--) {
    const v = mirrors[k]!
    const factor = factors[k]!
    if (factor === 0) continue
    for (let row = k + 1; row < size; row++) {
      const own = matrix.subarray(row * size, (row + 1) * size)
      let sum = 0
      for (let j = k + 1; j < size; j++) sum += own[j]! * v[j]!
      for (let j = k + 1; j < size; j++) own[j]! -= factor * sum * v[j]!
    }
  }
}

/** QL with implicit shifts; rotations go into the rows of `vectors`. */
function diagonalize(d: Float64Array, e: Float64Array, vectors: Float64Array, size: number): void {
  for (let low = 0; low < size; low++) {
    for (let iteration = 0; ; iteration++) {
      let end = low
      while (end < size - 1 && Math.abs(e[end]!) > Number.EPSILON * (Math.abs(d[end]!) + Math.abs(d[end + 1]!))) end++
      if (end === low) break
      if (iteration === MOST_ITERATIONS) throw new InternalError('the singular values of a matrix were not found')
      sweep(d, e, vectors, size, low, end)
    }
  }
}

function sweep(d: Float64Array, e: Float64Array, vectors: Float64Array, size: number, low: number, end: number): void {
  const slope = (d[low + 1]! - d[low]!) / (2 * e[low]!)
  const root = Math.hypot(slope, 1)
  let g = d[end]! - d[low]! + e[low]! / (slope + (slope < 0 ? -root : root))
  let [sine, cosine, shift] = [1, 1, 0]
  for (let i = end - 1; i >= low; i--) {
    const [f, b] = [sine * e[i]!, cosine * e[i]!]
    const length = Math.hypot(f, g)
    e[i + 1] = length
    if (length === 0) {
      d[i + 1]! -= shift
      e[end] = 0
      return
    }
    sine = f / length
    cosine = g / length
    g = d[i + 1]! - shift
    const r = (d[i]! - g) * sine + 2 * cosine * b
    shift = sine * r
    d[i + 1] = g + shift
    g = cosine * r - b
    rotateRows(vectors, size, i, sine, cosine)
  }
  d[low]! -= shift
  e[low] = g
  e[end] = 0
}

function rotateRows(vectors: Float64Array, size: number, i: number, sine: number, cosine: number): void {
  const upper = vectors.subarray(i * size, (i + 1) * size)
  const lower = vectors.subarray((i + 1) * size, (i + 2) * size)
  for (let k = 0; k < size; k++) {
    const value = lower[k]!
    lower[k] = sine * upper[k]! + cosine * value
    upper[k] = cosine * upper[k]! - sine * value
  }
}

function squares(values: Float64Array, from: number): number {
  let sum = 0
  for (let i = from; i < values.length; i++) sum += values[i]! * values[i]!
  return sum
}
