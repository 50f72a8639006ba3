/**
 * The largest singular components of a product B · A that is never written out: B = Q·R and Aᵀ = P·S, so its singular values are those of the small
 * matrix R·Sᵀ, found by Jacobi's rotations. All in f64, which also keeps components apart that differ by many orders of magnitude.
 *
 * Law: Golub & Van Loan, Matrix Computations, §5.2 (QR row by row), §8.6 (one-sided Jacobi).
 */
import { InternalError } from '../core/errors.js'
import { dot, addMultiple } from './vectors.js'

const MOST_SWEEPS = 60 // ten are usual

/** Small matrices on either side: `(B · left) · (right · A)` is the truncated product. */
export interface Truncation {
  /** (size x rank), row major; B · left has the singular values as lengths of its columns. */
  readonly left: Float64Array
  /** (rank x size), row major; right · A has orthonormal rows. */
  readonly right: Float64Array
  /** Not more than asked for; less where the product has less. */
  readonly rank: number
}

/**
 * Takes further rows into the triangle of a QR decomposition: R (size x size, row major, upper) becomes that of the rows before and these.
 * @param columns  of the rows: (size x any number), row major; overwritten
 */
export function addRows(R: Float64Array, size: number, columns: Float64Array): void {
  const count = columns.length / size
  for (let col = 0; col < size; col++) {
    const own = row(columns, col, count)
    const squares = dot(own, own)
    if (squares === 0) continue
    const corner = R[col * size + col]!
    const norm = Math.sqrt(corner * corner + squares)
    const head = corner + (corner < 0 ? -norm : norm)
    const factor = 2 / (head * head + squares)
    for (let other = col + 1; other < size; other++) {
      const target = row(columns, other, count)
      const share = factor * (head * R[col * size + other]! + dot(own, target))
      R[col * size + other]! -= share * head
      addMultiple(target, own, -share)
    }
    R[col * size + col] = corner < 0 ? norm : -norm
  }
}

/**
 * @param R  triangle of B @param S  triangle of Aᵀ; (size x size) both, row major
 */
export function truncation(R: Float64Array, S: Float64Array, size: number, most: number): Truncation {
  const G = timesTransposed(S, R, size) // row i: column i of R · Sᵀ
  const V = new Float64Array(size * size)
  for (let i = 0; i < size; i++) V[i * size + i] = 1
  orthogonalize(G, V, size)
  const values = Array.from({ length: size }, (_, i) => ({ i, value: Math.sqrt(dot(row(G, i, size), row(G, i, size))) }))
  values.sort((a, b) => b.value - a.value || a.i - b.i)
  const least = negligible(values[0]?.value ?? 0, size)
  const kept = values.slice(0, most).filter(({ value }) => value > least)
  const rank = kept.length
  const [left, right] = [new Float64Array(size * rank), new Float64Array(rank * size)]
  kept.forEach(({ i, value }, n) => {
    const [u, v] = [row(G, i, size), row(V, i, size)]
    for (let j = 0; j < size; j++) {
      for (let k = 0; k < size; k++) left[k * rank + n]! += v[j]! * S[j * size + k]!
      for (let k = 0; k < size; k++) right[n * size + k]! += (u[j]! / value ** 2) * R[j * size + k]!
    }
  })
  return { left, right, rank }
}

/** What rounding makes of nothing, beside the largest. */
function negligible(largest: number, size: number): number {
  return largest * size * Number.EPSILON
}

/** Rotates pairs of rows of G until all are orthogonal, and the rows of V with them. */
function orthogonalize(G: Float64Array, V: Float64Array, size: number): void {
  const least = negligible(Math.sqrt(dot(G, G)), size) ** 2
  for (let sweep = 0; ; sweep++) {
    let turned = false
    for (let p = 0; p < size; p++)
      for (let q = p + 1; q < size; q++) {
        const [a, b] = [row(G, p, size), row(G, q, size)]
        const [alpha, beta, gamma] = [dot(a, a), dot(b, b), dot(a, b)]
        if (alpha <= least || beta <= least || Math.abs(gamma) <= size * Number.EPSILON * Math.sqrt(alpha * beta)) continue
        turned = true
        const zeta = (beta - alpha) / (2 * gamma)
        const tangent = (zeta < 0 ? -1 : 1) / (Math.abs(zeta) + Math.hypot(1, zeta))
        const cosine = 1 / Math.hypot(1, tangent)
        rotate(a, b, cosine, cosine * tangent)
        rotate(row(V, p, size), row(V, q, size), cosine, cosine * tangent)
      }
    if (!turned) return
    if (sweep === MOST_SWEEPS) throw new InternalError('the singular values of a product were not found')
  }
}

function rotate(a: Float64Array, b: Float64Array, cosine: number, sine: number): void {
  for (let i = 0; i < a.length; i++) {
    const [x, y] = [a[i]!, b[i]!]
    a[i] = cosine * x - sine * y
    b[i] = sine * x + cosine * y
  }
}

/** left · rightᵀ */
function timesTransposed(left: Float64Array, right: Float64Array, size: number): Float64Array {
  return Float64Array.from({ length: size * size }, (_, i) => dot(row(left, Math.floor(i / size), size), row(right, i % size, size)))
}

function row(matrix: Float64Array, i: number, size: number): Float64Array {
  return matrix.subarray(i * size, (i + 1) * size)
}
