/**
 * OpenELM: every layer with numbers of heads and a width of its own.
 *
 * Law: conversion/openelm.py (llama.cpp 0c1e570).
 */
import { readFloats, readUint, type Config } from '../config.js'
import { defineArchitecture } from '../define.js'
import { MAX_BLOCKS } from '../dimensions.js'

const layers = (config: Config): number => readUint(config, 'num_transformer_layers', MAX_BLOCKS)

/** A multiple of the divisor near to what is wanted, at least nine tenths of it. */
function divisible(wanted: number, divisor: number): number {
  const rounded = Math.max(divisor, Math.floor(Math.trunc(wanted + divisor / 2) / divisor) * divisor)
  return rounded < 0.9 * wanted ? rounded + divisor : rounded
}

const widths = (config: Config): readonly number[] =>
  readFloats(config, 'ffn_multipliers', MAX_BLOCKS).map((one) => divisible(one * readUint(config, 'model_dim'), readUint(config, 'ffn_dim_divisor')))

export const openElm = defineArchitecture({
  gguf: 'openelm',
  huggingFace: ['OpenELMForCausalLM'],
  modelType: 'openelm',
  hparams: [
    ['block_count', 'u32', layers],
    ['context_length', 'u32', 'max_context_length', 'required'],
    ['embedding_length', 'u32', 'model_dim', 'required'],
    ['feed_forward_length', 'i32[]', widths],
    ['attention.head_count', 'i32[]', 'num_query_heads', 'required'],
    ['attention.head_count_kv', 'i32[]', 'num_kv_heads', 'required'],
    ['rope.freq_base', 'f32', 'rope_freq_constant', 'required'],
    ['attention.layer_norm_rms_epsilon', 'f32', { always: 1e-6 }],
    ['rope.dimension_count', 'u32', 'head_dim', 'required'],
    ['attention.key_length', 'u32', 'head_dim', 'required'],
    ['attention.value_length', 'u32', 'head_dim', 'required'],
    ['general.file_type', 'u32', { given: 'fileType' }],
  ],
  blockCount: layers,
  layers: { normed: (config) => config.values.get('normalize_qk_projections') !== false },
  tensors: [
    ['transformer.token_embeddings', 'tokenEmbd'],
    ['transformer.norm', 'outputNorm'],
    ['lm_head', 'output', 'tied'],
    ['transformer.layers.{block}.attn_norm', 'attnNorm'],
    ['transformer.layers.{block}.attn.qkv_proj', 'attnQkv'],
    ['transformer.layers.{block}.attn.q_norm', 'attnQNorm', 'layers:normed'],
    ['transformer.layers.{block}.attn.k_norm', 'attnKNorm', 'layers:normed'],
    ['transformer.layers.{block}.attn.out_proj', 'attnOutput'],
    ['transformer.layers.{block}.ffn_norm', 'ffnNorm'],
    ['transformer.layers.{block}.ffn.proj_1', ['ffnGate', 'ffnUp'], 'halves'],
    ['transformer.layers.{block}.ffn.proj_2', 'ffnDown'],
  ],
  tokenizer: 'sentencePieceOrByteLevel',
})
