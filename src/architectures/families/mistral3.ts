/**
 * Mistral Small 3.1 and Ministral 3.
 *
 * Law: conversion/mistral3.py `Mistral3Model` (llama.cpp 0c1e570).
 */
import { ENDS, GATED_MLP, NORMS, ROPE_ATTENTION } from '../common-rows.js'
import { readFloat, type Config } from '../config.js'
import { defineArchitecture } from '../define.js'
import { ropeFactorsLlama3 } from '../extras.js'
import { ropeParameters } from '../rope.js'
import { LLAMA_HPARAMS } from './llama.js'

/** A number of Ministral's rope parameters, which it must have. */
const ofMinistral = (key: string) => (config: Config) =>
  config.values.get('model_type') === 'ministral3' ? readFloat(ropeParameters(config).full, key) : undefined

export const mistral3 = defineArchitecture({
  gguf: 'mistral3',
  huggingFace: ['Mistral3ForConditionalGeneration', 'Ministral3ForCausalLM'],
  modelType: 'mistral',
  defaults: {
    mistral: {
      missing: { max_position_embeddings: 131072, rms_norm_eps: 1e-6, rope_theta: 10000, num_key_value_heads: 8 },
      derived: { head_dim: { quotient: ['hidden_size', 'num_attention_heads'] } },
    },
    ministral3: { missing: { max_position_embeddings: 262144, rms_norm_eps: 1e-5, num_key_value_heads: 8, head_dim: 128 } },
  },
  hparams: [
    ...LLAMA_HPARAMS,
    ['rope.scaling.yarn_log_multiplier', 'f32', ofMinistral('mscale_all_dim')],
    ['attention.temperature_scale', 'f32', ofMinistral('llama_4_scaling_beta')],
  ],
  tensors: [...ENDS, ...NORMS, ...ROPE_ATTENTION, ...GATED_MLP],
  extras: [ropeFactorsLlama3],
  tokenizer: 'llama',
})
