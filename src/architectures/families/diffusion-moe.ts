/**
 * Models with experts that write by filling in masked tokens: LLaDA-MoE, RND1.
 *
 * Law: conversion/llada.py `LLaDAMoEModel`, qwen.py `RND1Model` (llama.cpp 0c1e570).
 */
import { ATTENTION, ENDS, EXPERTS, NORMS, QK_NORMS } from '../common-rows.js'
import type { Config } from '../config.js'
import { defineArchitecture, type TensorRow } from '../define.js'
import { TEXT_HPARAMS } from '../text-hparams.js'
import { MASK, NOT_CAUSAL, UNSHIFTED } from './dream.js'
import { QWEN_MOE_HPARAMS } from './qwen2-moe.js'

const MOE: readonly TensorRow[] = [...ENDS, ...NORMS, ...ATTENTION, ...EXPERTS, ['model.layers.{block}.mlp.gate', 'ffnGateInp']]

export const lladaMoe = defineArchitecture({
  gguf: 'llada-moe',
  huggingFace: ['LLaDAMoEModel', 'LLaDAMoEModelLM'],
  modelType: 'llada',
  hparams: [
    ...TEXT_HPARAMS,
    ['expert_feed_forward_length', 'u32', 'expert_intermediate_size'],
    ['tokenizer.ggml.mask_token_id', 'u32', { always: 156895 }],
    NOT_CAUSAL,
    UNSHIFTED,
  ],
  layers: { moe: () => true, normed: (config: Config) => config.values.get('qk_layernorm') !== false },
  tensors: [
    ...MOE,
    ['model.layers.{block}.self_attn.q_norm', 'attnQNorm', 'layers:normed'],
    ['model.layers.{block}.self_attn.k_norm', 'attnKNorm', 'layers:normed'],
  ],
  tokenizer: 'byteLevel',
})

export const rnd1 = defineArchitecture({
  gguf: 'rnd1',
  huggingFace: ['RND1'],
  modelType: 'rnd1',
  hparams: [...QWEN_MOE_HPARAMS, NOT_CAUSAL, MASK],
  layers: { moe: () => true },
  tensors: [...MOE, ...QK_NORMS],
  tokenizer: 'byteLevel',
})
