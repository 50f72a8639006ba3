/**
 * LFM2: short convolutions and, in some layers, attention; with and without experts.
 *
 * Law: conversion/lfm2.py `LFM2Model`, `LFM2MoeModel` (llama.cpp 0c1e570).
 */
import { readFloat, readUint, type Config } from '../config.js'
import { defineArchitecture, withRow, type TensorRow } from '../define.js'
import { optionalFloat, optionalUint } from '../dimensions.js'
import type { HparamRow } from '../hparams.js'
import { layerTypes } from '../layer-kinds.js'
import { TEXT_HPARAMS } from '../text-hparams.js'

const isAttention = (config: Config, block: number): boolean => layerTypes(config)?.[block] !== 'conv'
const isExpert = (config: Config, block: number): boolean => block >= (optionalUint(config, 'num_dense_layers') ?? 0)

/** Layers with a convolution have no heads of keys and values. */
const HEADS_BY_LAYER: HparamRow = [
  'attention.head_count_kv',
  'i32[]',
  (config) => layerTypes(config)?.map((type) => (type === 'conv' ? 0 : readUint(config, 'num_key_value_heads'))),
]

/** What config.json says, or two thirds of it, times a factor, rounded up. */
function feedForward(config: Config): number {
  const given = optionalUint(config, 'block_ff_dim', 'intermediate_size') ?? 0
  if (config.values.get('block_auto_adjust_ff_dim') !== true) return given
  const length = Math.trunc((optionalFloat(config, 'block_ffn_dim_multiplier') ?? 1) * Math.trunc((2 * given) / 3))
  const multiple = readUint(config, 'block_multiple_of')
  return multiple * Math.ceil(length / multiple)
}

const BODY: readonly TensorRow[] = [
  ['model.embed_tokens', 'tokenEmbd'],
  ['model.embedding_norm', 'tokenEmbdNorm'],
  ['lm_head', 'output', 'tied'],
  ['model.layers.{block}.operator_norm', 'attnNorm'],
  ['model.layers.{block}.ffn_norm', 'ffnNorm'],
  ['model.layers.{block}.self_attn.q_proj', 'attnQ', 'layers:attention'],
  ['model.layers.{block}.self_attn.k_proj', 'attnK', 'layers:attention'],
  ['model.layers.{block}.self_attn.v_proj', 'attnV', 'layers:attention'],
  ['model.layers.{block}.self_attn.out_proj', 'attnOutput', 'layers:attention'],
  ['model.layers.{block}.self_attn.q_layernorm', 'attnQNorm', 'layers:attention'],
  ['model.layers.{block}.self_attn.k_layernorm', 'attnKNorm', 'layers:attention'],
  ['model.layers.{block}.conv.conv', 'shortconvConv', 'squeeze', 'bias?', 'layers:convolution'],
  ['model.layers.{block}.conv.in_proj', 'shortconvInProj', 'bias?', 'layers:convolution'],
  ['model.layers.{block}.conv.out_proj', 'shortconvOutProj', 'bias?', 'layers:convolution'],
]
const MLP = (...words: readonly 'layers:dense'[]): TensorRow[] => [
  ['model.layers.{block}.feed_forward.w1', 'ffnGate', ...words],
  ['model.layers.{block}.feed_forward.w2', 'ffnDown', ...words],
  ['model.layers.{block}.feed_forward.w3', 'ffnUp', ...words],
]
const KINDS = { attention: isAttention, convolution: (config: Config, block: number) => !isAttention(config, block) }
const SIZES = { max_position_embeddings: 128000, norm_eps: 1e-5, rope_theta: 1e6, num_key_value_heads: 8, conv_L_cache: 3 }

export const lfm2 = defineArchitecture({
  gguf: 'lfm2',
  huggingFace: ['Lfm2ForCausalLM', 'LFM2ForCausalLM'],
  modelType: 'lfm2',
  defaults: { lfm2: { missing: { ...SIZES, block_multiple_of: 256, block_ffn_dim_multiplier: 1, block_auto_adjust_ff_dim: true } } },
  hparams: [
    ...withRow(withRow(TEXT_HPARAMS, HEADS_BY_LAYER), ['feed_forward_length', 'u32', feedForward]),
    ['vocab_size', 'u32', 'vocab_size', 'required'],
    ['shortconv.l_cache', 'u32', 'conv_L_cache', 'required'],
    ['attention.layer_norm_rms_epsilon', 'f32', (config) => readFloat(config, 'norm_eps')],
  ],
  layers: KINDS,
  tensors: [...BODY, ...MLP()],
  tokenizer: 'byteLevel',
})

export const lfm2moe = defineArchitecture({
  gguf: 'lfm2moe',
  huggingFace: ['Lfm2MoeForCausalLM'],
  modelType: 'lfm2_moe',
  defaults: { lfm2_moe: { missing: { ...SIZES, num_dense_layers: 2, num_experts_per_tok: 4 } } },
  hparams: [
    ...withRow(TEXT_HPARAMS, HEADS_BY_LAYER),
    ['expert_feed_forward_length', 'u32', 'moe_intermediate_size', 'required'],
    ['leading_dense_block_count', 'count', 'num_dense_layers', 'required'],
    ['expert_gating_func', 'u32', { always: 2 }],
    ['vocab_size', 'u32', 'vocab_size', 'required'],
    ['shortconv.l_cache', 'u32', 'conv_L_cache', 'required'],
  ],
  layers: { ...KINDS, moe: isExpert, dense: (config, block) => !isExpert(config, block) },
  tensors: [
    ...[...BODY, ...MLP('layers:dense')],
    ['model.layers.{block}.feed_forward.gate', 'ffnGateInp', 'layers:moe'],
    ['model.layers.{block}.feed_forward.expert_bias', 'expProbsB', 'exactBias', 'optional'],
    ['model.layers.{block}.feed_forward.experts.{expert}.w1', 'ffnGateExps', 'stackExperts', 'layers:moe'],
    ['model.layers.{block}.feed_forward.experts.{expert}.w2', 'ffnDownExps', 'stackExperts', 'layers:moe'],
    ['model.layers.{block}.feed_forward.experts.{expert}.w3', 'ffnUpExps', 'stackExperts', 'layers:moe'],
  ],
  tokenizer: 'byteLevel',
})
