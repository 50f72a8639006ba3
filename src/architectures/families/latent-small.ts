/**
 * Small decoders with latent attention whose projection of keys and values llama.cpp wants in one piece: PLM, MiniCPM 3.
 *
 * Law: conversion/{plm,minicpm}.py (llama.cpp 0c1e570).
 */
import { ENDS, GATED_MLP, NORMS, PLAIN_MLP } from '../common-rows.js'
import { readUint, type Config } from '../config.js'
import { defineArchitecture, type TensorRow } from '../define.js'
import { blockCount, headCount } from '../dimensions.js'
import { ropeFactorsLong } from '../extras-long-rope.js'
import { TEXT_HPARAMS } from '../text-hparams.js'
import { DEEPSEEK2_LAYERS, LATENT_ATTENTION } from './deepseek.js'

const ATTENTION: readonly TensorRow[] = [
  ...LATENT_ATTENTION.filter(([, roles]) => typeof roles === 'string'),
  ['model.layers.{block}.self_attn.kv_b_proj', 'attnKvB'],
]

const keyLength = (config: Config): number => readUint(config, 'qk_nope_head_dim') + readUint(config, 'qk_rope_head_dim')

export const plm = defineArchitecture({
  gguf: 'plm',
  huggingFace: ['PLMForCausalLM'],
  modelType: 'plm',
  hparams: [
    ...TEXT_HPARAMS,
    ['vocab_size', 'u32', 'vocab_size', 'required'],
    ['attention.kv_lora_rank', 'u32', 'kv_lora_rank', 'required'],
    ['attention.key_length', 'u32', keyLength],
    ['attention.value_length', 'u32', 'v_head_dim', 'required'],
    ['rope.dimension_count', 'u32', 'qk_rope_head_dim', 'required'],
  ],
  layers: { plainQueries: () => true, latentQueries: () => false },
  tensors: [...ENDS, ...NORMS, ...ATTENTION, ...PLAIN_MLP],
  tokenizer: 'byteLevel',
})

export const minicpm3 = defineArchitecture({
  gguf: 'minicpm3',
  huggingFace: ['MiniCPM3ForCausalLM'],
  modelType: 'minicpm3',
  hparams: [
    ['general.file_type', 'u32', { given: 'fileType' }],
    ['context_length', 'u32', 'max_position_embeddings', 'required'],
    ['embedding_length', 'u32', 'hidden_size', 'required'],
    ['block_count', 'u32', blockCount],
    ['feed_forward_length', 'u32', 'intermediate_size', 'required'],
    ['attention.head_count', 'u32', headCount],
    ['attention.head_count_kv', 'u32', 'num_key_value_heads', 'required'],
    ['attention.layer_norm_rms_epsilon', 'f32', 'rms_norm_eps', 'required'],
    ['vocab_size', 'u32', 'vocab_size', 'required'],
    ['attention.q_lora_rank', 'u32', 'q_lora_rank'],
    ['attention.kv_lora_rank', 'u32', 'kv_lora_rank', 'required'],
    ['attention.key_length', 'u32', keyLength],
    ['rope.dimension_count', 'u32', 'qk_rope_head_dim', 'required'],
  ],
  layers: { plainQueries: DEEPSEEK2_LAYERS.plainQueries, latentQueries: DEEPSEEK2_LAYERS.latentQueries },
  tensors: [...ENDS, ...NORMS, ...GATED_MLP, ...ATTENTION],
  extras: [ropeFactorsLong((config) => readUint(config, 'qk_rope_head_dim'))],
  tokenizer: 'sentencePiece',
})
