/**
 * The `<arch>.*` metadata of a model: rows that say which config key goes where, and named functions for values that are
 * not simply copied. In goes config.json, out come typed key-values in the reference's order, every number checked.
 *
 * Law: conversion/base.py `TextModel.set_gguf_parameters` (llama.cpp 0c1e570), gguf-py constants.py `Keys`.
 */
import { InternalError, UnsupportedError, quoted } from '../core/errors.js'
import { bool, f32, string, u32, type KeyValue, type MetadataValue } from '../core/key-value.js'
import { readBoolean, readCount, readCounts, readFloat, readPositiveFloat, readString, readUint, spelling, wrong, type Config } from './config.js'
import { ropeParameters } from './rope.js'

const MAX_BLOCKS = 512 // llama.cpp's LLAMA_MAX_LAYERS; it refuses more
const MAX_HEAD_DIM = 65_536 // rope factors are held in memory, one per pair; largest seen: 576 (DeepSeek's latent keys)

/** Spellings of the config keys that this room computes with, as the reference orders them. */
export const HEADS = ['num_attention_heads', 'n_head', 'n_heads']
export const KV_HEADS = ['num_key_value_heads', 'n_kv_heads']
const BLOCK_COUNT = ['n_layers', 'num_hidden_layers', 'n_layer', 'num_layers']
const EMBEDDING_LENGTH = ['hidden_size', 'n_embd', 'dim']
const GATING = ['score_function', 'scoring_func', 'score_func', 'moe_router_activation', 'moe_router_activation_func', 'expert_selection_fn']
const GATING_IDS: ReadonlyMap<string, number> = new Map([
  ['softmax', 1],
  ['sigmoid', 2],
  ['sqrtsoftplus', 4],
]) // gguf-py `ExpertGatingFuncType`

type Value = number | boolean | string | readonly number[]

/** How a value is read from the config, and which numbers it may be: a `count` may be 0, a `u32` may not, an `f32` is never negative. */
const READERS = {
  u32: readUint,
  count: readCount,
  f32: readFloat,
  bool: readBoolean,
  string: readString,
  'i32[]': (config: Config, key: string) => readCounts(config, key, MAX_BLOCKS),
} as const satisfies Record<string, (config: Config, key: string) => Value>

/** Values that are not simply copied; undefined = the key is not written. */
export const DERIVED = {
  blockCount,
  headDim,
  notCausal: (config) => (config.values.get('is_causal') === false ? false : undefined),
  ropeScalingType: (config) => scaled(config, ['linear', 'yarn', 'su', 'longrope'], (_rope, type) => (type === 'su' ? 'longrope' : type)),
  ropeScalingFactor: (config) => scaled(config, ['linear', 'yarn'], (rope) => optionalFloat(rope, ['factor'])),
  ropeOriginalContext: (config) => scaled(config, ['yarn'], (rope) => readUint(rope, 'original_max_position_embeddings')),
  yarnExtFactor: (config) => scaled(config, ['yarn'], (rope) => optionalFloat(rope, ['extrapolation_factor'])),
  yarnAttnFactor: (config) => scaled(config, ['yarn'], (rope) => optionalFloat(rope, ['attention_factor', 'attn_factor'])),
  yarnBetaFast: (config) => scaled(config, ['yarn'], (rope) => optionalFloat(rope, ['beta_fast'])),
  yarnBetaSlow: (config) => scaled(config, ['yarn'], (rope) => optionalFloat(rope, ['beta_slow'])),
  ropeSections,
  ropeFreqBase: (config) => ropeTheta(ropeParameters(config).full),
  ropeFreqBaseSliding: (config) => ropeTheta(ropeParameters(config).sliding),
  expertGating,
} as const satisfies Record<string, (config: Config) => Value | undefined>

/**
 * One key of the metadata.
 *   key         without the architecture's prefix; `general.…` keys stand as they are
 *   source      a key of the config, several spellings in order, a function of DERIVED, or the type of the output file
 *   whenAbsent  what to write when the config has none of the spellings; `required` = an error; nothing = no key
 */
export type HparamRow = readonly [
  key: string,
  type: keyof typeof READERS,
  source: string | readonly string[] | { readonly derived: keyof typeof DERIVED } | { readonly given: 'fileType' },
  whenAbsent?: number | 'required',
]

/** The block that the reference writes for every text model, in its order. */
export const TEXT_HPARAMS: readonly HparamRow[] = [
  ['block_count', 'u32', { derived: 'blockCount' }],
  ['context_length', 'u32', ['max_position_embeddings', 'n_ctx', 'n_positions', 'max_length', 'max_sequence_length', 'model_max_length']],
  ['embedding_length', 'u32', EMBEDDING_LENGTH],
  ['feed_forward_length', 'u32', ['prefix_dense_intermediate_size', 'dense_intermediate_size', 'intermediate_size', 'n_inner', 'hidden_dim']],
  ['attention.head_count', 'u32', HEADS],
  ['attention.head_count_kv', 'u32', KV_HEADS],
  ['attention.causal', 'bool', { derived: 'notCausal' }],
  ['rope.scaling.type', 'string', { derived: 'ropeScalingType' }],
  ['rope.scaling.factor', 'f32', { derived: 'ropeScalingFactor' }],
  ['rope.scaling.original_context_length', 'u32', { derived: 'ropeOriginalContext' }],
  ['rope.scaling.yarn_ext_factor', 'f32', { derived: 'yarnExtFactor' }],
  ['rope.scaling.yarn_attn_factor', 'f32', { derived: 'yarnAttnFactor' }],
  ['rope.scaling.yarn_beta_fast', 'f32', { derived: 'yarnBetaFast' }],
  ['rope.scaling.yarn_beta_slow', 'f32', { derived: 'yarnBetaSlow' }],
  ['rope.dimension_sections', 'i32[]', { derived: 'ropeSections' }],
  ['rope.freq_base', 'f32', { derived: 'ropeFreqBase' }],
  ['rope.freq_base_swa', 'f32', { derived: 'ropeFreqBaseSliding' }],
  ['attention.layer_norm_rms_epsilon', 'f32', ['rms_norm_eps', 'norm_eps']],
  ['attention.layer_norm_epsilon', 'f32', ['layer_norm_eps', 'layer_norm_epsilon', 'norm_epsilon']],
  ['expert_count', 'count', ['num_local_experts', 'num_experts', 'n_routed_experts']],
  ['expert_used_count', 'count', ['num_experts_per_tok', 'num_experts_per_token', 'top_k_experts']],
  ['expert_group_count', 'count', 'n_group'],
  ['expert_group_used_count', 'count', 'topk_group'],
  ['expert_gating_func', 'u32', { derived: 'expertGating' }],
  ['attention.key_length', 'u32', 'head_dim'],
  ['attention.value_length', 'u32', 'head_dim'],
  ['general.file_type', 'u32', { given: 'fileType' }],
]

