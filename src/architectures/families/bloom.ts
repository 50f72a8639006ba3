/**
 * Bloom.
 *
 * Law: conversion/bloom.py `BloomModel` (llama.cpp 0c1e570).
 */
import { defineArchitecture } from '../define.js'
import { blockCount, headCount, hiddenSize, optionalUint } from '../dimensions.js'

export const bloom = defineArchitecture({
  gguf: 'bloom',
  huggingFace: ['BloomForCausalLM', 'BloomModel'],
  modelType: 'bloom',
  defaults: { bloom: { missing: { layer_norm_epsilon: 1e-5 } } },
  hparams: [
    ['context_length', 'u32', (config) => optionalUint(config, 'seq_length') ?? hiddenSize(config)],
    ['embedding_length', 'u32', hiddenSize],
    ['feed_forward_length', 'u32', (config) => 4 * hiddenSize(config)],
    ['block_count', 'u32', blockCount],
    ['attention.head_count', 'u32', headCount],
    ['attention.head_count_kv', 'u32', headCount],
    ['attention.layer_norm_epsilon', 'f32', 'layer_norm_epsilon', 'required'],
    ['general.file_type', 'u32', { given: 'fileType' }],
  ],
  prefixes: [
    ['transformer.', 'transformer.'],
    ['transformer.', ''],
  ],
  tensors: [
    ['transformer.word_embeddings', 'tokenEmbd'],
    ['transformer.word_embeddings_layernorm', 'tokenEmbdNorm', 'bias'],
    ['transformer.ln_f', 'outputNorm', 'bias'],
    ['lm_head', 'output', 'optional'],
    ['transformer.h.{block}.input_layernorm', 'attnNorm', 'bias'],
    ['transformer.h.{block}.self_attention.query_key_value', 'attnQkv', 'qkvByHead', 'bias'],
    ['transformer.h.{block}.self_attention.dense', 'attnOutput', 'bias'],
    ['transformer.h.{block}.post_attention_layernorm', 'ffnNorm', 'bias'],
    ['transformer.h.{block}.mlp.dense_h_to_4h', 'ffnUp', 'bias'],
    ['transformer.h.{block}.mlp.dense_4h_to_h', 'ffnDown', 'bias'],
  ],
  tokenizer: 'byteLevel',
})
