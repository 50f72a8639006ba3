/**
 * THE table of what adapter tensors are, by the end of their keys: `<module>.<marker>[.<adapter name>][.<number>][.<tail>]`.
 * A new variant or format adds rows; nobody else looks at the spelling of a key.
 *
 * Law: PEFT 0.21.2 tuners/<type>/layer.py `adapter_layer_names`, `other_param_names`, and utils/save_and_load.py.
 */
import type { DiffusionRole } from './diffusion/diffusion-keys.js'

/** Roles of which a module has several, numbered. */
export type NumberedRole = 'encoder' | 'decoder' | 'tinyV'

/** What a tensor is to its module. */
export type FactorRole =
  | DiffusionRole
  | ('A' | 'B' | 'magnitude' | 'trainedBias' | 'diagonal' | 'embeddingA' | 'embeddingB' | 'bareA' | 'bareB' | 'bareE')
  | ('baseWeight' | 'baseBias' | 'weight' | 'bias' | 'parameter' | 'tokens')
  | ('ia3' | 'hada1A' | 'hada1B' | 'hada2A' | 'hada2B' | 'hada1Core' | 'hada2Core')
  | ('lokr1' | 'lokr1A' | 'lokr1B' | 'lokr2' | 'lokr2A' | 'lokr2B' | 'lokr2Core')
  | ('veraA' | 'veraB' | 'veraRowsOfB' | 'veraRowsOfA' | 'hiraA' | 'hiraB' | 'hiraEmbeddingA' | 'hiraEmbeddingB' | 'miss')
  | ('deloraA' | 'deloraB' | 'deloraLambda' | 'deloraNorm' | 'oft' | 'oftEmbedding' | 'boft' | 'boftRows' | 'hra' | 'roadAngles' | 'roadLengths')
  | ('sparseValues' | 'sparsePositions' | 'superA' | 'superB' | 'c3a' | 'randA' | 'randB' | 'randLambda' | 'randGamma')
  | ('vbBank' | 'vbLogitsA' | 'vbLogitsB' | 'vbWeightsA' | 'vbWeightsB' | 'vbIdsA' | 'vbIdsB' | 'graA' | 'graB' | 'graGeneralA' | 'graGeneralB')
  | ('tinyA' | 'tinyB' | 'tinyP' | 'deftP' | 'deftR' | 'peanutA' | 'peanutB' | 'beft')
  | `glora${'A' | 'B' | 'C'}${'d' | 'u' | ''}`
  | ('gloraD' | 'gloraE')
  | `${NumberedRole}.${number}`

interface SuffixRow {
  /** Component of the key that ends the module's path; empty when the tail follows the path at once. */
  readonly marker: string
  /** What follows the marker: `weight`, `bias` and the like, nothing (''), or anything (`*`). */
  readonly tail: string
  readonly meaning: { readonly role: FactorRole } | { readonly numbered: NumberedRole } | { readonly refused: string } | { readonly ignored: string }
}

const row = (marker: string, tail: string, role: FactorRole): SuffixRow => ({ marker, tail, meaning: { role } })
const numbered = (marker: string, tail: string, role: NumberedRole): SuffixRow => ({ marker, tail, meaning: { numbered: role } })
const ignored = (marker: string, tail: string, what: string): SuffixRow => ({ marker, tail, meaning: { ignored: what } })

