/**
 * Decoders of 2023 that follow Llama in all but a detail: Baichuan, XVERSE, Orion.
 *
 * Law: conversion/{baichuan,xverse,orion}.py (llama.cpp 0c1e570).
 */
import { ATTENTION, ENDS, GATED_MLP, NORMS, ROPE_ATTENTION, saying } from '../common-rows.js'
import { defineArchitecture } from '../define.js'
import { blockCount, evenHeadSize, headCount, kvHeadCount } from '../dimensions.js'
import type { HparamRow } from '../hparams.js'
import { TEXT_HPARAMS } from '../text-hparams.js'

const META_LAYOUT: HparamRow = ['tensor_data_layout', 'string', { always: 'Meta AI original pth' }]

export const baichuan = defineArchitecture({
  gguf: 'baichuan',
  huggingFace: ['BaichuanForCausalLM', 'BaiChuanForCausalLM'],
  modelType: 'baichuan',
  hparams: [...TEXT_HPARAMS, META_LAYOUT, ['rope.dimension_count', 'u32', evenHeadSize]],
  tensors: [
    ...[...ENDS, ...NORMS, ...GATED_MLP],
    ['model.layers.{block}.self_attn.W_pack', ['attnQ', 'attnK', 'attnV'], 'splitThirdsRope'],
    ['model.layers.{block}.self_attn.o_proj', 'attnOutput'],
  ],
  tokenizer: 'sentencePiece',
})

export const xverse = defineArchitecture({
  gguf: 'xverse',
  huggingFace: ['XverseForCausalLM'],
  modelType: 'xverse',
  hparams: [...TEXT_HPARAMS, META_LAYOUT, ['rope.dimension_count', 'u32', evenHeadSize]],
  tensors: [...ENDS, ...NORMS, ...ROPE_ATTENTION, ...GATED_MLP],
  tokenizer: 'xverse',
})

export const orion = defineArchitecture({
  gguf: 'orion',
  huggingFace: ['OrionForCausalLM'],
  modelType: 'orion',
  hparams: [
    ['general.file_type', 'u32', { given: 'fileType' }],
    META_LAYOUT,
    ['context_length', 'u32', ['max_sequence_length', 'max_position_embeddings', 'model_max_length'], 'required'],
    ['embedding_length', 'u32', 'hidden_size', 'required'],
    ['block_count', 'u32', blockCount],
    ['feed_forward_length', 'u32', 'intermediate_size', 'required'],
    ['attention.head_count', 'u32', headCount],
    ['attention.head_count_kv', 'u32', kvHeadCount],
    ['attention.layer_norm_epsilon', 'f32', 'rms_norm_eps', 'required'], // config.json calls it so; the norm is a LayerNorm
  ],
  tensors: [
    ...saying([['model.norm', 'outputNorm'], ...NORMS], 'bias?'),
    ['model.embed_tokens', 'tokenEmbd'],
    ['lm_head', 'output', 'tied'],
    ...ATTENTION,
    ...GATED_MLP,
  ],
  tokenizer: 'sentencePiece',
})
