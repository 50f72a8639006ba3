/**
 * A GGUF file's metadata -> the config that it was made of, as far as transforms ask for it. Keys that rows copy are
 * copied back; the others have a row here. What is not written, as sizes of a vocabulary, is read off the tensors.
 */
import type { Json } from '../core/json.js'
import type { KeyValue, MetadataValue } from '../core/key-value.js'
import type { TensorInfo } from '../core/tensor-info.js'
import type { Config } from './config.js'
import type { Architecture } from './define.js'

/** A number of the metadata, by its key without the architecture; text where there is something that is none. */
type Numbers = (key: string) => Found
type Found = number | string | undefined

/** Spellings of configs -> where their number is, whatever a family's own rows say. */
const NUMBERS: readonly (readonly [spelling: string, of: (numbers: Numbers) => Found])[] = [
  ['num_attention_heads', (of) => of('attention.head_count')],
  ['num_key_value_heads', (of) => of('attention.head_count_kv')],
  ['hidden_size', (of) => of('embedding_length')],
  ['num_hidden_layers', (of) => both((all, predictors) => all - predictors, of('block_count'), of('nextn_predict_layers') ?? 0)],
  ['rotary_dim', (of) => of('rope.dimension_count')],
  ['n_groups', (of) => of('ssm.group_count')],
  ['v_head_dim', (of) => of('attention.value_length_mla')],
  ['qk_nope_head_dim', (of) => both((all, rotating) => all - rotating, of('attention.key_length_mla'), of('rope.dimension_count'))],
  ['linear_value_head_dim', (of) => both((all, heads) => all / heads, of('ssm.inner_size'), of('ssm.time_step_rank'))],
]

/**
 * @param file  what messages call it
 * @returns the config of each layer, for some have lists of their layers' numbers; of no layer where tensors belong to none
 */
export function configsOfMetadata(
  { gguf, definition }: Architecture,
  keyValues: readonly KeyValue[],
  tensors: ReadonlyMap<string, TensorInfo>,
  file: string,
): (block: number | undefined) => Config {
  const metadata = new Map(keyValues.map(({ key, value }) => [key, value]))
  const configs = new Map<number | undefined, Config>()
  const configOf = (block: number | undefined): Config => {
    const numbers: Numbers = (key) => numberOf(metadata.get(`${gguf}.${key}`), block)
    const values = new Map<string, Json>()
    const keep = (spelling: string, value: number | string | undefined): void => {
      if (value !== undefined) values.set(spelling, value)
    }
    for (const [spelling, of] of NUMBERS) keep(spelling, of(numbers))
    const sections = metadata.get(`${gguf}.rope.dimension_sections`)
    if (sections?.type === 'array' && sections.items !== 'string' && sections.items !== 'bool')
      values.set('rope_parameters', new Map([['mrope_section', Array.from(sections.value, Number)]]))
    keep('vocab_size', tensors.get('token_embd.weight')?.shape[0])
    for (const [key, , source] of definition.hparams) {
      const spelling = typeof source === 'string' ? source : Array.isArray(source) ? (source as readonly string[])[0] : undefined
      if (spelling !== undefined) keep(spelling, numbers(key))
    }
    return { values, file, path: '' }
  }
  return (block) => {
    const config = configs.get(block) ?? configOf(block)
    configs.set(block, config)
    return config
  }
}

/** Text instead of what is no number, so that nobody takes it for missing and computes with a default. */
function numberOf(value: MetadataValue | undefined, block: number | undefined): number | string | undefined {
  if (value === undefined || value.type === 'string' || value.type === 'bool') return undefined
  if (value.type !== 'array') return Number(value.value)
  if (value.items === 'string' || value.items === 'bool') return undefined
  const own = block === undefined ? undefined : value.value[block]
  return own === undefined ? `a list of ${value.value.length} numbers` : Number(own)
}

function both(compute: (a: number, b: number) => number, a: Found, b: Found): number | undefined {
  return typeof a === 'number' && typeof b === 'number' ? compute(a, b) : undefined
}