/** Rows of one marker and tail are unique. */
export const KEY_SUFFIXES: readonly SuffixRow[] = [
  row('lora_A', 'weight', 'A'),
  row('lora_B', 'weight', 'B'),
  row('lora_B', 'bias', 'trainedBias'),
  row('lora_A', '', 'bareA'),
  row('lora_B', '', 'bareB'),
  row('lora_E', '', 'bareE'),
  row('lora_embedding_A', '', 'embeddingA'),
  row('lora_embedding_B', '', 'embeddingB'),
  row('lora_magnitude_vector', '', 'magnitude'),
  row('lora_magnitude_vector', 'weight', 'magnitude'),
  row('lora_diag', '', 'diagonal'),
  ignored('lora_velora_embed', '*', 'a buffer of VeLoRA, which only training uses'),
  ignored('lora_monteclora_sampler', '*', 'a sampler of MonteCLoRA, which only training uses'),
  row('trainable_tokens_delta', '', 'tokens'),
  row('modules_to_save', 'weight', 'weight'),
  row('modules_to_save', 'bias', 'bias'),
  { marker: 'modules_to_save', tail: '*', meaning: { refused: 'a part of a wholly trained module that is neither weight nor bias' } },
  row('base_layer', 'weight', 'baseWeight'),
  row('base_layer', 'bias', 'baseBias'),
  row('ln_tuning_layers', 'weight', 'weight'),
  row('ln_tuning_layers', 'bias', 'bias'),
  row('ia3_l', '', 'ia3'),
  row('hada_w1_a', '', 'hada1A'),
  row('hada_w1_b', '', 'hada1B'),
  row('hada_w2_a', '', 'hada2A'),
  row('hada_w2_b', '', 'hada2B'),
  row('hada_t1', '', 'hada1Core'),
  row('hada_t2', '', 'hada2Core'),
  row('lokr_w1', '', 'lokr1'),
  row('lokr_w1_a', '', 'lokr1A'),
  row('lokr_w1_b', '', 'lokr1B'),
  row('lokr_w2', '', 'lokr2'),
  row('lokr_w2_a', '', 'lokr2A'),
  row('lokr_w2_b', '', 'lokr2B'),
  row('lokr_t2', '', 'lokr2Core'),
  row('vera_A', '', 'veraA'),
  row('vera_B', '', 'veraB'),
  row('vera_lambda_b', '', 'veraRowsOfB'),
  row('vera_lambda_d', '', 'veraRowsOfA'),
  row('pvera_A', '', 'veraA'),
  row('pvera_B', '', 'veraB'),
  row('pvera_lambda_b', '', 'veraRowsOfB'),
  row('pvera_lambda_d', '', 'veraRowsOfA'),
  row('delora_A', '', 'deloraA'),
  row('delora_B', '', 'deloraB'),
  row('delora_lambda', '', 'deloraLambda'),
  row('delora_w_norm', '', 'deloraNorm'),
  row('hira_A', '', 'hiraA'),
  row('hira_B', '', 'hiraB'),
  row('hira_embedding_A', '', 'hiraEmbeddingA'),
  row('hira_embedding_B', '', 'hiraEmbeddingB'),
  row('miss_block', '', 'miss'),
  row('bone_block', '', 'miss'),
  row('oft_R', 'weight', 'oft'),
  row('oft_embedding_R', 'weight', 'oftEmbedding'),
  { marker: 'oft_r', tail: '*', meaning: { refused: 'a block of OFT as PEFT up to 0.15 had it' } },
  { marker: 'oft_s', tail: '*', meaning: { refused: 'a scale of OFT as PEFT up to 0.15 had it' } },
  row('boft_R', '', 'boft'),
  row('boft_s', '', 'boftRows'),
  ignored('boft_P', '*', 'a permutation that follows from the shapes'),
  row('hra_u', '', 'hra'),
  row('road_theta', '', 'roadAngles'),
  row('road_alpha', '', 'roadLengths'),
  row('shira_weight', '', 'sparseValues'),
  row('shira_indices', '', 'sparsePositions'),
  row('supertuning_values', '', 'sparseValues'),
  row('supertuning_indices', '', 'sparsePositions'),
  row('supertuning_lora_A', 'weight', 'superA'),
  row('supertuning_lora_B', 'weight', 'superB'),
  row('c3a_kernel', '', 'c3a'),
  row('randlora_A', '', 'randA'),
  row('randlora_B', '', 'randB'),
  row('randlora_lambda', '', 'randLambda'),
  row('randlora_gamma', '', 'randGamma'),
  row('vblora_vector_bank', '', 'vbBank'),
  row('vblora_logits_A', '', 'vbLogitsA'),
  row('vblora_logits_B', '', 'vbLogitsB'),
  row('vblora_logits_A_topk_weights', '', 'vbWeightsA'),
  row('vblora_logits_B_topk_weights', '', 'vbWeightsB'),
  row('vblora_logits_A_topk_indices', '', 'vbIdsA'),
  row('vblora_logits_B_topk_indices', '', 'vbIdsB'),
  row('gralora_A', '', 'graA'),
  row('gralora_B', '', 'graB'),
  row('gralora_A_general', 'weight', 'graGeneralA'),
  row('gralora_B_general', 'weight', 'graGeneralB'),
  row('tinylora_A', '', 'tinyA'),
  row('tinylora_B', '', 'tinyB'),
  row('tinylora_P', '', 'tinyP'),
  numbered('tinylora_v', '', 'tinyV'),
  ...(['A', 'B', 'C'] as const).flatMap((path) => [
    row(`glora_${path}`, 'Xd', `glora${path}d`),
    row(`glora_${path}`, 'Xu', `glora${path}u`),
    row(`glora_${path}`, 'X', `glora${path}`),
  ]),
  row('glora_D', 'X', 'gloraD'),
  row('glora_E', 'X', 'gloraE'),
  ...['A', 'B', 'C', 'D', 'E'].map((path) => ignored(`glora_${path}`, 'zeros', 'zeros, for a path that was not trained')),
  row('deft_P', '', 'deftP'),
  row('deft_R', '', 'deftR'),
  row('peanut_A', 'weight', 'peanutA'),
  row('peanut_B', 'weight', 'peanutB'),
  numbered('peanut_encoders', 'weight', 'encoder'),
  numbered('peanut_decoders', 'weight', 'decoder'),
  row('beft_bias', '', 'beft'),
  row('', 'weight', 'weight'),
  row('', 'bias', 'bias'),
]