/**
 * Reads every row.
 * @param prefix    name of the GGUF architecture, before the dot
 * @param fileType  value of `enum llama_ftype` of the output
 * @throws FormatError that names the key of a value that is missing, of another type, or out of its limits
 */
export function hparamKeyValues(rows: readonly HparamRow[], prefix: string, config: Config, fileType: number): KeyValue[] {
  return rows.flatMap((row) => {
    const [key, type] = row
    const value = rowValue(row, config, fileType)
    return value === undefined ? [] : [{ key: key.startsWith('general.') ? key : `${prefix}.${key}`, value: typed(type, value, key) }]
  })
}

function rowValue([, type, source, whenAbsent]: HparamRow, config: Config, fileType: number): Value | undefined {
  if (typeof source === 'object' && 'derived' in source) return DERIVED[source.derived](config)
  if (typeof source === 'object' && 'given' in source) return fileType
  const spellings = typeof source === 'string' ? [source] : source
  const key = spelling(config, spellings)
  if (key !== undefined) return READERS[type](config, key)
  return whenAbsent === 'required' ? READERS[type](config, spellings[0] ?? '') : whenAbsent
}

function typed(type: keyof typeof READERS, value: Value, key: string): MetadataValue {
  if (typeof value === 'number' && type === 'f32') return f32(Math.fround(value))
  if (typeof value === 'number' && (type === 'u32' || type === 'count')) return u32(value)
  if (typeof value === 'boolean' && type === 'bool') return bool(value)
  if (typeof value === 'string' && type === 'string') return string(value)
  if (typeof value === 'object' && type === 'i32[]') return { type: 'array', items: 'i32', value }
  throw new InternalError(`the row of ${key} says ${type} and computes ${typeof value}.`)
}

/** Number of layers; loops and name checks run over it, so it is bounded first. */
export function blockCount(config: Config): number {
  return readUint(config, spelling(config, BLOCK_COUNT) ?? 'num_hidden_layers', MAX_BLOCKS)
}

export function headCount(config: Config): number {
  return readUint(config, spelling(config, HEADS) ?? 'num_attention_heads')
}

/** Number of key and value heads; as many as heads where the config knows no others. */
export function kvHeadCount(config: Config): number {
  const key = spelling(config, KV_HEADS)
  return key === undefined ? headCount(config) : readUint(config, key)
}

/** Elements of one head: head_dim, else hidden size / heads, rounded down as in the reference. */
export function headDim(config: Config): number {
  if (spelling(config, ['head_dim']) !== undefined) return readUint(config, 'head_dim', MAX_HEAD_DIM)
  const elements = Math.floor(readUint(config, spelling(config, EMBEDDING_LENGTH) ?? 'hidden_size') / headCount(config))
  if (elements >= 1 && elements <= MAX_HEAD_DIM) return elements
  throw wrong(config, 'hidden_size', `between ${headCount(config)} (the number of heads) and ${MAX_HEAD_DIM} times that`)
}

/** Rope scaling says anything only with a factor, or when its factors are tensors (longrope). */
function scaled<T>(config: Config, types: readonly string[], read: (rope: Config, type: string) => T): T | undefined {
  const { full, type } = ropeParameters(config)
  const factorless = type === 'su' || type === 'longrope'
  return types.includes(type) && (factorless || spelling(full, ['factor']) !== undefined) ? read(full, type) : undefined
}

function optionalFloat(config: Config, spellings: readonly string[]): number | undefined {
  const key = spelling(config, spellings)
  return key === undefined ? undefined : readFloat(config, key)
}

function ropeTheta(rope: Config | undefined): number | undefined {
  return rope !== undefined && spelling(rope, ['rope_theta']) !== undefined ? readPositiveFloat(rope, 'rope_theta') : undefined
}

/** Time, height, width and one more: always four numbers in the file. */
function ropeSections(config: Config): readonly number[] | undefined {
  const { section } = ropeParameters(config)
  if (!section.values.has('mrope_section')) return undefined
  const sections = readCounts(section, 'mrope_section', 4)
  return [...sections, 0, 0, 0, 0].slice(0, 4)
}

function expertGating(config: Config): number | undefined {
  const key = spelling(config, GATING)
  if (key === undefined) return undefined
  const id = GATING_IDS.get(readString(config, key))
  if (id !== undefined) return id
  throw new UnsupportedError(`${key} ${quoted(readString(config, key))} is not supported; supported: ${[...GATING_IDS.keys()].join(', ')}.`, {
    file: config.file,
  })
}
