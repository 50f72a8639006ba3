/**
 * Models that write by filling in masked tokens: Dream, LLaDA, LLaDA with experts, RND1.
 *
 * Law: conversion/dream.py, llada.py, qwen.py `RND1Model` (llama.cpp 0c1e570).
 */
import { ATTENTION, ENDS, EXPERTS, GATED_MLP, NORMS, QK_NORMS } from '../common-rows.js'
import type { Config } from '../config.js'
import { defineArchitecture, type TensorRow } from '../define.js'
import { headDim } from '../dimensions.js'
import { POOLING } from '../encoder-hparams.js'
import type { HparamRow } from '../hparams.js'
import { TEXT_HPARAMS } from '../text-hparams.js'
import { QWEN_MOE_HPARAMS } from './qwen2-moe.js'

const NOT_CAUSAL: HparamRow = ['attention.causal', 'bool', { always: false }]
const MASK: HparamRow = ['tokenizer.ggml.mask_token_id', 'count', 'mask_token_id']
const UNSHIFTED: HparamRow = ['diffusion.shift_logits', 'bool', { always: false }]

export const dream = defineArchitecture({
  gguf: 'dream',
  huggingFace: ['DreamModel'],
  modelType: 'Dream',
  hparams: [...TEXT_HPARAMS, POOLING, NOT_CAUSAL, MASK],
  tensors: [...ENDS, ...NORMS, ...ATTENTION, ...GATED_MLP],
  tokenizer: 'dream',
})

export const llada = defineArchitecture({
  gguf: 'llada',
  huggingFace: ['LLaDAModelLM'],
  modelType: 'llada',
  hparams: [
    ...TEXT_HPARAMS,
    POOLING,
    ['vocab_size', 'u32', 'vocab_size', 'required'],
    ['rope.dimension_count', 'u32', headDim],
    ['context_length', 'u32', 'max_sequence_length', 4096],
    ['embedding_length', 'u32', 'd_model', 4096],
    ['feed_forward_length', 'u32', 'mlp_hidden_size', 12288],
    NOT_CAUSAL,
    UNSHIFTED,
  ],
  tensors: [
    ['model.transformer.wte', 'tokenEmbd'],
    ['model.transformer.ln_f', 'outputNorm'],
    ['model.transformer.ff_out', 'output', 'tied'],
    ['model.transformer.blocks.{block}.attn_norm', 'attnNorm'],
    ['model.transformer.blocks.{block}.q_proj', 'attnQ', 'unpermuteRope:heads', 'bias?'],
    ['model.transformer.blocks.{block}.k_proj', 'attnK', 'unpermuteRope:kvHeads', 'bias?'],
    ['model.transformer.blocks.{block}.v_proj', 'attnV', 'bias?'],
    ['model.transformer.blocks.{block}.attn_out', 'attnOutput', 'bias?'],
    ['model.transformer.blocks.{block}.ff_norm', 'ffnNorm'],
    ['model.transformer.blocks.{block}.ff_proj', 'ffnGate', 'bias?'],
    ['model.transformer.blocks.{block}.up_proj', 'ffnUp', 'bias?'],
    ['model.transformer.blocks.{block}.ff_out', 'ffnDown', 'bias?'],
  ],
  tokenizer: 'llada',
})

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
