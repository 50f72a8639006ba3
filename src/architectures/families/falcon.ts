/**
 * Falcon 7B and 40B.
 *
 * Law: conversion/falcon.py `FalconModel` (llama.cpp 0c1e570).
 */
import { defineArchitecture } from '../define.js'
import { blockCount, headCount, kvHeadCount } from '../dimensions.js'

export const falcon = defineArchitecture({
  gguf: 'falcon',
  huggingFace: ['FalconForCausalLM', 'RWForCausalLM'],
  modelType: 'falcon',
  defaults: { falcon: { missing: { layer_norm_epsilon: 1e-5 }, derived: { num_kv_heads: { same: 'num_attention_heads' } } } },
  hparams: [
    ['context_length', 'u32', { always: 2048 }],
    ['tensor_data_layout', 'string', { always: 'jploski' }],
    ['embedding_length', 'u32', 'hidden_size', 'required'],
    ['feed_forward_length', 'u32', (config) => 4 * Number(config.values.get('hidden_size'))],
    ['block_count', 'u32', blockCount],
    ['attention.head_count', 'u32', headCount],
    ['attention.head_count_kv', 'u32', kvHeadCount],
    ['attention.layer_norm_epsilon', 'f32', 'layer_norm_epsilon', 'required'],
    ['general.file_type', 'u32', { given: 'fileType' }],
  ],
  tensors: [
    ['transformer.word_embeddings', 'tokenEmbd'],
    ['transformer.ln_f', 'outputNorm', 'bias'],
    ['lm_head', 'output', 'tied'],
    // one norm for attention and feed-forward (7B), or one for each (40B)
    ['transformer.h.{block}.input_layernorm', 'attnNorm', 'bias?', 'layers:oneNorm'],
    ['transformer.h.{block}.ln_mlp', 'attnNorm', 'bias?', 'layers:twoNorms'],
    ['transformer.h.{block}.ln_attn', 'attnNorm2', 'bias?', 'layers:twoNorms'],
    ['transformer.h.{block}.self_attention.query_key_value', 'attnQkv', 'qkvByGroup', 'bias?'],
    ['transformer.h.{block}.self_attention.dense', 'attnOutput', 'bias?'],
    ['transformer.h.{block}.mlp.dense_h_to_4h', 'ffnUp', 'bias?'],
    ['transformer.h.{block}.mlp.dense_4h_to_h', 'ffnDown', 'bias?'],
  ],
  layers: {
    oneNorm: ({ values }) => values.get('new_decoder_architecture') !== true || values.get('num_ln_in_parallel_attn') === 1,
    twoNorms: ({ values }) => values.get('new_decoder_architecture') === true && values.get('num_ln_in_parallel_attn') !== 1,
  },
  tokenizer: 'byteLevel',
})
