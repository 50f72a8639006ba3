/** How several adapters become one change: what was typed, by PEFT's names. */
import { quoted, UnsupportedError, UsageError } from '../core/errors.js'
import type { CombineMethod, CombineOptions } from '../merge/combine-rule.js'
import type { CommonFlags } from './options.js'
import { parseCount, parseNumber } from './values.js'

const METHODS: ReadonlyMap<string, CombineMethod> = new Map([
  ['sum', 'sum'],
  ['cat', 'sum'],
  ['linear', 'linear'],
  ['svd', 'svd'],
  ['ties', 'ties'],
  ['magnitude_prune', 'magnitude_prune'],
])

const RANDOM = 'draws random numbers, which only the same torch gives again'
const WHOLE = 'prunes what the adapters do as whole matrices, whose last bits decide what is pruned'

/** Ways of PEFT that this tool has not, and why. */
const OTHERS: ReadonlyMap<string, string> = new Map([
  ['dare_linear', RANDOM],
  ['dare_ties', RANDOM],
  ['dare_linear_svd', RANDOM],
  ['dare_ties_svd', RANDOM],
  ['ties_svd', WHOLE],
  ['magnitude_prune_svd', WHOLE],
])

const MOST_COMPONENTS = 1_048_576

/** @throws UsageError, UnsupportedError for ways that PEFT has and we have not */
export function combineOptions({ combine, density, majoritySign, svdRank }: CommonFlags): CombineOptions {
  return {
    combine: combine === undefined ? undefined : parseCombine('--combine', combine),
    density: density === undefined ? undefined : parseNumber('--density', density),
    majoritySign: majoritySign === undefined ? undefined : parseMajority('--majority-sign', majoritySign),
    svdRank: svdRank === undefined ? undefined : parseCount('--svd-rank', svdRank, MOST_COMPONENTS),
  }
}

/** `cat` is the sum. */
export function parseCombine(option: string, typed: string): CombineMethod {
  const name = typed.toLowerCase().replaceAll('-', '_')
  const method = METHODS.get(name)
  if (method !== undefined) return method
  const reason = OTHERS.get(name)
  if (reason !== undefined)
    throw new UnsupportedError(
      `${option} ${name} is not supported: it ${reason}. Combine the adapters with PEFT's add_weighted_adapter, and merge its result; or use ${[...METHODS.keys()].join(', ')}.`,
    )
  throw new UsageError(`${option} takes ${[...METHODS.keys()].join(', ')}, not ${quoted(typed)}.`)
}

function parseMajority(option: string, typed: string): 'total' | 'frequency' {
  const name = typed.toLowerCase()
  if (name === 'total' || name === 'frequency') return name
  throw new UsageError(`${option} takes total or frequency, not ${quoted(typed)}.`)
}
