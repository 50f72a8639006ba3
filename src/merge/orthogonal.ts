/**
 * Orthogonal matrices of adapters: rotations from skew-symmetric blocks (Cayley), mirrors (Householder), orthonormal bases. All in f64, rounded to
 * f32 once at the end: these are small, and peers differ in their last bits anyway.
 *
 * Law: PEFT tuners/oft/layer.py `_cayley_batch`, `_project_batch`; tuners/boft/layer.py `cayley_batch`; tuners/hra/layer.py; LAPACK dgeqrf for signs.
 */
import type { CayleyForm } from '../core/adapter-nodes.js'
import { dot, addMultiple } from './vectors.js'

/**
 * One block: `into` (size x size) becomes the orthogonal matrix of `values`.
 * @param values  the upper triangle row by row, without diagonal (`skew`), or size x size, whose difference with its transpose, or half of it, is meant
 * @param by      what the skew-symmetric block is multiplied with first
 */
export function cayley(values: Float32Array, size: number, { holds, series, limit, inverse = false }: CayleyForm, into: Float32Array, by = 1): void {
  const Q = holds === 'skew' ? fromTriangle(values, size) : skewPart(values, size, holds === 'full' ? 0.5 : 1)
  if (by !== 1) for (let i = 0; i < Q.length; i++) Q[i]! *= by
  if (limit !== undefined) shorten(Q, limit)
  if (inverse) for (let i = 0; i < Q.length; i++) Q[i] = -Q[i]!
  into.set(series === undefined ? exactCayley(Q, size) : cayleySeries(Q, size, series.terms, series.halvesLast))
}

function fromTriangle(values: Float32Array, size: number): Float64Array {
  const Q = new Float64Array(size * size)
  let next = 0
  for (let i = 0; i < size; i++) {
    for (let j = i + 1; j < size; j++) {
      const value = values[next++]!
      Q[i * size + j] = value
      Q[j * size + i] = -value
    }
  }
  return Q
}

function skewPart(values: Float32Array, size: number, by: number): Float64Array {
  const Q = new Float64Array(size * size)
  for (let i = 0; i < size; i++) for (let j = 0; j < size; j++) Q[i * size + j] = by * (values[i * size + j]! - values[j * size + i]!)
  return Q
}

/** Sum of squares of the differences of blocks (size x size, one in a row each) with their transposes. */
export function differenceSquares(rows: Float32Array, size: number): number {
  let squares = 0
  for (let start = 0; start < rows.length; start += size * size)
    for (let i = 0; i < size; i++) for (let j = 0; j < i; j++) squares += 2 * (rows[start + i * size + j]! - rows[start + j * size + i]!) ** 2
  return squares
}

function shorten(Q: Float64Array, limit: number): void {
  const norm = Math.sqrt(Q.reduce((sum, value) => sum + value * value, 0))
  if (norm > limit) for (let i = 0; i < Q.length; i++) Q[i]! *= limit / norm
}

/** (I − Q)(I + Q)⁻¹ = (I + Q)⁻¹(I − Q), by elimination with pivots; I + Q is never singular, for Q is skew. */
function exactCayley(Q: Float64Array, size: number): Float64Array {
  const left = Q.map((value, i) => (i % (size + 1) === 0 ? 1 + value : value))
  const right = Q.map((value, i) => (i % (size + 1) === 0 ? 1 - value : -value))
  for (let pivot = 0; pivot < size; pivot++) {
    let best = pivot
    for (let row = pivot + 1; row < size; row++) if (Math.abs(left[row * size + pivot]!) > Math.abs(left[best * size + pivot]!)) best = row
    if (best !== pivot) for (const matrix of [left, right]) swapRows(matrix, size, pivot, best)
    for (let row = pivot + 1; row < size; row++) {
      const factor = left[row * size + pivot]! / left[pivot * size + pivot]!
      if (factor === 0) continue
      for (let col = pivot; col < size; col++) left[row * size + col]! -= factor * left[pivot * size + col]!
      for (let col = 0; col < size; col++) right[row * size + col]! -= factor * right[pivot * size + col]!
    }
  }
  for (let row = size - 1; row >= 0; row--) {
    for (let below = row + 1; below < size; below++) {
      const factor = left[row * size + below]!
      for (let col = 0; col < size; col++) right[row * size + col]! -= factor * right[below * size + col]!
    }
    for (let col = 0; col < size; col++) right[row * size + col]! /= left[row * size + row]!
  }
  return right
}

