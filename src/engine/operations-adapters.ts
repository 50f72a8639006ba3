/**
 * What the nodes of adapters beyond `W + B · A` mean: products of computed factors, Kronecker products, normalised rows and
 * columns, replaced rows. The arithmetic is that of src/merge/reference.ts; this file only brings the rows together.
 */
import { MismatchError } from '../core/errors.js'
import { programShape, tensorsOf, type RowProgram } from '../core/row-program.js'
import type { TensorInfo } from '../core/tensor-info.js'
import type { TileArithmetic } from '../kernels/kernel-arithmetic.js'
import { addColumnSquares, columnFactors, fusedLowRank, kron, multiply, rescaleRows, scale } from '../merge/reference.js'

export type Node<O extends RowProgram['op']> = Extract<RowProgram, { op: O }>

/** What an operation may use of its evaluator. */
export interface Bench {
  readonly arithmetic: TileArithmetic
  rows(program: RowProgram, first: number, into: Float32Array): void
  borrowFloats(count: number, use: (buffer: Float32Array) => void): void
  /** `into = into + delta`, and measures what that changes. */
  addMeasured(into: Float32Array, delta: Float32Array, cols: number): void
  /** Runs something whose changes are no result: they are not measured. */
  unmeasured(run: () => void): void
  /** Computes something once per output tensor, and keeps it, unmeasured. */
  kept(key: RowProgram, count: number, fill: (into: Float32Array) => void): Float32Array
  /** The same for what is no f32. */
  prepared<T extends object>(key: RowProgram, make: () => T): T
  /** Tells that a part of a stack is computed: what is kept for parts before may be dropped with the next tile. */
  enter(part: RowProgram): void
  /** All of a small stored tensor as it is, infinities too. */
  stored(tensor: TensorInfo): Float32Array
  /** All of a small stored tensor of integers (or of floats that hold integers). */
  integers(tensor: TensorInfo): Float64Array
}

export const PANEL_ELEMENTS = 262_144 // what a pass over a whole input holds at once

export function evaluateProduct(bench: Bench, { B, A, scale: factor, fused = false }: Node<'product'>, first: number, into: Float32Array): void {
  const { rows: rank, cols } = programShape(A)
  const factorA = whole(bench, A)
  bench.borrowFloats((into.length / cols) * rank, (tileOfB) => {
    bench.unmeasured(() => bench.rows(B, first, tileOfB))
    if (fused) fusedLowRank(tileOfB, factorA, factor, rank, cols, into)
    else bench.arithmetic.lowRank(tileOfB, factorA, factor, rank, cols, into)
  })
}

export function evaluateMultiply(bench: Bench, { left, right }: Node<'multiply'>, first: number, into: Float32Array): void {
  const { cols } = programShape(left)
  const by = programShape(right)
  bench.rows(left, first, into)
  if (by.rows === 1 && by.cols === cols) return multiply(into, whole(bench, right), cols, 'columns')
  bench.borrowFloats((into.length / cols) * by.cols, (values) => {
    bench.rows(right, first, values)
    multiply(into, values, cols, by.cols === 1 ? 'rows' : 'elements')
  })
}

export function evaluateScale(bench: Bench, { input, factor }: Node<'scale'>, first: number, into: Float32Array): void {
  bench.rows(input, first, into)
  scale(into, factor)
}

export function evaluateKron(bench: Bench, { left, right }: Node<'kron'>, first: number, into: Float32Array): void {
  kron(whole(bench, left), programShape(left).cols, whole(bench, right), programShape(right).cols, first, into)
}

export function evaluateReshape(bench: Bench, { input, cols }: Node<'reshape'>, first: number, into: Float32Array): void {
  const inner = programShape(input).cols
  const [from, to] = [first * cols, first * cols + into.length]
  const [low, high] = [Math.floor(from / inner), Math.ceil(to / inner)]
  if (low * inner === from && high * inner === to) return bench.rows(input, low, into)
  bench.borrowFloats((high - low) * inner, (rows) => {
    bench.rows(input, low, rows)
    into.set(rows.subarray(from - low * inner, to - low * inner))
  })
}

