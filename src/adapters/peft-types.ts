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

const NOT_YET: ReadonlySet<string> = new Set([
  ...['ADALORA', 'ADAMSS', 'BOFT', 'IA3', 'BEFT', 'LOHA', 'LOKR', 'OFT', 'LN_TUNING', 'VERA', 'FROD', 'PVERA', 'FOURIERFT', 'GLORA', 'HRA', 'VBLORA'],
  ...['UNILORA', 'MISS', 'BONE', 'RANDLORA', 'ROAD', 'TRAINABLE_TOKENS', 'HIRA', 'SHIRA', 'C3A', 'WAVEFT', 'OSF', 'DELORA', 'GRALORA', 'TINYLORA'],
  ...['PSOFT', 'PEANUT', 'SUPERTUNING', 'DEFT'],
])

/** Why an adapter of this type is refused; undefined for LORA. */
export function refusedPeftType(type: string): string | undefined {
  if (type === 'LORA') return undefined
  const never = NEVER.get(type)
  if (never !== undefined) return `cannot be merged into weights: ${never}. Serve it with PEFT.`
  if (NOT_YET.has(type)) return "is not yet supported here (LORA is): merge it with PEFT's merge_and_unload() and give the result as the base."
  return 'is not known here: only LORA can be merged so far.'
}
