/**
 * StarCoder 1 (GPT-BigCode) and 2.
 *
 * Law: conversion/starcoder.py (llama.cpp 0c1e570).
 */
import { ATTENTION, GPT_BLOCK } from '../common-rows.js'
import { defineArchitecture } from '../define.js'
import { gptSizes, TEXT_HPARAMS } from '../text-hparams.js'

export const starcoder = defineArchitecture({
  gguf: 'starcoder',
  huggingFace: ['GPTBigCodeForCausalLM'],
  modelType: 'gpt_bigcode',
  defaults: { gpt_bigcode: { missing: { n_positions: 1024, layer_norm_epsilon: 1e-5 } } },
  hparams: [
    ...gptSizes(),
    ['attention.head_count_kv', 'u32', { always: 1 }],
    ['attention.layer_norm_epsilon', 'f32', 'layer_norm_epsilon', 'required'],
    ['general.file_type', 'u32', { given: 'fileType' }],
  ],
  tensors: [
    ['transformer.wte', 'tokenEmbd'],
    ['transformer.wpe', 'positionEmbd'],
    ['transformer.ln_f', 'outputNorm', 'bias'],
    ['lm_head', 'output', 'optional'],
    ...GPT_BLOCK,
  ],
  tokenizer: 'byteLevel',
})

export const starcoder2 = defineArchitecture({
  gguf: 'starcoder2',
  huggingFace: ['Starcoder2ForCausalLM'],
  modelType: 'starcoder2',
  defaults: { starcoder2: { missing: { max_position_embeddings: 4096, norm_epsilon: 1e-5, rope_theta: 10000, num_key_value_heads: 2 } } },
  hparams: TEXT_HPARAMS,
  tensors: [
    ['model.embed_tokens', 'tokenEmbd'],
    ['model.norm', 'outputNorm', 'bias'],
    ['lm_head', 'output', 'tied'],
    ['model.layers.{block}.input_layernorm', 'attnNorm', 'bias'],
    ...ATTENTION,
    ['model.layers.{block}.post_attention_layernorm', 'ffnNorm', 'bias'],
    ['model.layers.{block}.mlp.c_fc', 'ffnUp', 'bias?'],
    ['model.layers.{block}.mlp.c_proj', 'ffnDown', 'bias?'],
  ],
  tokenizer: 'byteLevel',
})
