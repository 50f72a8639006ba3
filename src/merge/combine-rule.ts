/**
 * Ways to make one change of several adapters, and which options each takes.
 *
 * Law: PEFT 0.21.2 tuners/lora/model.py `add_weighted_adapter`, by its names; `sum` is its `cat`.
 */
import type { MajoritySign, Pruning } from '../core/adapter-nodes.js'
import { UsageError } from '../core/errors.js'

export type CombineMethod = 'sum' | 'linear' | 'svd' | 'ties' | 'magnitude_prune'

/** What a caller may say of it. */
export interface CombineOptions {
  /** How several adapters become one change. Unless given: `sum`, what each does, added. The others are PEFT's. */
  readonly combine?: CombineMethod | undefined
  /** Of `ties` and `magnitude_prune`: the share of each factor's elements that is kept, the largest; above 0, at most 1. */
  readonly density?: number | undefined
  /** Of `ties`: which sign has the majority, by sum (`total`, unless given) or by number (`frequency`). */
  readonly majoritySign?: MajoritySign | undefined
  /** Of `svd`: how many singular components are kept. Unless given: the largest rank of the adapters. */
  readonly svdRank?: number | undefined
}

/** A method with everything that it needs. */
export type CombineRule =
  | { readonly method: 'sum' | 'linear' }
  | { readonly method: 'svd'; readonly rank: number | undefined }
  | { readonly method: 'ties' | 'magnitude_prune'; readonly pruning: Pruning }

export const SUM: CombineRule = { method: 'sum' }

/** How options are typed, and the methods that take them. */
const TAKEN_BY: { readonly [O in Exclude<keyof CombineOptions, 'combine'>]-?: { readonly typed: string; readonly methods: readonly CombineMethod[] } } = {
  density: { typed: '--density', methods: ['ties', 'magnitude_prune'] },
  majoritySign: { typed: '--majority-sign', methods: ['ties'] },
  svdRank: { typed: '--svd-rank', methods: ['svd'] },
}

/** @throws UsageError when an option is missing, out of range, or of another method */
export function combineRule(options: CombineOptions): CombineRule {
  const { combine: method = 'sum', density, majoritySign = 'total', svdRank } = options
  for (const [name, { typed, methods }] of Object.entries(TAKEN_BY)) {
    if (options[name as keyof CombineOptions] === undefined || methods.includes(method)) continue
    throw new UsageError(`${typed} is for --combine ${methods.join(' and ')}, not for ${method}.`)
  }
  if (method === 'svd') {
    if (svdRank !== undefined && !(Number.isSafeInteger(svdRank) && svdRank >= 1))
      throw new UsageError(`--svd-rank is ${svdRank}; a whole number from 1 is wanted.`)
    return { method, rank: svdRank }
  }
  if (method === 'sum' || method === 'linear') return { method }
  if (density === undefined) throw new UsageError(`--combine ${method} needs --density: the share of each factor to keep, such as 0.5.`)
  if (!(density > 0 && density <= 1)) throw new UsageError(`--density is ${density}; a number above 0 and at most 1 is wanted.`)
  return { method, pruning: method === 'ties' ? { density, majoritySign } : { density } }
}

/** What is done, for people. @param rank  of what `svd` leaves */
export function describeRule(rule: CombineRule, rank: number): string {
  switch (rule.method) {
    case 'sum':
      return 'what the adapters do is added'
    case 'linear':
      return 'the factors of the adapters are added (linear), not what they do: their updates mix'
    case 'svd':
      return `what the adapters do is added, and cut to its ${rank} largest singular components of each tensor (svd)`
    case 'ties':
      return `the factors of the adapters are combined, not what they do: the largest ${share(rule.pruning)} of each, where their signs agree (ties, majority by ${rule.pruning.majoritySign ?? 'total'})`
    case 'magnitude_prune':
      return `the factors of the adapters are added, not what they do: the largest ${share(rule.pruning)} of each (magnitude_prune)`
  }
}

function share({ density }: Pruning): string {
  return `${Number((density * 100).toPrecision(6))} %`
}
