/** How each kind of delta changes a tensor, as row programs: one row of the table per variant. Knows no file format. */
import type { Delta, LoraDelta } from '../core/delta.js'
import { wholeMatrix, type RowProgram } from '../core/row-program.js'
import type { TensorInfo } from '../core/tensor-info.js'

/** A delta with the weight that the user gave its adapter. */
export interface WeightedDelta {
  readonly delta: Delta
  readonly weight: number
  /** Position of its adapter in the plan's list. */
  readonly adapter: number
}

type AdditiveVariant<D extends Delta> = (delta: D, weight: number) => RowProgram

/** Variants that are `W + something`: the program gives the something, rows and columns as W's. */
const ADDITIVE: { readonly [V in Delta['variant']]: AdditiveVariant<Extract<Delta, { variant: V }>> } = {
  lora: (delta, weight) => ({ op: 'lowRank', B: wholeMatrix(delta.B), A: wholeMatrix(delta.A), scale: effectiveScale(delta, weight) }),
}

/** The factor that the arithmetic uses: weight · alpha / rank in f64, rounded to f32 once. */
export function effectiveScale(delta: LoraDelta, weight: number): number {
  return Math.fround(weight * delta.scale)
}

/**
 * The program of one base tensor with all its deltas, in the order given (the canonical one: combine.ts).
 * Without deltas it is the tensor itself.
 */
export function mergedProgram(base: TensorInfo, deltas: readonly WeightedDelta[]): RowProgram {
  const read: RowProgram = { op: 'read', tensor: base }
  if (deltas.length === 0) return read
  return { op: 'add', base: read, deltas: deltas.map(({ delta, weight }) => ADDITIVE[delta.variant](delta, weight)) }
}
