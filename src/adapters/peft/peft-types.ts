/**
 * Kinds of adapters by PEFT's `peft_type`, and what to say of those that are not merged.
 *
 * Law: PEFT 0.21.2 utils/peft_types.py; which have weights to merge: each tuner's `merge`.
 */

import { ACTIVATIONS } from '../../core/activations.js'

/** Cannot be merged into weights at all, with the reason. */
const NEVER: ReadonlyMap<string, string> = new Map([
  ...['PROMPT_TUNING', 'MULTITASK_PROMPT_TUNING', 'P_TUNING', 'PREFIX_TUNING', 'CPT', 'CARTRIDGE'].map(
    (type) => [type, 'it learns virtual tokens, not weights'] as const,
  ),
  ['ADAPTION_PROMPT', 'it adds attention over learned tokens'],
  ['POLY', 'it chooses among its parts by task at run time'],
  ['XLORA', 'it mixes its parts by input at run time'],
  ['LILY', 'it routes by input at run time'],
  ['SHADOW', 'it adds a network of its own'],
])

/** A field of a config that says how its tensors are meant: what it may be, and what PEFT takes when it is not there. */
export type OptionRow =
  | { readonly is: 'flag'; readonly otherwise: boolean }
  | { readonly is: 'count'; readonly least: number; readonly otherwise: number }
  | { readonly is: 'number'; readonly otherwise: number | undefined }
  | { readonly is: 'word'; readonly words: readonly (string | boolean)[]; readonly otherwise: string | boolean }

export type OptionValue = string | number | boolean

/** A kind that is merged: where its config has rank and alpha, how it was initialised, and what else counts. */
export interface PeftTypeRow {
  /** For people. */
  readonly name: string
  readonly rank?: string
  readonly alpha?: string
  readonly init?: string
  /** Whether rank_pattern and alpha_pattern count; PEFT ignores them elsewhere. */
  readonly patterns?: boolean
  readonly options?: Readonly<Record<string, OptionRow>>
}

const flag = (otherwise: boolean): OptionRow => ({ is: 'flag', otherwise })
const count = (otherwise: number, least = 1): OptionRow => ({ is: 'count', least, otherwise })
const number = (otherwise: number | undefined): OptionRow => ({ is: 'number', otherwise })
const word = (otherwise: string | boolean, ...words: readonly (string | boolean)[]): OptionRow => ({ is: 'word', words: [otherwise, ...words], otherwise })

/** THE table of kinds that are merged. */
export const MERGED_TYPES: ReadonlyMap<string, PeftTypeRow> = new Map<string, PeftTypeRow>([
  ['LORA', { name: 'LoRA', rank: 'r', alpha: 'lora_alpha', init: 'init_lora_weights', patterns: true }],
  ['ADALORA', { name: 'AdaLoRA', rank: 'init_r', alpha: 'lora_alpha' }],
  ['LOHA', { name: 'LoHa', rank: 'r', alpha: 'alpha', patterns: true }],
  ['LOKR', { name: 'LoKr', rank: 'r', alpha: 'alpha', patterns: true }],
  ['IA3', { name: 'IA3' }],
  ['VERA', { name: 'VeRA', rank: 'r' }],
  ['PVERA', { name: 'pVeRA', rank: 'r' }],
  ['DELORA', { name: 'DeLoRA', rank: 'r', patterns: true }],
  ['HIRA', { name: 'HiRA', rank: 'r' }],
  ['MISS', { name: 'MiSS', rank: 'r', options: { init_weights: word(true, false, 'bat', 'mini') } }],
  ['BONE', { name: 'Bone', rank: 'r', options: { init_weights: word(true, false, 'bat') } }],
  [
    'OFT',
    {
      name: 'OFT',
      options: { use_cayley_neumann: flag(true), num_cayley_neumann_terms: count(5), coft: flag(false), eps: number(6e-5), block_share: flag(false) },
    },
  ],
  ['BOFT', { name: 'BOFT' }],
  ['HRA', { name: 'HRA', rank: 'r', options: { apply_GS: flag(false) } }],
  ['SHIRA', { name: 'SHiRA' }],
  ['SUPERTUNING', { name: 'Super-Tuning', options: { r: count(0, 0), lora_alpha: number(undefined) } }],
  ['ROAD', { name: 'RoAd', options: { variant: word('road_1', 'road_2', 'road_4'), group_size: count(64, 2) } }],
  ['C3A', { name: 'C3A' }],
  ['RANDLORA', { name: 'RandLoRA', rank: 'r', alpha: 'randlora_alpha' }],
  ['VBLORA', { name: 'VB-LoRA', rank: 'r', options: { topk: count(2) } }],
  ['GRALORA', { name: 'GraLoRA', rank: 'r', alpha: 'alpha', options: { hybrid_r: count(0, 0) } }],
  ['TINYLORA', { name: 'TinyLoRA', options: { weight_tying: number(0), projection_seed: number(42) } }],
  ['GLORA', { name: 'GLoRA' }],
  ['DEFT', { name: 'DEFT', options: { decomposition_method: word('relu', 'qr'), alpha: number(undefined), para: flag(false) } }],
  ['PEANUT', { name: 'PEANuT', rank: 'r', options: { depth: count(0, 0), scaling: number(1), act_fn: word('relu', ...ACTIVATIONS) } }],
  ['BEFT', { name: 'BEFT' }],
  ['LN_TUNING', { name: 'LN tuning' }],
  ['TRAINABLE_TOKENS', { name: 'trainable tokens' }],
])

/** Known, and not merged: why, and what to do instead. */
const REFUSED: ReadonlyMap<string, string> = new Map([
  ...['FOURIERFT', 'WAVEFT', 'UNILORA'].map((type) => [type, 'where its values go follows from torch’s random numbers, which the file does not hold'] as const),
  ...['PSOFT', 'OSF', 'FROD'].map(
    (type) => [type, 'it turns parts of a singular value decomposition of the base, whose signs and order the file does not hold'] as const,
  ),
  ['ADAMSS', 'which rows of the base belong together follows from a clustering that the file does not hold'],
])

/** Every kind that is known by name. */
export function knownPeftTypes(): string[] {
  return [...new Set([...MERGED_TYPES.keys(), ...NEVER.keys(), ...REFUSED.keys()])]
}

/** The row of a kind that is merged; an empty one for others. */
export function peftTypeRow(type: string): PeftTypeRow {
  return MERGED_TYPES.get(type) ?? { name: type }
}

/** Why an adapter of this type is refused; undefined for those that are merged. */
export function refusedPeftType(type: string): string | undefined {
  if (MERGED_TYPES.has(type)) return undefined
  const never = NEVER.get(type)
  if (never !== undefined) return `cannot be merged into weights: ${never}. Serve it with PEFT.`
  const refused = REFUSED.get(type)
  if (refused !== undefined) return `is not merged here: ${refused}. Merge it with PEFT's merge_and_unload() and give the result as the base.`
  return `is not known here: ${[...MERGED_TYPES.keys()].join(', ')} can be merged.`
}
