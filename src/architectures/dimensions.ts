/**
 * The numbers of a model that rows and transforms compute with: layers, heads, experts, sizes; whatever generation of
 * config spelled them, and bounded, because loops run over them.
 */
import { isArray, isObject } from '../core/json.js'
import { readCount, readCounts, readFloat, readSection, readUint, spelling, wrong, type Config } from './config.js'

export const MAX_BLOCKS = 512 // llama.cpp's LLAMA_MAX_LAYERS; it refuses more
const MAX_EXPERTS = 1024 // no model has more than 512; llama.cpp's LLAMA_MAX_EXPERTS
const MAX_HEAD_DIM = 65_536 // rope factors are held in memory, one per pair; largest seen: 576 (DeepSeek's latent keys)

/** Spellings of config keys, as the reference orders them. */
export const HEADS = ['num_attention_heads', 'n_head', 'n_heads']
export const KV_HEADS = ['num_key_value_heads', 'n_kv_heads', 'num_kv_heads', 'n_head_kv', 'multi_query_group_num']
export const EXPERTS = ['num_local_experts', 'num_experts', 'n_routed_experts', 'moe_num_experts', 'num_routed_experts', 'moe_num_primary_experts']
export const EMBEDDING_LENGTH = ['hidden_size', 'n_embd', 'dim', 'd_model', 'n_embed']
const BLOCK_COUNT = ['n_layers', 'num_hidden_layers', 'n_layer', 'num_layers']

/** Number of layers; loops and name checks run over it, so it is bounded first. */
export function blockCount(config: Config): number {
  return readUint(config, spelling(config, BLOCK_COUNT) ?? 'num_hidden_layers', MAX_BLOCKS)
}

/** Number of heads of queries. */
export function headCount(config: Config): number {
  return readUint(config, spelling(config, HEADS) ?? 'num_attention_heads')
}

/** Number of key and value heads; as many as heads where the config knows no others. */
export function kvHeadCount(config: Config): number {
  const { values } = config
  if (values.get('multi_query') === true && values.get('new_decoder_architecture') !== true) return 1 // Falcon 7B, whose num_kv_heads says otherwise
  const key = spelling(config, KV_HEADS)
  return key === undefined ? headCount(config) : readUint(config, key)
}

/** Number of key and value heads of a layer, where layers differ; 0 = it has no attention of the usual kind. */
export function layerKvHeadCount(config: Config, block: number): number {
  const listed = config.values.get('num_key_value_heads_per_layer') ?? null
  if (listed !== null) return readCounts(config, 'num_key_value_heads_per_layer', MAX_BLOCKS)[block] ?? 0
  if (!config.values.has('block_configs')) return kvHeadCount(config)
  const attention = readSection(layerSection(config, block), 'attention')
  const group = optionalUint(attention, 'n_heads_in_group')
  return group === undefined ? 0 : Math.floor(headCount(config) / group)
}

/** What `block_configs` says of a layer. */
export function layerSection(config: Config, block: number): Config {
  const blocks = config.values.get('block_configs') ?? null
  const values = isArray(blocks) ? blocks[block] : undefined
  return { values: isObject(values) ? values : new Map(), file: config.file, path: `${config.path}block_configs.${block}.` }
}

/** Elements of one head: head_dim, else its share of the hidden state. */
export function headDim(config: Config): number {
  return spelling(config, ['head_dim']) === undefined ? evenHeadSize(config) : readUint(config, 'head_dim', MAX_HEAD_DIM)
}

/** Elements of one head where the heads share the hidden state, rounded down as in the reference. */
export function evenHeadSize(config: Config): number {
  const elements = Math.floor(hiddenSize(config) / headCount(config))
  if (elements >= 1 && elements <= MAX_HEAD_DIM) return elements
  throw wrong(config, 'hidden_size', `between ${headCount(config)} (the number of heads) and ${MAX_HEAD_DIM} times that`)
}

/** Elements of a hidden state. */
export function hiddenSize(config: Config): number {
  return readUint(config, spelling(config, EMBEDDING_LENGTH) ?? 'hidden_size')
}

/** Where RoBERTa's positions begin: behind that of the padding token. */
export function firstPosition(config: Config): number {
  return spelling(config, ['pad_token_id']) === undefined ? 0 : 1 + readCount(config, 'pad_token_id')
}

/** Number of experts in a layer that has them. */
export function expertCount(config: Config): number {
  return readUint(config, spelling(config, EXPERTS) ?? 'num_experts', MAX_EXPERTS)
}

/** The first spelling that the config has. @throws FormatError when it is no positive integer */
export function optionalUint(config: Config, ...spellings: readonly string[]): number | undefined {
  const key = spelling(config, spellings)
  return key === undefined ? undefined : readUint(config, key)
}

/** The first spelling that the config has. @throws FormatError when it is no number >= 0 */
export function optionalFloat(config: Config, ...spellings: readonly string[]): number | undefined {
  const key = spelling(config, spellings)
  return key === undefined ? undefined : readFloat(config, key)
}
