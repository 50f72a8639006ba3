/**
 * Seed-OSS.
 *
 * Law: conversion/olmo.py `SeedOssModel` (llama.cpp 0c1e570).
 */
import { ATTENTION, ENDS, GATED_MLP } from '../common-rows.js'
import { defineArchitecture } from '../define.js'
import { TEXT_HPARAMS } from '../text-hparams.js'

export const seedOss = defineArchitecture({
  gguf: 'seed_oss',
  huggingFace: ['SeedOssForCausalLM'],
  modelType: 'seed_oss',
  defaults: { seed_oss: { missing: { max_position_embeddings: 524288, rms_norm_eps: 1e-6, rope_theta: 10000, num_key_value_heads: 8, head_dim: 128 } } },
  hparams: TEXT_HPARAMS,
  tensors: [
    ...[...ENDS, ...ATTENTION, ...GATED_MLP],
    ['model.layers.{block}.input_layernorm', 'attnNorm'],
    ['model.layers.{block}.post_attention_layernorm', 'postAttentionNorm'],
  ],
  tokenizer: 'byteLevel',
})
