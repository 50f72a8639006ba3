/**
 * What the nodes that converters need mean, beyond moving rows: constants, functions of each element, whole transposes.
 *
 * `negExp` is -(e^x) rounded to the nearest f32. The reference's torch computes it so for the few numbers of a layer (one
 * per head); in tensors of more than 32 about one value in a hundred is its neighbour there (Intel's vector library).
 */
import type { ElementFunction } from '../core/activations.js'
import { programShape, type RowProgram } from '../core/row-program.js'
import { ACTIVATION_FUNCTIONS } from '../merge/activations.js'
import type { Bench } from './operations-adapters.js'

type Node<O extends RowProgram['op']> = Extract<RowProgram, { op: O }>

export function evaluateAddConstant(bench: Bench, { input, value }: Node<'addConstant'>, first: number, into: Float32Array): void {
  bench.rows(input, first, into)
  for (let i = 0; i < into.length; i++) into[i] = into[i]! + value // a Float32Array rounds what it is given
}

const FUNCTIONS: { readonly [F in ElementFunction]: (x: number) => number } = {
  negExp: (x) => -Math.fround(Math.exp(x)),
  cos: (x) => Math.cos(x),
  sin: (x) => Math.sin(x),
  ...ACTIVATION_FUNCTIONS,
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