/** A key taken apart. */
export interface AdapterKey {
  readonly module: string
  /** Name of the adapter inside the key, as raw state dicts have it (`lora_A.default.weight`). */
  readonly adapterName: string | undefined
  readonly meaning: { readonly role: FactorRole } | { readonly refused: string } | { readonly ignored: string }
}

const ROWS = new Map(KEY_SUFFIXES.map((each) => [`${each.marker}/${each.tail}`, each]))
const MARKERS = new Set(KEY_SUFFIXES.map(({ marker }) => marker).filter((marker) => marker !== ''))

/** Takes a key apart; undefined when no row describes it. @param key  without the format's prefix */
export function splitKey(key: string): AdapterKey | undefined {
  const parts = key.split('.')
  const at = parts.findLastIndex((part) => MARKERS.has(part))
  if (at === 0) return undefined // no module in front
  if (at < 0) return parts.length > 1 ? found(ROWS.get(`/${parts.at(-1)}`), parts.slice(0, -1), []) : undefined

  const marker = parts[at] ?? ''
  const module = parts.slice(0, at)
  const rest = parts.slice(at + 1)
  const withTail = rest.length > 0 ? ROWS.get(`${marker}/${rest.at(-1)}`) : undefined
  const exact = withTail === undefined ? found(ROWS.get(`${marker}/`), module, rest) : found(withTail, module, rest.slice(0, -1))
  return exact ?? found(ROWS.get(`${marker}/*`), module, [])
}

/** @param between  what stands between marker and tail: the adapter's name, which has no dot (PEFT refuses it), then a number, where there are several */
function found(one: SuffixRow | undefined, module: readonly string[], between: readonly string[]): AdapterKey | undefined {
  if (one === undefined) return undefined
  const path = module.join('.')
  if (!('numbered' in one.meaning)) return between.length > 1 ? undefined : { module: path, adapterName: between[0], meaning: one.meaning }
  const number = between.at(-1) ?? ''
  if (between.length > 2 || !/^(?:0|[1-9]\d{0,5})$/.test(number)) return undefined
  return { module: path, adapterName: between.length === 2 ? between[0] : undefined, meaning: { role: `${one.meaning.numbered}.${Number(number)}` } }
}
