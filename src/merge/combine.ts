/**
 * Several adapters become one list of deltas per base tensor, in an order that does not depend on the command line:
 * f32 sums depend on their order, and `a b` must give the bytes of `b a`.
 */
import type { Adapter } from '../core/adapter.js'
import { lastPart } from '../core/paths.js'
import type { CombineRule } from './combine-rule.js'
import type { WeightedDelta } from './variants.js'

/** An adapter as the user gave it. */
export interface WeightedAdapter {
  readonly adapter: Adapter
  readonly weight: number
  /** Digest of the adapter's files: its identity and its place in the order. Empty when it is the only one. */
  readonly digest: string
}

/** What the plan merges. */
export interface Combination {
  /** Each adapter once, in canonical order, weights of repeated ones added up; adapters of weight 0 are left out. */
  readonly adapters: readonly WeightedAdapter[]
  /** By name of the base tensor. */
  readonly deltas: ReadonlyMap<string, readonly WeightedDelta[]>
  readonly notes: readonly string[]
}

/**
 * The weights that PEFT's add_weighted_adapter amounts to: it scales what it made of rank-stabilised adapters once more, by the root of the new rank:
 * the sum of all ("cat": our sum), what svd leaves, or that of each. Which is wrong against the trained model; for --like-peft.
 */
export function weightsLikePeft(given: readonly WeightedAdapter[], rule: CombineRule): readonly WeightedAdapter[] {
  const [first] = given
  if (given.length < 2 || first?.adapter.lora?.rankStabilized !== true) return given
  const ranks = given.map(({ adapter }) => adapter.lora?.rank ?? Number.NaN)
  const rank = rule.method === 'sum' ? ranks.reduce((sum, one) => sum + one, 0) : rule.method === 'svd' ? rankLeft(rule, given) : (ranks[0] ?? Number.NaN)
  return Number.isNaN(rank) ? given : given.map((one) => ({ ...one, weight: one.weight * Math.sqrt(rank) }))
}

/** Singular components that `svd` leaves: as many as asked for, or as the adapter of the largest rank has. */
export function rankLeft(rule: CombineRule, adapters: readonly WeightedAdapter[]): number {
  const asked = rule.method === 'svd' ? rule.rank : undefined
  return asked ?? adapters.reduce((most, { adapter }) => Math.max(most, adapter.lora?.rank ?? largestRank(adapter)), 1)
}

function largestRank({ deltas }: Adapter): number {
  return deltas.reduce((most, { rank }) => Math.max(most, rank), 0)
}

/** Applies the law of the sum's ordering rules (docs/numerics.md). */
export function combineAdapters(given: readonly WeightedAdapter[]): Combination {
  const byDigest = new Map<string, WeightedAdapter>()
  for (const one of given) {
    const same = byDigest.get(one.digest)
    byDigest.set(one.digest, same === undefined ? one : { ...same, weight: same.weight + one.weight })
  }
  const notes: string[] = []
  if (byDigest.size < given.length) notes.push('the same adapter was given more than once: its weights are added up')
  const sorted = [...byDigest.values()].sort((a, b) => (a.digest < b.digest ? -1 : 1))
  const adapters = sorted.filter(({ weight }) => weight !== 0)
  for (const { adapter, weight } of sorted) if (weight === 0) notes.push(`${lastPart(adapter.label)} has weight 0 and changes nothing`)
  const deltas = new Map<string, WeightedDelta[]>()
  adapters.forEach(({ adapter, weight }, index) => {
    for (const delta of adapter.deltas) {
      const list = deltas.get(delta.target) ?? []
      list.push({ delta, weight, adapter: index })
      deltas.set(delta.target, list)
    }
  })
  return { adapters, deltas, notes }
}
