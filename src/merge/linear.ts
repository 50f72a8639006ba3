/**
 * Several low-rank updates as one, the way PEFT's `add_weighted_adapter(combination_type="linear")` has it: factors are
 * added, not products, so every B meets every A. Not the sum of what the adapters do; that is what `sum` is for.
 *
 * Law: PEFT 0.21.2 tuners/lora/model.py `_generalized_task_arithmetic_weighted_adapter`: with c = weight · scale of each
 * adapter, A = Σ sign(c)·√|c|·A, B = Σ √|c|·B, and the new scale is 1.
 */
import type { LinearDelta, LoraDelta } from '../core/delta.js'
import { MismatchError, quoted, UnsupportedError } from '../core/errors.js'
import type { WeightedFactors } from '../core/factor.js'
import type { WeightedDelta } from './variants.js'

/** How several adapters become one change: `sum` adds what each does. */
export type CombineMethod = 'sum' | 'linear'

/** Combines the deltas of one tensor. One alone is what it is. @throws MismatchError, UnsupportedError when factors cannot be added */
export function linearly(deltas: readonly WeightedDelta[]): readonly WeightedDelta[] {
  const [first, ...others] = deltas
  if (first === undefined || deltas.every(({ adapter }) => adapter === first.adapter)) return deltas
  const factorsOf = ({ delta, weight }: WeightedDelta): WeightedFactors => {
    if (!isPlainLora(delta))
      throw new UnsupportedError(
        `is changed by ${delta.variant} (module ${quoted(delta.module)}): --combine linear adds factors of plain LoRA only, as PEFT does; use sum.`,
        { tensor: delta.target },
      )
    if (delta.rank !== first.delta.rank)
      throw new MismatchError(
        `has ranks ${first.delta.rank} and ${delta.rank} in the adapters: --combine linear adds factors, which needs the same rank; use sum.`,
        { tensor: delta.target },
      )
    const factor = weight * delta.scale
    const root = Math.fround(Math.sqrt(Math.abs(factor)))
    return { B: delta.B, A: delta.A, ofB: root, ofA: factor < 0 ? -root : root }
  }
  const { target, module, rank, keepsTie } = first.delta
  const delta: LinearDelta = {
    variant: 'linear',
    target,
    module,
    rank,
    scale: 1,
    parts: [factorsOf(first), ...others.map(factorsOf)],
    ...(keepsTie === undefined ? {} : { keepsTie }),
  }
  return [{ delta, weight: 1, adapter: first.adapter }]
}

function isPlainLora(delta: WeightedDelta['delta']): delta is LoraDelta {
  return delta.variant === 'lora' && [delta.rowsOfB, delta.rowsOfA, delta.seenAs, delta.rows, delta.rowOrders].every((one) => one === undefined)
}