export function evaluateStack(bench: Bench, { parts }: Node<'stack'>, first: number, into: Float32Array): void {
  let start = 0
  for (const part of parts) {
    const { rows, cols } = programShape(part)
    const [from, to] = [Math.max(first, start), Math.min(first + into.length / cols, start + rows)]
    if (from < to) {
      bench.enter(part)
      bench.rows(part, from - start, into.subarray((from - first) * cols, (to - first) * cols))
    }
    start += rows
  }
}

export function evaluateBeside(bench: Bench, program: Node<'beside'>, first: number, into: Float32Array): void {
  const { cols } = programShape(program)
  const count = into.length / cols
  let start = 0
  for (const part of program.parts) {
    const width = programShape(part).cols
    bench.borrowFloats(count * width, (values) => {
      bench.rows(part, first, values)
      for (let row = 0; row < count; row++) into.set(values.subarray(row * width, (row + 1) * width), row * cols + start)
    })
    start += width
  }
}

export function evaluateReplaceRows(bench: Bench, { input, ids, values }: Node<'replaceRows'>, first: number, into: Float32Array): void {
  const { cols } = programShape(input)
  const count = into.length / cols
  bench.rows(input, first, into)
  ids.forEach((id, i) => {
    if (id >= first && id < first + count) bench.rows(values, i, into.subarray((id - first) * cols, (id - first + 1) * cols))
  })
}

export function evaluateRescaleRows(bench: Bench, { input, lengths, least, plus }: Node<'rescaleRows'>, first: number, into: Float32Array): void {
  const { cols } = programShape(input)
  bench.rows(input, first, into)
  bench.borrowFloats(into.length / cols, (wanted) => {
    bench.rows(lengths, first, wanted)
    rescaleRows(into, wanted, cols, least, plus)
  })
}

export function evaluateRescaleColumns(bench: Bench, program: Node<'rescaleColumns'>, first: number, into: Float32Array): void {
  const { input, lengths, least, plus, span = 1 } = program
  const { cols } = programShape(input)
  const factors = bench.kept(program, cols, (factor) => {
    const sums = new Float64Array(cols / span)
    panels(bench, input, (values) => addColumnSquares(values, sums, span))
    columnFactors(sums, whole(bench, lengths), factor, least, plus)
  })
  bench.rows(input, first, into)
  multiply(into, factors, cols, 'columns')
}

export function evaluateBecome(bench: Bench, { base, changed }: Node<'become'>, first: number, into: Float32Array): void {
  bench.unmeasured(() => bench.rows(changed, first, into)) // sums inside are part of this change
  bench.borrowFloats(into.length, (before) => {
    bench.rows(base, first, before)
    bench.borrowFloats(into.length, (difference) => {
      for (let i = 0; i < into.length; i++) {
        if (!Number.isFinite(before[i])) before[i] = difference[i] = 0
        else if (!Number.isFinite(into[i])) throw becameInfinite(base, first, i, before[i]!, into[i]!)
        else difference[i] = Math.fround(into[i]! - before[i]!)
      }
      bench.addMeasured(before, difference, programShape(base).cols)
    })
  })
}

/** All rows of an input, some at a time, in order. */
export function panels(bench: Bench, input: RowProgram, use: (values: Float32Array, first: number) => void): void {
  const { rows, cols } = programShape(input)
  const panel = Math.max(1, Math.floor(PANEL_ELEMENTS / cols))
  for (let first = 0; first < rows; first += panel) {
    bench.borrowFloats(Math.min(panel, rows - first) * cols, (values) => {
      bench.rows(input, first, values)
      use(values, first)
    })
  }
}

/** All rows of a small program, computed once. */
export function whole(bench: Bench, program: RowProgram): Float32Array {
  const { rows, cols } = programShape(program)
  return bench.kept(program, rows * cols, (into) => bench.rows(program, 0, into))
}

function becameInfinite(base: RowProgram, first: number, index: number, before: number, after: number): MismatchError {
  const where = first * programShape(base).cols + index
  const [tensor] = tensorsOf(base)
  return new MismatchError(`element ${where} is ${before} and becomes ${after} when the adapters are merged: adapter or weight is broken or far too large.`, {
    ...(tensor === undefined ? {} : { file: tensor.source.name, tensor: tensor.name }),
  })
}
