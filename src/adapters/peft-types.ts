/**
 * Kinds of adapters by PEFT's `peft_type`, and what to say of those that are not merged.
 *
 * Law: PEFT 0.21.2 utils/peft_types.py; which have weights to merge: each tuner's `merge`.
 */

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

/** A kind that is merged: where its config has rank and alpha, and how it was initialised. */
export interface PeftTypeRow {
  /** For people. */
  readonly name: string
  readonly rank?: string
  readonly alpha?: string
  readonly init?: string
}

/** THE table of kinds that are merged. */
export const MERGED_TYPES: ReadonlyMap<string, PeftTypeRow> = new Map<string, PeftTypeRow>([
  ['LORA', { name: 'LoRA', rank: 'r', alpha: 'lora_alpha', init: 'init_lora_weights' }],
  ['ADALORA', { name: 'AdaLoRA', rank: 'init_r', alpha: 'lora_alpha' }],
  ['LOHA', { name: 'LoHa', rank: 'r', alpha: 'alpha' }],
  ['LOKR', { name: 'LoKr', rank: 'r', alpha: 'alpha' }],
  ['IA3', { name: 'IA3' }],
  ['VERA', { name: 'VeRA', rank: 'r' }],
  ['PVERA', { name: 'pVeRA', rank: 'r' }],
  ['DELORA', { name: 'DeLoRA', rank: 'r' }],
  ['HIRA', { name: 'HiRA', rank: 'r' }],
  ['MISS', { name: 'MiSS', rank: 'r', init: 'init_weights' }],
  ['LN_TUNING', { name: 'LN tuning' }],
  ['TRAINABLE_TOKENS', { name: 'trainable tokens' }],
])

const NOT_YET: ReadonlySet<string> = new Set([
  ...['ADAMSS', 'BOFT', 'BEFT', 'OFT', 'FROD', 'FOURIERFT', 'GLORA', 'HRA', 'VBLORA', 'BONE'],
  ...['UNILORA', 'RANDLORA', 'ROAD', 'SHIRA', 'C3A', 'WAVEFT', 'OSF', 'GRALORA', 'TINYLORA'],
  ...['PSOFT', 'PEANUT', 'SUPERTUNING', 'DEFT'],
])

/** Every kind that is known by name. */
export function knownPeftTypes(): string[] {
  return [...new Set([...MERGED_TYPES.keys(), ...NEVER.keys(), ...NOT_YET])]
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
  if (NOT_YET.has(type)) return "is not yet supported: merge it with PEFT's merge_and_unload() and give the result as the base."
  return `is not known here: ${[...MERGED_TYPES.keys()].join(', ')} can be merged.`
}
