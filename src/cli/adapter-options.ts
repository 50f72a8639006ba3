/** Options of the library about adapters, from those that were typed. */
import type { CommonOptions } from '../host/options.js'
import type { CommonFlags } from './options.js'
import { parseCombine, parseNumber, parseSlices } from './values.js'

/** What only the user knows of an adapter. @throws UsageError */
export function adapterOptions({
  likePeft,
  combine,
  expertMajorB,
  alpha,
  enableLora,
  fanInFanOut,
  baseIsResidual,
}: CommonFlags): Pick<CommonOptions, 'likePeft' | 'combine' | 'expertMajorB' | 'alpha' | 'enableLora' | 'fanInFanOut' | 'baseIsResidual'> {
  return {
    likePeft,
    combine: combine === undefined ? undefined : parseCombine('--combine', combine),
    expertMajorB,
    alpha: alpha === undefined ? undefined : parseNumber('--alpha', alpha),
    enableLora: enableLora === undefined ? undefined : parseSlices('--enable-lora', enableLora),
    fanInFanOut,
    baseIsResidual,
  }
}
