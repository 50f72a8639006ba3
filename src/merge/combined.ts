/**
 * Several low-rank updates of one tensor as one, in the ways of PEFT's `add_weighted_adapter` that are not the sum of what each does.
 * `linear`, `ties` and `magnitude_prune` combine factors, not products, so every B meets every A; `svd` cuts the sum to a rank.
 *
 * Law: PEFT 0.21.2 tuners/lora/model.py `_generalized_task_arithmetic_weighted_adapter`, `_svd_generalized_task_arithmetic_weighted_adapter`: with
 * c = weight · scale of each adapter, factors count as sign(c)·√|c|·A and √|c|·B, and the new scale is 1.
 */
import type { FactorsDelta, TruncatedDelta } from '../core/combined-delta.js'
import type { LoraDelta } from '../core/delta.js'
import { MismatchError, quoted, UnsupportedError } from '../core/errors.js'
import type { WeightedFactors } from '../core/factor.js'
import type { CombineRule } from './combine-rule.js'
import type { WeightedDelta } from './variants.js'

interface WeightedLora extends WeightedDelta {
  readonly delta: LoraDelta
}

/** Changes that only one adapter makes and that are no update of weights: they stay as they are, whatever becomes of the others. */
const CARRIED_OVER: ReadonlySet<string> = new Set(['replace', 'tokens', 'sum'])

/**
 * Combines the deltas of one tensor, of a merge with several adapters.
 * @param rank  of what `svd` leaves
 * @throws MismatchError, UnsupportedError when they cannot be combined so
 */
export function combined(deltas: readonly WeightedDelta[], rule: CombineRule, rank: number): readonly WeightedDelta[] {
  const [first] = deltas
  if (first === undefined || rule.method === 'sum') return deltas
  const isAlone = deltas.every(({ adapter }) => adapter === first.adapter)
  const isWhole = rule.method === 'linear' || ('pruning' in rule && rule.pruning.density === 1)
  if (isAlone && (isWhole || deltas.every(({ delta }) => CARRIED_OVER.has(delta.variant)))) return deltas
  const plain = plainLoras(deltas, rule)
  return rule.method === 'svd' ? truncated(plain, rank) : ofFactors(plain, rule)
}

function ofFactors([first, ...others]: readonly [WeightedLora, ...WeightedLora[]], rule: CombineRule): readonly WeightedDelta[] {
  const factorsOf = ({ delta, weight }: WeightedLora): WeightedFactors => {
    if (delta.rank !== first.delta.rank)
      throw new MismatchError(
        `has ranks ${first.delta.rank} and ${delta.rank} in the adapters: --combine ${rule.method} adds factors, which needs the same rank; use sum or svd.`,
        { tensor: delta.target },
      )
    const factor = weight * delta.scale
    const root = Math.fround(Math.sqrt(Math.abs(factor)))
    const ofA = factor < 0 ? -root : root // of the adapter's own A
    return { B: delta.B, A: delta.A, ...(delta.turned === true ? { ofB: ofA, ofA: root } : { ofB: root, ofA }) }
  }
  const delta: FactorsDelta = {
    variant: 'factors',
    ...changeOf(first),
    parts: [factorsOf(first), ...others.map(factorsOf)],
    ...('pruning' in rule ? { pruning: rule.pruning } : {}),
    ...(first.delta.turned === true ? { turned: true } : {}),
  }
  return [{ delta, weight: 1, adapter: first.adapter }]
}

/** A sum that has no more components than are kept is what it is, bit by bit. */
function truncated(deltas: readonly [WeightedLora, ...WeightedLora[]], rank: number): readonly WeightedDelta[] {
  const [first, ...others] = deltas
  const { B, A } = first.delta
  const components = deltas.reduce((sum, { delta }) => sum + delta.A.rows, 0)
  if (rank >= Math.min(components, B.rows, A.cols)) return deltas
  const part = ({ delta, weight }: WeightedLora): WeightedFactors => ({ B: delta.B, A: delta.A, ofB: 1, ofA: Math.fround(weight * delta.scale) })
  const delta: TruncatedDelta = { variant: 'truncated', ...changeOf(first), rank, parts: [part(first), ...others.map(part)] }
  return [{ delta, weight: 1, adapter: first.adapter }]
}

function changeOf({ delta: { target, module, rank, keepsTie } }: WeightedLora): Pick<LoraDelta, 'target' | 'module' | 'rank' | 'scale' | 'keepsTie'> {
  return { target, module, rank, scale: 1, ...(keepsTie === undefined ? {} : { keepsTie }) }
}

function plainLoras(deltas: readonly WeightedDelta[], { method }: CombineRule): readonly [WeightedLora, ...WeightedLora[]] {
  const plain = deltas.filter(isPlainLora)
  const [first, ...others] = plain
  if (first !== undefined && plain.length === deltas.length) return [first, ...others]
  const [other] = deltas.filter((one) => !isPlainLora(one))
  throw new UnsupportedError(
    `is changed by ${other?.delta.variant} (module ${quoted(other?.delta.module ?? '')}): --combine ${method} is for factors of plain LoRA only, as in PEFT; use sum.`,
    { tensor: deltas[0]?.delta.target ?? '' },
  )
}

function isPlainLora(one: WeightedDelta): one is WeightedLora {
  const { delta } = one
  return delta.variant === 'lora' && [delta.rowsOfB, delta.rowsOfA, delta.seenAs, delta.rows, delta.part, delta.lay].every((part) => part === undefined)
}
