/**
 * Jais 1 and its family: GPT-2 with a gate and ALiBi, and embedding and output scaled.
 *
 * Law: conversion/jais.py `JaisModel` (llama.cpp 0c1e570).
 */
import type { Config } from '../config.js'
import { defineArchitecture } from '../define.js'
import { blockCount, headCount } from '../dimensions.js'

const SLOPES = 'transformer.relative_pe.slopes'

/** Back from the first head's slope. */
function maxAlibiBias(config: Config): number {
  const slope = config.tensors?.get(SLOPES)?.values?.[0]
  return slope === undefined ? 8 : -Math.round(Math.log2(slope) * 2 ** Math.floor(Math.log2(headCount(config))))
}

export const jais = defineArchitecture({
  gguf: 'jais',
  huggingFace: ['JAISLMHeadModel'],
  modelType: 'jais',
  when: ({ values }) => (values.get('activation_function') ?? 'swiglu') === 'swiglu' && (values.get('position_embedding_type') ?? 'alibi') === 'alibi',
  earlyHparams: [['attention.max_alibi_bias', 'f32', maxAlibiBias]],
  hparams: [
    ['block_count', 'u32', blockCount],
    ['context_length', 'u32', 'n_positions', 'required'],
    ['embedding_length', 'u32', 'n_embd', 'required'],
    ['feed_forward_length', 'u32', 'n_inner', 'required'],
    ['attention.head_count', 'u32', 'n_head', 'required'],
    ['attention.layer_norm_epsilon', 'f32', 'layer_norm_epsilon', 'required'],
    ['general.file_type', 'u32', { given: 'fileType' }],
  ],
  tensors: [
    ['transformer.wte', 'tokenEmbd', 'times:jaisEmbedding'],
    ['transformer.ln_f', 'outputNorm', 'bias'],
    ['lm_head', 'output', 'times:jaisOutput'],
    ['transformer.h.{block}.ln_1', 'attnNorm', 'bias'],
    ['transformer.h.{block}.attn.c_attn', 'attnQkv', 'transpose', 'bias'],
    ['transformer.h.{block}.attn.c_proj', 'attnOutput', 'transpose', 'bias'],
    ['transformer.h.{block}.ln_2', 'ffnNorm', 'bias'],
    ['transformer.h.{block}.mlp.c_fc', 'ffnUp', 'transpose', 'bias'],
    ['transformer.h.{block}.mlp.c_fc2', 'ffnGate', 'transpose', 'bias'],
    ['transformer.h.{block}.mlp.c_proj', 'ffnDown', 'transpose', 'bias'],
  ],
  reads: [SLOPES],
  leftOut: ['transformer.h.{block}.attn.bias'],
  tokenizer: 'byteLevel',
})
