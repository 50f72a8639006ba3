/**
 * Llama and what is built exactly like it: Llama 1 to 3, Mistral, Yi, Vicuna, SOLAR, TinyLlama, CodeLlama, SmolLM, …
 *
 * Law: conversion/llama.py `LlamaModel`, gguf-py constants.py `MODEL_TENSORS[MODEL_ARCH.LLAMA]`.
 */
import { ENDS, GATED_MLP, NORMS, ROPE_ATTENTION } from '../common-rows.js'
import { ATTENTION } from '../config-defaults.js'
import { defineArchitecture } from '../define.js'
import { headDim } from '../dimensions.js'
import { ropeFactorsLlama3 } from '../extras.js'
import type { HparamRow } from '../hparams.js'
import { TEXT_HPARAMS } from '../text-hparams.js'

/** What the reference adds for every class that it derives from its Llama. */
export const LLAMA_HPARAMS: readonly HparamRow[] = [...TEXT_HPARAMS, ['vocab_size', 'u32', 'vocab_size', 'required'], ['rope.dimension_count', 'u32', headDim]]

export const llama = defineArchitecture({
  gguf: 'llama',
  huggingFace: [
    'LlamaForCausalLM',
    'LLaMAForCausalLM',
    'MistralForCausalLM',
    'IQuestCoderForCausalLM',
    // text models of others, whose eyes and ears are left out
    ...['LlavaForConditionalGeneration', 'VoxtralForConditionalGeneration', 'VLlama3ForCausalLM', 'JanusForConditionalGeneration'],
    ['LlamaModel', { prefixes: [['model.', '']], without: ['output'] }],
  ],
  modelType: 'llama',
  defaults: {
    llama: { missing: { max_position_embeddings: 2048, rms_norm_eps: 1e-6, rope_theta: 10000 }, derived: ATTENTION },
    mistral: { missing: { max_position_embeddings: 131072, rms_norm_eps: 1e-6, rope_theta: 10000, num_key_value_heads: 8 }, derived: ATTENTION },
    iquestcoder: {
      missing: { max_position_embeddings: 131072, rms_norm_eps: 1e-5, rope_theta: 10000, num_key_value_heads: 8, head_dim: 128 },
      derived: ATTENTION,
    },
  },
  hparams: LLAMA_HPARAMS,
  tensors: [...ENDS, ...NORMS, ...ROPE_ATTENTION, ...GATED_MLP],
  strip: ['text_model.'],
  tokenizer: 'llama',
  extras: [ropeFactorsLlama3],
})
