/**
 * What the nodes that converters need mean, beyond moving rows: constants, functions of each element, whole transposes.
 *
 * Law of `negExp`: torch computes -exp(x) of f32 on a CPU with SLEEF's `expf` (accurate to 1 ulp, not always the nearest
 * f32), sleefsimdsp.c `xexpf`, its path for processors with fused multiply-add.
 */
import { fusedMultiplyAdd, roundHalfEven } from '../core/float32.js'
import { programShape, type ElementFunction, type RowProgram } from '../core/row-program.js'
import type { Bench } from './operations-adapters.js'

type Node<O extends RowProgram['op']> = Extract<RowProgram, { op: O }>

export function evaluateAddConstant(bench: Bench, { input, value }: Node<'addConstant'>, first: number, into: Float32Array): void {
  bench.rows(input, first, into)
  for (let i = 0; i < into.length; i++) into[i] = into[i]! + value // a Float32Array rounds what it is given
}

const FUNCTIONS: { readonly [F in ElementFunction]: (x: number) => number } = {
  negExp: (x) => -torchExp(x),
}

export function evaluateApply(bench: Bench, { input, function: name }: Node<'apply'>, first: number, into: Float32Array): void {
  const compute = FUNCTIONS[name]
  bench.rows(input, first, into)
  for (let i = 0; i < into.length; i++) into[i] = compute(into[i]!)
}

export function evaluateTranspose(bench: Bench, program: Node<'transpose'>, first: number, into: Float32Array): void {
  const { rows, cols } = programShape(program.input)
  const all = bench.kept(program, rows * cols, (values) => bench.rows(program.input, 0, values))
  for (let i = 0, at = 0; at < into.length; i++) for (let row = 0; row < rows; row++, at++) into[at] = all[row * cols + first + i]!
}

const f = Math.fround
const LOG2E = f(Math.LOG2E)
const LN2_HIGH = f(0.693145751953125)
const LN2_LOW = f(1.428606765330187045e-6)
const SERIES = [0.00139304355252534151077271, 0.00833336077630519866943359, 0.0416664853692054748535156, 0.166666671633720397949219, 0.5].map(f)
const FIRST_COEFFICIENT = f(0.000198527617612853646278381)

/** e^x in f32: x = q ln 2 + s, a polynomial of s, and 2^q. */
export function torchExp(x: number): number {
  if (Number.isNaN(x)) return x
  if (x > 104) return Infinity
  if (x < -104) return 0
  const q = roundHalfEven(f(x * LOG2E))
  const s = fusedMultiplyAdd(q, -LN2_LOW, fusedMultiplyAdd(q, -LN2_HIGH, f(x)))
  let u = FIRST_COEFFICIENT
  for (const coefficient of SERIES) u = fusedMultiplyAdd(u, s, coefficient)
  u = f(1 + fusedMultiplyAdd(f(s * s), u, s))
  const half = Math.trunc(q / 2)
  return f(f(u * 2 ** half) * 2 ** (q - half))
}
