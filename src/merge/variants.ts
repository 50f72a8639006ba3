/** How each kind of delta changes a tensor, as row programs: one row of the table per variant. Knows no file format. */
import type { Delta, LoraDelta } from '../core/delta.js'
import { wholeMatrix, type RowProgram } from '../core/row-program.js'

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
 * @param base  gives the tensor's rows, as the adapter knows them; without deltas it is returned as it is
 */
export function mergedProgram(base: RowProgram, deltas: readonly WeightedDelta[]): RowProgram {
  if (deltas.length === 0) return base
  return { op: 'add', base, deltas: deltas.map(({ delta, weight }) => ADDITIVE[delta.variant](delta, weight)) }
}
