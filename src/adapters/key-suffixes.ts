/**
 * THE table of what adapter tensors are, by the end of their keys: `<module>.<marker>[.<adapter name>][.<tail>]`.
 * A new variant or format adds rows; nobody else looks at the spelling of a key.
 *
 * Law: PEFT 0.21.2 tuners/lora/layer.py `adapter_layer_names`, `other_param_names` and utils/save_and_load.py.
 */

/** What a tensor is to its module. */
export type FactorRole = 'A' | 'B'

interface SuffixRow {
  /** Component of the key that ends the module's path; empty when the tail follows the path at once. */
  readonly marker: string
  /** What follows the marker: `weight`, `bias`, nothing (''), or anything (`*`). */
  readonly tail: 'weight' | 'bias' | '' | '*'
  readonly meaning: { readonly variant: 'lora'; readonly role: FactorRole } | { readonly refused: string }
}

const LORA_A = { variant: 'lora', role: 'A' } as const
const LORA_B = { variant: 'lora', role: 'B' } as const
const BARE_FACTOR = { refused: 'loralib or AdaLoRA factors (no ".weight")' } as const
const EMBEDDING = { refused: 'LoRA on an embedding' } as const
const WHOLE = { refused: "a whole tensor that replaces the base's (modules_to_save, a resized embedding, bias training)" } as const

/** Rows of one marker and tail are unique. */
export const KEY_SUFFIXES: readonly SuffixRow[] = [
  { marker: 'lora_A', tail: 'weight', meaning: LORA_A },
  { marker: 'lora_B', tail: 'weight', meaning: LORA_B },
  { marker: 'lora_A', tail: '', meaning: BARE_FACTOR },
  { marker: 'lora_B', tail: '', meaning: BARE_FACTOR },
  { marker: 'lora_B', tail: 'bias', meaning: { refused: 'a trained bias of LoRA (lora_bias)' } },
  { marker: 'lora_embedding_A', tail: '', meaning: EMBEDDING },
  { marker: 'lora_embedding_B', tail: '', meaning: EMBEDDING },
  { marker: 'lora_magnitude_vector', tail: '', meaning: { refused: 'a magnitude of DoRA' } },
  { marker: 'lora_magnitude_vector', tail: 'weight', meaning: { refused: 'a magnitude of DoRA' } },
  { marker: 'lora_diag', tail: '', meaning: { refused: 'the diagonal of KaSA' } },
  { marker: 'lora_velora_embed', tail: '*', meaning: { refused: 'a buffer of VeLoRA' } },
  { marker: 'lora_monteclora_sampler', tail: '*', meaning: { refused: 'a sampler of MonteCLoRA' } },
  { marker: 'token_adapter', tail: '*', meaning: { refused: 'trained token rows (trainable_token_indices)' } },
  { marker: 'trainable_tokens_delta', tail: '', meaning: { refused: 'trained token rows' } },
  { marker: 'modules_to_save', tail: '*', meaning: WHOLE },
  { marker: 'base_layer', tail: 'weight', meaning: WHOLE },
  { marker: 'base_layer', tail: 'bias', meaning: WHOLE },
  { marker: '', tail: 'weight', meaning: WHOLE },
  { marker: '', tail: 'bias', meaning: WHOLE },
]

/** A key taken apart. */
export interface AdapterKey {
  readonly module: string
  /** Name of the adapter inside the key, as raw state dicts have it (`lora_A.default.weight`). */
  readonly adapterName: string | undefined
  readonly meaning: SuffixRow['meaning']
}

const ROWS = new Map(KEY_SUFFIXES.map((row) => [`${row.marker}/${row.tail}`, row]))
const MARKERS = new Set(KEY_SUFFIXES.map((row) => row.marker).filter((marker) => marker !== ''))
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
  const row = ROWS.get(`${marker}/${tail}`)
  return row && { module: module.join('.'), adapterName, meaning: row.meaning }
}
