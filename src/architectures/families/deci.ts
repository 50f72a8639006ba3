/**
 * DeciLM, and Nemotron that were pruned layer by layer: Nemotron 51B, Super 49B, Ultra 253B.
 *
 * Law: conversion/deci.py (llama.cpp 0c1e570).
 */
import { GATED_MLP, saying } from '../common-rows.js'
import { readFloat, readSection, spelling, type Config } from '../config.js'
import { defineArchitecture, type ArchitectureDefinition, type TensorRow } from '../define.js'
import { blockCount, evenHeadSize, headCount, headDim, hiddenSize, layerKvHeadCount, layerSection } from '../dimensions.js'
import { ropeFactorsLlama3 } from '../extras.js'
import type { HparamRow } from '../hparams.js'
import { ofLayers } from '../hybrid-hparams.js'
import { ropeFreqBase, TEXT_HPARAMS } from '../text-hparams.js'

const hasBlocks = (config: Config): boolean => spelling(config, ['block_configs']) !== undefined
const attends = (config: Config, block: number): boolean => layerKvHeadCount(config, block) > 0
const isLinear = (config: Config, block: number): boolean => readSection(layerSection(config, block), 'attention').values.get('replace_with_linear') === true

/** What a layer's feed-forward part is wide by: two thirds of a multiple of the hidden state, rounded up to 256; 0 where there is none. */
function width(config: Config, block: number): number {
  const part = readSection(layerSection(config, block), 'ffn')
  if (spelling(part, ['ffn_mult']) === undefined) return 0
  return 256 * Math.ceil(Math.trunc((2 * readFloat(part, 'ffn_mult') * hiddenSize(config)) / 3) / 256)
}

const LAST: readonly HparamRow[] = [
  ['vocab_size', 'u32', 'vocab_size', 'required'],
  ['rope.dimension_count', 'u32', headDim],
]

const BODY: readonly TensorRow[] = [
  ['model.embed_tokens', 'tokenEmbd'],
  ['model.norm', 'outputNorm'],
  ['lm_head', 'output', 'tied'],
  ['model.layers.{block}.input_layernorm', 'attnNorm', 'layers:mixing'],
  ['model.layers.{block}.self_attn.q_proj', 'attnQ', 'unpermuteRope:heads', 'bias?', 'layers:attention'],
  ['model.layers.{block}.self_attn.k_proj', 'attnK', 'unpermuteRope:layerKvHeads', 'bias?', 'layers:attention'],
  ['model.layers.{block}.self_attn.v_proj', 'attnV', 'bias?', 'layers:attention'],
  ['model.layers.{block}.self_attn.o_proj', 'attnOutput', 'bias?', 'layers:attention'],
  ['model.layers.{block}.post_attention_layernorm', 'ffnNorm', 'layers:feeding'],
  ...saying(GATED_MLP, 'layers:feeding'),
]

const SHARED = {
  gguf: 'deci',
  huggingFace: ['DeciLMForCausalLM'],
  extras: [ropeFactorsLlama3],
  tokenizer: 'deci',
} as const satisfies Partial<ArchitectureDefinition>

export const deciBlocks = defineArchitecture({
  ...SHARED,
  when: hasBlocks,
  modelType: 'nemotron-nas',
  hparams: [
    ['rope.freq_base', 'f32', ropeFreqBase],
    ['attention.head_count_kv', 'i32[]', (config) => Array.from({ length: blockCount(config) }, (_, block) => layerKvHeadCount(config, block))],
    ['attention.head_count', 'i32[]', ofLayers((config, block) => attends(config, block) || isLinear(config, block), headCount)],
    ['feed_forward_length', 'i32[]', (config) => Array.from({ length: blockCount(config) }, (_, block) => width(config, block))],
    ['block_count', 'u32', blockCount],
    ['context_length', 'u32', 'max_position_embeddings', 'required'],
    ['embedding_length', 'u32', 'hidden_size', 'required'],
    ['attention.layer_norm_rms_epsilon', 'f32', 'rms_norm_eps', 'required'],
    ['attention.key_length', 'u32', evenHeadSize],
    ['attention.value_length', 'u32', evenHeadSize],
    ['general.file_type', 'u32', { given: 'fileType' }],
    ...LAST,
  ],
  layers: {
    attention: attends,
    linear: isLinear,
    mixing: (config, block) => attends(config, block) || isLinear(config, block),
    feeding: (config, block) => width(config, block) > 0,
  },
  tensors: [...BODY, ['model.layers.{block}.self_attn.linear_attn', 'attnOutput', 'layers:linear']],
})

export const deci = defineArchitecture({
  ...SHARED,
  modelType: 'deci',
  hparams: [
    ...TEXT_HPARAMS,
    ['attention.head_count_kv', 'i32[]', (config: Config) => Array.from({ length: blockCount(config) }, (_, block) => layerKvHeadCount(config, block))],
    ...LAST,
  ],
  layers: { attention: () => true, mixing: () => true, feeding: () => true },
  tensors: BODY,
})
