/** What is merged and what is refused, told from the tables that decide it: README shows it, and no list of its own can go stale. */
import { DIFFUSION_KINDS, REFUSED_KEYS } from './diffusion/diffusion-kinds.js'
import { adapterFormats } from './formats.js'
import { refusedFields, RESIDUAL_INITS, RESIDUAL_WAY_OUT } from './peft/peft-config.js'
import { knownPeftTypes, peftTypeRow, refusedPeftType } from './peft/peft-types.js'

/** A format, or a kind of adapter. */
export interface SupportRow {
  readonly name: string
  /** Why it is refused, or what to do instead; undefined when it is merged. */
  readonly refused: string | undefined
}

/** File formats of adapters, in the order in which they are tried. */
export function supportedFormats(): SupportRow[] {
  return adapterFormats().map(({ name, refused }) => ({ name, refused }))
}

/** PEFT's kinds of adapters by `peft_type`, the merged ones first. */
export function supportedPeftTypes(): SupportRow[] {
  const rows = knownPeftTypes().map((type) => ({ name: nameOf(type), refused: refusedPeftType(type) }))
  return [...rows.filter(({ refused }) => refused === undefined), ...rows.filter(({ refused }) => refused !== undefined)]
}

/** What adapters of sd-scripts, LyCORIS and diffusers hold for a module of a pipeline, the merged ones first. */
export function supportedDiffusionKinds(): SupportRow[] {
  const merged = new Set(DIFFUSION_KINDS.map(({ name }) => name))
  return [...[...merged].map((name) => ({ name, refused: undefined })), ...REFUSED_KEYS.map(({ name, why }) => ({ name, refused: why }))]
}

/** What a LoRA config may ask for that is merged, by its fields. */
const MERGED_FIELDS: readonly (readonly [what: string, field: string])[] = [
  ['DoRA', 'use_dora'],
  ['rsLoRA', 'use_rslora'],
  ['ranks and alphas by module', 'rank_pattern'],
  ['biases', 'bias'],
  ['tensors trained as a whole', 'modules_to_save'],
  ['trained tokens', 'trainable_token_indices'],
  ['parameters such as fused experts', 'target_parameters'],
  ['tied weights', 'ensure_weight_tying'],
  ['KaSA', 'kasa_config'],
  ['BD-LoRA', 'use_bdlora'],
]

export function mergedLoraFields(): SupportRow[] {
  return MERGED_FIELDS.map(([what, field]) => ({ name: `${what} (\`${field}\`)`, refused: undefined }))
}

/** What a LoRA config may ask for that is refused. */
export function refusedLoraFields(): SupportRow[] {
  return [
    ...refusedFields().map(({ field, what, wayOut }) => ({ name: `${what} (\`${field}\`)`, refused: wayOut })),
    ...RESIDUAL_INITS.map(({ name }) => ({ name, refused: RESIDUAL_WAY_OUT })),
  ]
}

function nameOf(type: string): string {
  const { name } = peftTypeRow(type)
  return name.toUpperCase().replaceAll(/[^A-Z0-9]/g, '') === type.replaceAll('_', '') ? name : `${name} (\`${type}\`)`
}
