/**
 * THE table of what adapter tensors are, by the end of their keys: `<module>.<marker>[.<adapter name>][.<tail>]`.
 * A new variant or format adds rows; nobody else looks at the spelling of a key.
 *
 * Law: PEFT 0.21.2 tuners/<type>/layer.py `adapter_layer_names`, `other_param_names`, and utils/save_and_load.py.
 */
import type { DiffusionRole } from './diffusion-keys.js'

/** What a tensor is to its module. */
export type FactorRole =
  | DiffusionRole
  | ('A' | 'B' | 'magnitude' | 'trainedBias' | 'embeddingA' | 'embeddingB' | 'bareA' | 'bareB' | 'bareE')
  | ('baseWeight' | 'baseBias' | 'weight' | 'bias' | 'parameter' | 'tokens')
  | ('ia3' | 'hada1A' | 'hada1B' | 'hada2A' | 'hada2B' | 'lokr1' | 'lokr1A' | 'lokr1B' | 'lokr2' | 'lokr2A' | 'lokr2B')
  | ('veraA' | 'veraB' | 'veraRowsOfB' | 'veraRowsOfA' | 'hiraA' | 'hiraB' | 'miss')
  | ('deloraA' | 'deloraB' | 'deloraLambda' | 'deloraNorm')

interface SuffixRow {
  /** Component of the key that ends the module's path; empty when the tail follows the path at once. */
  readonly marker: string
  /** What follows the marker: `weight`, `bias`, nothing (''), or anything (`*`). */
  readonly tail: 'weight' | 'bias' | '' | '*'
  readonly meaning: { readonly role: FactorRole } | { readonly refused: string } | { readonly ignored: string }
}

const row = (marker: string, tail: SuffixRow['tail'], role: FactorRole): SuffixRow => ({ marker, tail, meaning: { role } })

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
  { marker: 'lora_diag', tail: '', meaning: { refused: 'the diagonal of KaSA' } },
  { marker: 'lora_velora_embed', tail: '*', meaning: { ignored: 'a buffer of VeLoRA, which only training uses' } },
  { marker: 'lora_monteclora_sampler', tail: '*', meaning: { ignored: 'a sampler of MonteCLoRA, which only training uses' } },
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
  { marker: 'hada_t1', tail: '', meaning: { refused: 'a core of LoHa on convolutions (CP decomposition)' } },
  { marker: 'hada_t2', tail: '', meaning: { refused: 'a core of LoHa on convolutions (CP decomposition)' } },
  row('lokr_w1', '', 'lokr1'),
  row('lokr_w1_a', '', 'lokr1A'),
  row('lokr_w1_b', '', 'lokr1B'),
  row('lokr_w2', '', 'lokr2'),
  row('lokr_w2_a', '', 'lokr2A'),
  row('lokr_w2_b', '', 'lokr2B'),
  { marker: 'lokr_t2', tail: '', meaning: { refused: 'a core of LoKr on convolutions (CP decomposition)' } },
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
  row('miss_block', '', 'miss'),
  row('', 'weight', 'weight'),
  row('', 'bias', 'bias'),
]

/** A key taken apart. */
export interface AdapterKey {
  readonly module: string
  /** Name of the adapter inside the key, as raw state dicts have it (`lora_A.default.weight`). */
  readonly adapterName: string | undefined
  readonly meaning: SuffixRow['meaning']
}

const ROWS = new Map(KEY_SUFFIXES.map((each) => [`${each.marker}/${each.tail}`, each]))
const MARKERS = new Set(KEY_SUFFIXES.map(({ marker }) => marker).filter((marker) => marker !== ''))
const TAILS: ReadonlySet<string> = new Set(['weight', 'bias'])

/** Takes a key apart; undefined when no row describes it. @param key  without the format's prefix */
export function splitKey(key: string): AdapterKey | undefined {
  const parts = key.split('.')
  const at = parts.findLastIndex((part) => MARKERS.has(part))
  if (at === 0) return undefined // no module in front
  if (at < 0) return parts.length > 1 ? found('', parts.at(-1) ?? '', parts.slice(0, -1), undefined) : undefined

  const marker = parts[at] ?? ''
  const module = parts.slice(0, at)
  const rest = parts.slice(at + 1)
  const last = rest.at(-1)
  const tail = last !== undefined && TAILS.has(last) ? last : ''
  const names = tail === '' ? rest : rest.slice(0, -1)
  // an adapter's name has no dot (PEFT refuses it)
  const exact = names.length <= 1 ? found(marker, tail, module, names[0]) : undefined
  return exact ?? found(marker, '*', module, undefined)
}

function found(marker: string, tail: string, module: readonly string[], adapterName: string | undefined): AdapterKey | undefined {
  const one = ROWS.get(`${marker}/${tail}`)
  return one && { module: module.join('.'), adapterName, meaning: one.meaning }
}
