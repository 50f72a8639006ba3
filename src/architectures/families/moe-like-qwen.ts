/**
 * Families whose experts lie as Qwen's or Mixtral's: dots.llm1, MiniMax M2, Mellum 2.
 *
 * Law: conversion/dots1.py, minimax.py `MiniMaxM2Model`, mellum.py (llama.cpp 0c1e570).
 */
import { ATTENTION, ENDS, EXPERTS, GATED_MLP, NORMS, QK_NORMS, saying, SHARED_EXPERTS } from '../common-rows.js'
import { spelling, type Config } from '../config.js'
import { defineArchitecture } from '../define.js'
import { optionalUint } from '../dimensions.js'
import { afterDenseLayers, slidingLayers } from '../layer-kinds.js'
import { TEXT_HPARAMS } from '../text-hparams.js'
import { QWEN_MOE_HPARAMS } from './qwen2-moe.js'

const BODY = [...ENDS, ...NORMS, ...ATTENTION, ...QK_NORMS]

export const dots1 = defineArchitecture({
  gguf: 'dots1',
  huggingFace: ['Dots1ForCausalLM'],
  modelType: 'dots1',
  defaults: { dots1: { missing: { max_position_embeddings: 2048, rms_norm_eps: 1e-6, rope_theta: 10000, num_key_value_heads: 32, first_k_dense_replace: 0 } } },
  hparams: [
    ...QWEN_MOE_HPARAMS,
    ['leading_dense_block_count', 'count', 'first_k_dense_replace', 'required'],
    ['expert_shared_count', 'count', 'n_shared_experts', 'required'],
    ['expert_weights_scale', 'f32', 'routed_scaling_factor', 'required'],
    ['expert_weights_norm', 'bool', 'norm_topk_prob', 'required'],
  ],
  layers: { moe: afterDenseLayers, dense: (config, block) => !afterDenseLayers(config, block) },
  tensors: [
    ...[...BODY, ...EXPERTS],
    ...saying(GATED_MLP, 'layers:dense'),
    ...SHARED_EXPERTS,
    ['model.layers.{block}.mlp.gate.e_score_correction_bias', 'expProbsB', 'exactBias', 'optional'],
  ],
  tokenizer: 'byteLevel',
})

export const minimaxM2 = defineArchitecture({
  gguf: 'minimax-m2',
  huggingFace: ['MiniMaxM2ForCausalLM'],
  modelType: 'minimax_m2',
  hparams: [...TEXT_HPARAMS, ['expert_feed_forward_length', 'u32', 'intermediate_size', 'required'], ['rope.dimension_count', 'u32', 'rotary_dim', 'required']],
  tensors: [
    ...BODY,
    ['model.layers.{block}.block_sparse_moe.gate', 'ffnGateInp'],
    ['model.layers.{block}.block_sparse_moe.e_score_correction_bias', 'expProbsB', 'exactBias'],
    ['model.layers.{block}.block_sparse_moe.experts.{expert}.w1', 'ffnGateExps', 'stackExperts'],
    ['model.layers.{block}.block_sparse_moe.experts.{expert}.w2', 'ffnDownExps', 'stackExperts'],
    ['model.layers.{block}.block_sparse_moe.experts.{expert}.w3', 'ffnUpExps', 'stackExperts'],
  ],
  tokenizer: 'byteLevel',
})

const slides = (config: Config): boolean => config.values.get('use_sliding_window') !== false && spelling(config, ['sliding_window']) !== undefined

export const mellum = defineArchitecture({
  gguf: 'mellum',
  huggingFace: ['MellumForCausalLM'],
  modelType: 'mellum',
  hparams: [
    ...TEXT_HPARAMS,
    ['expert_feed_forward_length', 'u32', 'moe_intermediate_size'],
    ['attention.sliding_window', 'u32', (config) => (slides(config) ? optionalUint(config, 'sliding_window') : undefined)],
    ['attention.sliding_window_pattern', 'bool[]', (config) => (slides(config) ? slidingLayers(config) : undefined)],
  ],
  layers: { moe: () => true },
  tensors: [...BODY, ...EXPERTS, ['model.layers.{block}.mlp.gate', 'ffnGateInp']],
  tokenizer: 'byteLevel',
})
