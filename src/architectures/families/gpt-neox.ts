/**
 * GPT-NeoX and Pythia: queries, keys and values of a head side by side in one matrix.
 *
 * Law: conversion/gptneox.py `GPTNeoXModel` (llama.cpp 0c1e570). Wider here: the rotary share under any of its names, which
 * the reference finds with transformers 4 only (docs/numerics.md).
 */
import { readBoolean } from '../config.js'
import { defineArchitecture } from '../define.js'
import { blockCount, evenHeadSize, optionalFloat } from '../dimensions.js'
import { ropeParameters } from '../rope.js'

export const gptneox = defineArchitecture({
  gguf: 'gptneox',
  huggingFace: ['GPTNeoXForCausalLM'],
  modelType: 'gpt_neox',
  defaults: { gpt_neox: { missing: { max_position_embeddings: 2048, layer_norm_eps: 1e-5, use_parallel_residual: true } } },
  hparams: [
    ['context_length', 'u32', 'max_position_embeddings', 'required'],
    ['embedding_length', 'u32', 'hidden_size', 'required'],
    ['block_count', 'u32', blockCount],
    ['feed_forward_length', 'u32', 'intermediate_size', 'required'],
    [
      'rope.dimension_count',
      'u32',
      (config) => {
        const share = optionalFloat(config, 'rotary_pct') ?? optionalFloat(ropeParameters(config).full, 'partial_rotary_factor') ?? 0.25
        return Math.trunc(share * evenHeadSize(config))
      },
    ],
    ['attention.head_count', 'u32', 'num_attention_heads', 'required'],
    ['use_parallel_residual', 'bool', (config) => !config.values.has('use_parallel_residual') || readBoolean(config, 'use_parallel_residual')],
    ['attention.layer_norm_epsilon', 'f32', 'layer_norm_eps', 'required'],
  ],
  tensors: [
    ['gpt_neox.embed_in', 'tokenEmbd'],
    ['gpt_neox.final_layer_norm', 'outputNorm', 'bias'],
    ['embed_out', 'output', 'tied'],
    ['gpt_neox.layers.{block}.input_layernorm', 'attnNorm', 'bias'],
    ['gpt_neox.layers.{block}.attention.query_key_value', 'attnQkv', 'qkvByHead', 'bias?'],
    ['gpt_neox.layers.{block}.attention.dense', 'attnOutput', 'bias?'],
    ['gpt_neox.layers.{block}.post_attention_layernorm', 'ffnNorm', 'bias'],
    ['gpt_neox.layers.{block}.mlp.dense_h_to_4h', 'ffnUp', 'bias'],
    ['gpt_neox.layers.{block}.mlp.dense_4h_to_h', 'ffnDown', 'bias'],
  ],
  tokenizer: 'byteLevel',
})
