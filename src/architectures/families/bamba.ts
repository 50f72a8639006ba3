/**
 * Bamba: Granite hybrid's layers, whose attention rotates, and a plain feed-forward part.
 *
 * Law: conversion/granite.py `GraniteHybridModel` (llama.cpp 0c1e570).
 */
import { feedForwardNamed, FINAL_ENDS, GATED_MLP, PRE_FF_NORMS } from '../common-rows.js'
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
  tensors: [...FINAL_ENDS, ...PRE_FF_NORMS, ...MIXERS, ...feedForwardNamed(GATED_MLP)],
  tokenizer: 'graniteHybrid',
})
