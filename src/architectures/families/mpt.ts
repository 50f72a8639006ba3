/**
 * MPT and SEA-LION.
 *
 * Law: conversion/mpt.py `MPTModel` (llama.cpp 0c1e570).
 */
import { readFloat, readSection, readUint, spelling, type Config } from '../config.js'
import { defineArchitecture } from '../define.js'
import { blockCount } from '../dimensions.js'

const attention = (config: Config): Config => readSection(config, 'attn_config')

export const mpt = defineArchitecture({
  gguf: 'mpt',
  huggingFace: ['MPTForCausalLM', 'MptForCausalLM'],
  modelType: 'mpt',
  defaults: { mpt: { missing: { max_seq_len: 2048 } } },
  hparams: [
    ['context_length', 'u32', 'max_seq_len', 'required'],
    ['embedding_length', 'u32', 'd_model', 'required'],
    ['block_count', 'u32', blockCount],
    ['feed_forward_length', 'u32', (config) => 4 * readUint(config, 'd_model')],
    ['attention.head_count', 'u32', 'n_heads', 'required'],
    [
      'attention.head_count_kv',
      'u32',
      (config) => (spelling(attention(config), ['kv_n_heads']) === undefined ? undefined : readUint(attention(config), 'kv_n_heads')),
    ],
    ['attention.layer_norm_epsilon', 'f32', { always: 1e-5 }],
    [
      'attention.clamp_kqv',
      'f32',
      (config) => (spelling(attention(config), ['clip_qkv']) === undefined ? undefined : readFloat(attention(config), 'clip_qkv')),
    ],
    ['attention.max_alibi_bias', 'f32', alibiBias],
  ],
  tensors: [
    ['transformer.wte', 'tokenEmbd'],
    ['transformer.wpe', 'positionEmbd', 'optional'],
    ['transformer.norm_f', 'outputNorm', 'bias?'],
    ['lm_head', 'output', 'optional'],
    ['transformer.blocks.{block}.norm_1', 'attnNorm', 'bias?'],
    ['transformer.blocks.{block}.attn.Wqkv', 'attnQkv', 'bias?'],
    ['transformer.blocks.{block}.attn.q_ln', 'attnQNorm', 'optional', 'bias?'],
    ['transformer.blocks.{block}.attn.k_ln', 'attnKNorm', 'optional', 'bias?'],
    ['transformer.blocks.{block}.attn.out_proj', 'attnOutput', 'bias?'],
    ['transformer.blocks.{block}.norm_2', 'ffnNorm', 'bias?'],
    ['transformer.blocks.{block}.ffn.up_proj', 'ffnUp', 'bias?'],
    ['transformer.blocks.{block}.ffn.down_proj', 'ffnDown', 'bias?'],
  ],
  tokenizer: 'mpt',
})

function alibiBias(config: Config): number {
  const section = attention(config)
  if (section.values.get('alibi') !== true && section.values.has('alibi')) return 0
  return spelling(section, ['alibi_bias_max']) === undefined ? 8 : readFloat(section, 'alibi_bias_max')
}
