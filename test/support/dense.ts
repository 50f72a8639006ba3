/** Small dense matrices in f64: the definitions of merges, written straight down without any code of src. */
import assert from 'node:assert/strict'
import { f32Tensor, valuesOf, type PlainTensor } from './plain-tensors.js'
import { Seeded } from './straight-math.js'

export type Matrix = readonly (readonly number[])[]

export const matrix = (rows: number, cols: number, value: (i: number, j: number) => number): Matrix =>
  Array.from({ length: rows }, (_, i) => Array.from({ length: cols }, (_none, j) => value(i, j)))
export const at = (values: Matrix, i: number, j: number): number => values[i]?.[j] ?? Number.NaN
export const turned = (values: Matrix): Matrix => matrix(values[0]?.length ?? 0, values.length, (i, j) => at(values, j, i))
export const times = (left: Matrix, right: Matrix): Matrix =>
  matrix(left.length, right[0]?.length ?? 0, (i, j) => right.reduce((sum, _row, k) => sum + at(left, i, k) * at(right, k, j), 0))
export const plus = (left: Matrix, right: Matrix, scale = 1): Matrix => left.map((row, i) => row.map((value, j) => value + scale * at(right, i, j)))
export const zeros = (rows: number, cols: number): Matrix => matrix(rows, cols, () => 0)
export const rowsFrom = (values: Matrix, first: number, count: number): Matrix => values.slice(first, first + count)

/** Seeded values as f32 has them. */
export function seeded(seed: number, rows: number, cols: number, factor = 0.3): Matrix {
  const values = new Seeded(seed * 7919 + 17).weights(rows * cols, factor)
  return matrix(rows, cols, (i, j) => Math.fround(values[i * cols + j] ?? 0))
}

/** As a tensor of F32, of two dimensions unless given others. */
export function tensorOf(values: Matrix, shape: readonly number[] = [values.length, values[0]?.length ?? 0]): PlainTensor {
  return f32Tensor(shape, values.flat())
}

/** Within 1e-6 + 2^-22 of the value: the tolerance of the golden data. */
export function assertNear(name: string, ours: PlainTensor | undefined, expected: Matrix): void {
  assert.ok(ours, `${name} is missing`)
  const wanted = expected.flat()
  const values = valuesOf(ours)
  assert.equal(values.length, wanted.length, name)
  values.forEach((value, i) => {
    const want = wanted[i] ?? Number.NaN
    assert.ok(Math.abs(value - want) <= 1e-6 + 2 ** -22 * Math.abs(want), `${name}[${i}]: ${value}, wanted ${want}`)
  })
}
