/**
 * StableLM 3B and 2.
 *
 * Law: conversion/stablelm.py `StableLMModel` (llama.cpp 0c1e570), its stacking of norms repaired (docs/numerics.md).
 */
import { ATTENTION, GATED_MLP } from '../common-rows.js'
import { readBoolean, type Config } from '../config.js'
import { defineArchitecture } from '../define.js'
import { blockCount, evenHeadSize } from '../dimensions.js'
import { rotaryDimensions } from '../text-hparams.js'

export const stablelm = defineArchitecture({
  gguf: 'stablelm',
  huggingFace: ['StableLmForCausalLM', 'StableLMEpochForCausalLM', 'LlavaStableLMEpochForCausalLM'],
  modelType: 'stablelm',
  defaults: {
    stablelm: {
      missing: { max_position_embeddings: 4096, layer_norm_eps: 1e-5, num_key_value_heads: 32, use_parallel_residual: false, partial_rotary_factor: 0.25 },
    },
  },
  hparams: [
    ['context_length', 'u32', 'max_position_embeddings', 'required'],
    ['embedding_length', 'u32', 'hidden_size', 'required'],
    ['block_count', 'u32', blockCount],
    ['feed_forward_length', 'u32', 'intermediate_size', 'required'],
    ['rope.dimension_count', 'u32', rotaryDimensions(0.25, evenHeadSize)],
    ['attention.head_count', 'u32', 'num_attention_heads', 'required'],
    ['attention.head_count_kv', 'u32', 'num_key_value_heads', 'required'],
    ['use_parallel_residual', 'bool', (config) => !config.values.has('use_parallel_residual') || readBoolean(config, 'use_parallel_residual')],
    ['attention.layer_norm_epsilon', 'f32', ['layer_norm_eps', 'norm_eps'], 'required'],
    ['general.file_type', 'u32', { given: 'fileType' }],
  ],
  tensors: [
    ['model.embed_tokens', 'tokenEmbd'],
    ['model.norm', 'outputNorm', 'bias'],
    ['lm_head', 'output', 'tied'],
    ['model.layers.{block}.input_layernorm', 'attnNorm', 'bias'],
    ['model.layers.{block}.post_attention_layernorm', 'ffnNorm', 'bias', 'layers:serial'],
    ...[...ATTENTION, ...GATED_MLP],
    ['model.layers.{block}.self_attn.q_layernorm.norms.{expert}', 'attnQNorm', 'stackHeads', 'layers:normed'],
    ['model.layers.{block}.self_attn.k_layernorm.norms.{expert}', 'attnKNorm', 'stackKvHeads', 'layers:normed'],
  ],
  layers: {
    serial: (config: Config) => config.values.get('use_parallel_residual') !== true,
    normed: (config: Config) => config.values.get('qk_layernorm') === true,
  },
  tokenizer: 'stableLm',
})
