/** Options of the library about adapters, from those that were typed. */
import type { CommonOptions } from '../host/options.js'
import { combineOptions } from './combine-options.js'
import type { CommonFlags } from './options.js'
import { parseNumber, parseSlices, parseState } from './values.js'

type AdapterOptions =
  | 'likePeft'
  | 'combine'
  | 'density'
  | 'majoritySign'
  | 'svdRank'
  | 'expertMajorB'
  | 'alpha'
  | 'enableLora'
  | 'fanInFanOut'
  | 'state'
  | 'baseIsResidual'

/** What only the user knows of an adapter, and how several become one change. @throws UsageError */
export function adapterOptions(flags: CommonFlags): Pick<CommonOptions, AdapterOptions> {
  const { likePeft, expertMajorB, alpha, enableLora, fanInFanOut, state, baseIsResidual } = flags
  return {
    likePeft,
    ...combineOptions(flags),
    expertMajorB,
    alpha: alpha === undefined ? undefined : parseNumber('--alpha', alpha),
    enableLora: enableLora === undefined ? undefined : parseSlices('--enable-lora', enableLora),
    fanInFanOut,
    state: state === undefined ? undefined : parseState('--state', state),
    baseIsResidual,
  }
}
