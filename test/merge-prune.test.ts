/** Pruning and cutting of factors, by themselves: torch's choice among equal elements, elections, singular components. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { rankLargest, type Ranking } from '../src/merge/largest-elements.js'
import { prune, weightedSum } from '../src/merge/pruned-sum.js'
import { addRows, truncation } from '../src/merge/truncation.js'
import { FIXTURES } from './support/paths.js'
import { Seeded } from './support/straight-math.js'

interface TopK {
  readonly values: readonly number[]
  readonly count: number
  readonly kept: readonly number[]
}

const ranking = (size: number): Ranking => ({ keys: new Float32Array(size), ids: new Uint32Array(size) })

function largestElements(values: Float32Array, count: number): number[] {
  const ranked = ranking(values.length)
  rankLargest(values, count, ranked)
  return [...ranked.ids.subarray(0, count)].sort((a, b) => a - b)
}

describe('rankLargest', () => {
  it('keeps the elements that torch.topk keeps, also of equal ones', () => {
    const rows = JSON.parse(readFileSync(join(FIXTURES, 'combinations', 'top-k.json'), 'utf8')) as TopK[]
    assert.ok(rows.length > 100)
    for (const { values, count, kept } of rows) {
      const ours = largestElements(Float32Array.from(values), count)
      assert.deepEqual(ours, kept, `${count} of ${values.length}: ${values.slice(0, 8).join(' ')} …`)
    }
  })

  it('keeps all, or none', () => {
    const values = Float32Array.from([3, -1, 2])
    assert.deepEqual(largestElements(values, 3), [0, 1, 2])
    assert.deepEqual(largestElements(values, 0), [])
    assert.deepEqual(largestElements(new Float32Array(0), 0), [])
  })
})

describe('pruned sums', () => {
  it('keep floor(density · elements) of the largest, and zero the others', () => {
    const values = Float32Array.from([1, -5, 2, 4, -3])
    prune(values, 0.5, ranking(5))
    assert.deepEqual([...values], [0, -5, 0, 4, 0])
    prune(values, 0.1, ranking(5))
    assert.deepEqual([...values], [0, 0, 0, 0, 0])
  })

  it('count only elements of the majority’s sign, before weights, and divide by their number', () => {
    const matrices = [
      [3, 1, -1, 2, 0],
      [-1, 1, -1, -2, 0],
      [-1, -5, 0, 0, 0],
    ].map((values) => Float32Array.from(values))
    const sum = (majoritySign?: 'total' | 'frequency'): number[] => {
      const into = new Float32Array(5)
      weightedSum(matrices, [1, -2, 4], { density: 1, ...(majoritySign === undefined ? {} : { majoritySign }) }, into)
      return [...into]
    }
    assert.deepEqual(sum(), [3 + 2 - 4, 1 - 2 - 20, -1 + 2, 2 + 4, 0])
    // the third column's two agree; a draw is a vote for the positive ones
    assert.deepEqual(sum('total'), [3, -20, (-1 + 2) / 2, 2, 0])
    assert.deepEqual(sum('frequency'), [(2 - 4) / 2, (1 - 2) / 2, (-1 + 2) / 2, 2, 0])
  })
})

type Matrix = readonly (readonly number[])[]

const times = (left: Matrix, right: Matrix): number[][] =>
  left.map((row) => (right[0] ?? []).map((_, col) => row.reduce((sum, value, k) => sum + value * (right[k]?.[col] ?? 0), 0)))
const across = (matrix: Matrix): number[][] => (matrix[0] ?? []).map((_, col) => matrix.map((row) => row[col] ?? 0))
const minus = (left: Matrix, right: Matrix): number[][] => left.map((row, i) => row.map((value, j) => value - (right[i]?.[j] ?? 0)))
const norm = (matrix: Matrix): number => Math.hypot(...matrix.flat())
const inRows = (values: ArrayLike<number>, cols: number): number[][] =>
  Array.from({ length: cols === 0 ? 0 : values.length / cols }, (_, i) => Array.from({ length: cols }, (__, j) => values[i * cols + j] ?? 0))

/** The largest singular value, by iteration. */
function largest(matrix: Matrix): number {
  let vector = across(matrix).map((_, i) => [1 + (i % 3)])
  for (let i = 0; i < 300; i++) {
    const next = times(across(matrix), times(matrix, vector))
    const length = norm(next)
    if (length === 0) return 0
    vector = next.map(([value = 0]) => [value / length])
  }
  return norm(times(matrix, vector))
}

function cut(B: Matrix, A: Matrix, rank: number): { left: number[][]; right: number[][]; rank: number } {
  const size = A.length
  const triangle = (rows: Matrix, step: number): Float64Array => {
    const R = new Float64Array(size * size)
    for (let i = 0; i < rows.length; i += step) addRows(R, size, Float64Array.from(across(rows.slice(i, i + step)).flat()))
    return R
  }
  const found = truncation(triangle(B, 3), triangle(across(A), 5), size, rank)
  return { left: times(B, inRows(found.left, found.rank)), right: times(inRows(found.right, size), A), rank: found.rank }
}

describe('truncation', () => {
  const random = new Seeded(5)
  const matrix = (rows: number, cols: number, factor = 1): number[][] => inRows(random.weights(rows * cols, factor), cols)

  it('leaves the largest singular components, and nothing of them in the rest', () => {
    for (const [rows, cols, size, rank] of [
      [9, 14, 6, 2],
      [14, 9, 6, 5],
      [4, 20, 6, 3],
      [20, 4, 6, 1],
    ] as const) {
      const [B, A] = [matrix(rows, size), matrix(size, cols)]
      const whole = times(B, A)
      const { left, right } = cut(B, A, rank)
      const rest = minus(whole, times(left, right))
      const tiny = 1e-13 * norm(whole)
      assert.ok(norm(minus(times(right, across(right)), inRows(identity(rank), rank))) < 1e-12, 'rows of the right factor are orthonormal')
      assert.ok(norm(times(rest, across(right))) < tiny && norm(times(across(left), rest)) < tiny * norm(left), 'the rest is orthogonal to what is kept')
      const lengths = across(left).map((column) => norm([column]))
      for (const length of lengths) assert.ok(length >= largest(rest) - tiny, `${length} is kept, ${largest(rest)} is left`)
      assert.deepEqual(
        lengths,
        lengths.toSorted((a, b) => b - a),
      )
    }
  })

  it('is the whole product where it has no more components', () => {
    const [B, A] = [matrix(9, 4), matrix(4, 7)]
    const { left, right } = cut(B, A, 4)
    assert.ok(norm(minus(times(left, right), times(B, A))) < 1e-14 * norm(B) * norm(A))
  })

  it('finds small components beside large ones, and none where factors repeat or are zero', () => {
    const [B, A] = [matrix(8, 3), matrix(3, 9)]
    const scaled = A.map((row, i) => row.map((value) => value * 1e-7 ** i))
    const small = cut(B, scaled, 3)
    assert.ok(norm(minus(times(small.left, small.right), times(B, scaled))) < 1e-15 * norm(B) * norm(A))
    const twice = cut(
      B.map((row) => [...row, ...row]),
      [...A, ...A],
      6,
    )
    assert.equal(twice.rank, 3)
    assert.equal(cut(inRows(new Float64Array(24), 3), A, 2).rank, 0)
  })
})

function identity(size: number): Float64Array {
  return Float64Array.from({ length: size * size }, (_, i) => (i % (size + 1) === 0 ? 1 : 0))
}
