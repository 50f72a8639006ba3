/**
 * Bamba: Granite hybrid's layers, whose attention rotates, and a plain feed-forward part.
 *
 * Law: conversion/granite.py `GraniteHybridModel` (llama.cpp 0c1e570).
 */
import { feedForwardNamed, GATED_MLP } from '../common-rows.js'
import { defineArchitecture } from '../define.js'
import { GRANITE_HPARAMS } from './granite.js'
import { hybridRows, MIXER_KINDS, MIXERS, SSM_SIZES } from './granite-hybrid.js'

export const bamba = defineArchitecture({
  gguf: 'granitehybrid',
  huggingFace: ['BambaForCausalLM'],
  modelType: 'bamba',
  defaults: { bamba: { missing: { ...SSM_SIZES, max_position_embeddings: 262144, rms_norm_eps: 1e-5, rope_theta: 10000, num_key_value_heads: 8 } } },
  hparams: [...GRANITE_HPARAMS, ...hybridRows(true)],
  layers: MIXER_KINDS,
  tensors: [
    ['model.embed_tokens', 'tokenEmbd'],
    ['model.final_layernorm', 'outputNorm'],
    ['lm_head', 'output', 'tied'],
    ['model.layers.{block}.input_layernorm', 'attnNorm'],
    ['model.layers.{block}.pre_ff_layernorm', 'ffnNorm'],
    ...MIXERS,
    ...feedForwardNamed(GATED_MLP),
  ],
  tokenizer: 'graniteHybrid',
})