function swapRows(matrix: Float64Array, size: number, a: number, b: number): void {
  const row = matrix.slice(a * size, (a + 1) * size)
  matrix.copyWithin(a * size, b * size, (b + 1) * size)
  matrix.set(row, b * size)
}

/** I + 2Q + 2Q² + …: `terms` of them as PEFT counts, which has one power more when the last counts once. */
function cayleySeries(Q: Float64Array, size: number, terms: number, halvesLast: boolean): Float64Array {
  const sum = Q.map((_, i) => (i % (size + 1) === 0 ? 1 : 0))
  const addPower = (power: Float64Array, factor: number): void => power.forEach((value, i) => void (sum[i]! += factor * value))
  if (terms > 1) addPower(Q, 2)
  if (terms <= 2) return sum
  let power = times(Q, Q, size)
  addPower(power, 2)
  for (let i = 3; i < (halvesLast ? terms - 1 : terms); i++) {
    power = times(power, Q, size)
    addPower(power, 2)
  }
  if (halvesLast) addPower(times(power, Q, size), 1)
  return sum
}

function times(left: Float64Array, right: Float64Array, size: number): Float64Array {
  const product = new Float64Array(size * size)
  for (let i = 0; i < size; i++) {
    for (let k = 0; k < size; k++) {
      const factor = left[i * size + k]!
      if (factor !== 0) for (let j = 0; j < size; j++) product[i * size + j]! += factor * right[k * size + j]!
    }
  }
  return product
}

/** Vectors of a mirror each, with what `reflect` needs of them. */
export interface Mirrors {
  /** One after the other, `length` elements each. */
  readonly vectors: Float64Array
  readonly length: number
  /** 2 / (v · v); NaN for a vector without a direction, as in PEFT. */
  readonly factors: Float64Array
}

/** @param orthogonal  takes from each vector first what it shares with those before it (Gram-Schmidt, one after the other) */
export function mirrors(values: Float32Array, length: number, orthogonal: boolean): Mirrors {
  const vectors = Float64Array.from(values)
  const factors = new Float64Array(length === 0 ? 0 : values.length / length)
  for (let i = 0; i < factors.length; i++) {
    const own = vectors.subarray(i * length, (i + 1) * length)
    if (orthogonal) {
      for (let j = 0; j < i; j++) {
        const other = vectors.subarray(j * length, (j + 1) * length)
        addMultiple(own, other, -0.5 * factors[j]! * dot(other, own))
      }
    }
    const squares = dot(own, own)
    factors[i] = squares === 0 ? Number.NaN : 2 / squares
  }
  return { vectors, length, factors }
}

/** Mirrors each row of a tile at each vector in turn: w − 2 (w·v / v·v) v. */
export function reflectRows(rows: Float32Array, { vectors, length, factors }: Mirrors): void {
  const row = new Float64Array(length)
  for (let start = 0; start < rows.length; start += length) {
    row.set(rows.subarray(start, start + length))
    factors.forEach((factor, i) => {
      const vector = vectors.subarray(i * length, (i + 1) * length)
      addMultiple(row, vector, -factor * dot(vector, row))
    })
    rows.set(row, start)
  }
}

/**
 * Orthonormal columns that span those of a matrix (rows x cols, cols ≤ rows), in place: Q of its QR decomposition by Householder's mirrors.
 * Signs are LAPACK's: they are part of what an adapter was trained with.
 */
export function orthonormalColumns(values: Float32Array, cols: number): void {
  const rows = values.length / cols
  const column = (j: number): Float64Array => Float64Array.from({ length: rows }, (_, i) => values[i * cols + j]!)
  const columns = Array.from({ length: cols }, (_, j) => column(j))
  const found: { vector: Float64Array; factor: number }[] = []
  const mirror = (target: Float64Array, { vector, factor }: { vector: Float64Array; factor: number }): void =>
    addMultiple(target, vector, -factor * dot(vector, target))
  columns.forEach((target, j) => {
    for (const one of found) mirror(target, one)
    const vector = target.map((value, i) => (i < j ? 0 : value))
    const norm = Math.sqrt(dot(vector, vector))
    const isDone = vector.every((value, i) => i <= j || value === 0) // LAPACK mirrors only what is not zero below the diagonal
    vector[j]! += vector[j]! < 0 ? -norm : norm
    found.push({ vector, factor: isDone ? 0 : 2 / dot(vector, vector) })
  })
  for (let j = 0; j < cols; j++) {
    const unit = new Float64Array(rows)
    unit[j] = 1
    for (const one of found.toReversed()) mirror(unit, one)
    for (let i = 0; i < rows; i++) values[i * cols + j] = unit[i]!
  }
}
