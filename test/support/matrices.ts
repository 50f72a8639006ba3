/** Small dense matrices in f64, seeded tensors that hold such values, and what a row program makes of them: for tests that hold variants to their definitions. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import type { Dtype } from '../../src/core/dtypes.js'
import { programShape, type RowProgram } from '../../src/core/row-program.js'
import { elementCount } from '../../src/core/shape.js'
import type { TensorInfo } from '../../src/core/tensor-info.js'
import { execute } from '../../src/engine/execute.js'
import { handPlan, memoryTensor, rows, TOOL } from './plans.js'
import { packed, Seeded } from './straight-math.js'
import { workspace } from './workspace.js'

export type Matrix = readonly (readonly number[])[]

/** A tensor and its values; those of more than two dimensions as (first x rest). */
export interface Made {
  readonly tensor: TensorInfo
  readonly values: Matrix
}

/** A seeded tensor of f32 values. */
export function made(name: string, shape: readonly number[], seed: number, spread = 0.5): Made {
  const count = elementCount(shape)
  return given(name, shape, new Seeded(seed).weights(count, spread))
}

/** A tensor of given values, row major; they are rounded to f32. */
export function given(name: string, shape: readonly number[], values: ArrayLike<number>): Made {
  const flat = Array.from(values, Math.fround)
  const width = shape.length < 2 ? 1 : elementCount(shape.slice(1))
  const tensor = memoryTensor(name, 'F32', shape, packed('F32', Float64Array.from(flat)), 4)
  return { tensor, values: matrix(flat.length / width, width, (i, j) => flat[i * width + j] ?? Number.NaN) }
}

/** A tensor of integers. */
export function integers(name: string, dtype: Extract<Dtype, 'I32' | 'I64' | 'U8' | 'I16'>, shape: readonly number[], values: readonly number[]): TensorInfo {
  const size = { I32: 4, I64: 8, U8: 1, I16: 2 }[dtype]
  const bytes = new Uint8Array(values.length * size)
  const view = new DataView(bytes.buffer)
  values.forEach((value, i) => {
    if (dtype === 'I64') view.setBigInt64(i * 8, BigInt(value), true)
    else if (dtype === 'I32') view.setInt32(i * 4, value, true)
    else if (dtype === 'I16') view.setInt16(i * 2, value, true)
    else view.setUint8(i, value)
  })
  return memoryTensor(name, dtype, shape, bytes, 8)
}

export const at = (matrix: Matrix, i: number, j: number): number => matrix[i]?.[j] ?? Number.NaN
export const matrix = (height: number, width: number, value: (i: number, j: number) => number): Matrix =>
  Array.from({ length: height }, (_, i) => Array.from({ length: width }, (_none, j) => value(i, j)))
export const identity = (size: number): Matrix => matrix(size, size, (i, j) => (i === j ? 1 : 0))
export const times = (left: Matrix, right: Matrix): Matrix =>
  matrix(left.length, right[0]?.length ?? 0, (i, j) => right.reduce((sum, _row, k) => sum + at(left, i, k) * at(right, k, j), 0))
export const turned = (one: Matrix): Matrix => matrix(one[0]?.length ?? 0, one.length, (i, j) => at(one, j, i))
export const plus = (left: Matrix, right: Matrix, factor = 1): Matrix => left.map((row, i) => row.map((value, j) => value + factor * at(right, i, j)))
export const scaledBy = (one: Matrix, factor: number): Matrix => one.map((row) => row.map((value) => factor * value))
export const reshaped = (one: Matrix, width: number): Matrix => {
  const flat = one.flat()
  return matrix(flat.length / width, width, (i, j) => flat[i * width + j] ?? Number.NaN)
}

/** X with A·X = B, by elimination. */
export function solve(A: Matrix, B: Matrix): Matrix {
  const size = A.length
  const work = A.map((row, i) => [...row, ...(B[i] ?? [])])
  for (let pivot = 0; pivot < size; pivot++) {
    const best = work.slice(pivot).reduce((most, row, i) => (Math.abs(row[pivot] ?? 0) > Math.abs(at(work, most, pivot)) ? pivot + i : most), pivot)
    const [a, b] = [work[pivot] ?? [], work[best] ?? []]
    work[pivot] = b
    work[best] = a
    const divisor = at(work, pivot, pivot)
    work[pivot] = b.map((value) => value / divisor)
    work.forEach((row, i) => {
      if (i !== pivot) work[i] = row.map((value, j) => value - (row[pivot] ?? 0) * at(work, pivot, j))
    })
  }
  return work.map((row) => row.slice(size))
}

/** What a program gives, run as a plan of one tensor. */
export async function outcome(
  t: TestContext,
  program: RowProgram,
  tileElements: number,
  threads: number,
): Promise<{ bytes: Buffer; values: Float32Array; ratio: number | undefined }> {
  const root = workspace(t, `run-${tileElements}-${threads}`)
  const shape = [programShape(program).rows, programShape(program).cols]
  const plan = handPlan(root, [{ name: 'W', shape, program: rows(program, 'f32'), isMerged: true, tileElements }])
  const { tensors } = await execute(plan, TOOL, { threads })
  const bytes = readFileSync(join(root, 'out.bin')).subarray(8)
  return { bytes, values: new Float32Array(new Uint8Array(bytes).buffer), ratio: tensors[0]?.deltaRatio }
}

/** A program gives a matrix within the tolerance of the golden data, and the same bytes and measures whatever tile and threads. */
export async function assertGives(t: TestContext, program: RowProgram, expected: Matrix): Promise<void> {
  const { cols } = programShape(program)
  const first = await outcome(t, program, 1_000_000, 1)
  assert.equal(first.values.length, expected.flat().length)
  expected.flat().forEach((wanted, i) => {
    const got = first.values[i] ?? Number.NaN
    assert.ok(Math.abs(got - wanted) <= 1e-6 + 2 ** -22 * Math.abs(wanted), `(${Math.floor(i / cols)}, ${i % cols}): ${got}, wanted ${wanted}`)
  })
  for (const [tile, threads] of [
    [1, 1],
    [cols * 5, 2],
    [cols * 7, 1],
  ] as const) {
    const other = await outcome(t, program, tile, threads)
    assert.deepEqual(other.bytes, first.bytes, `tile ${tile}, ${threads} threads`)
    assert.ok(Math.abs((other.ratio ?? 0) - (first.ratio ?? 0)) <= 1e-6 * (first.ratio ?? 1), 'the measured change')
  }
}
