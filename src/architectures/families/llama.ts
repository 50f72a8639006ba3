/**
 * Llama and what is built exactly like it: Llama 1 to 3, Mistral, Yi, Vicuna, SOLAR, TinyLlama, CodeLlama, SmolLM, …
 *
 * Law: conversion/llama.py `LlamaModel`, gguf-py constants.py `MODEL_TENSORS[MODEL_ARCH.LLAMA]`.
 */
import { defineArchitecture } from '../define.js'
import { ATTENTION } from '../config-defaults.js'
import { headDim } from '../dimensions.js'
import { ropeFactorsLlama3 } from '../extras.js'
import { TEXT_HPARAMS } from '../text-hparams.js'

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
  hparams: [...TEXT_HPARAMS, ['vocab_size', 'u32', 'vocab_size', 'required'], ['rope.dimension_count', 'u32', headDim]],
  tensors: [
    ['model.embed_tokens', 'tokenEmbd'],
    ['model.layers.{block}.input_layernorm', 'attnNorm'],
    ['model.layers.{block}.self_attn.q_proj', 'attnQ', 'unpermuteRope:heads', 'bias?'],
    ['model.layers.{block}.self_attn.k_proj', 'attnK', 'unpermuteRope:kvHeads', 'bias?'],
    ['model.layers.{block}.self_attn.v_proj', 'attnV', 'bias?'],
    ['model.layers.{block}.self_attn.o_proj', 'attnOutput', 'bias?'],
    ['model.layers.{block}.post_attention_layernorm', 'ffnNorm'],
    ['model.layers.{block}.mlp.gate_proj', 'ffnGate', 'bias?'],
    ['model.layers.{block}.mlp.up_proj', 'ffnUp', 'bias?'],
    ['model.layers.{block}.mlp.down_proj', 'ffnDown', 'bias?'],
    ['model.norm', 'outputNorm'],
    ['lm_head', 'output', 'tied'],
  ],
  strip: ['text_model.'],
  tokenizer: 'llama',
  extras: [ropeFactorsLlama3],
})
