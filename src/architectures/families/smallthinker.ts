/**
 * SmallThinker.
 *
 * Law: conversion/smallthinker.py (llama.cpp 0c1e570).
 */
import { isArray } from '../../core/json.js'
import { ATTENTION, ENDS, NORMS } from '../common-rows.js'
import type { Config } from '../config.js'
import { defineArchitecture } from '../define.js'
import { optionalUint } from '../dimensions.js'
import { TEXT_HPARAMS } from '../text-hparams.js'

/** Only where a layer has one. */
function windowSize(config: Config): number | undefined {
  const layout = config.values.get('sliding_window_layout') ?? null
  return isArray(layout) && layout.some((one) => one !== 0) ? optionalUint(config, 'sliding_window_size') : undefined
}

export const smallThinker = defineArchitecture({
  gguf: 'smallthinker',
  huggingFace: ['SmallThinkerForCausalLM'],
  modelType: 'smallthinker',
  hparams: [
    ...TEXT_HPARAMS,
    ['expert_count', 'u32', 'moe_num_primary_experts'],
    ['expert_used_count', 'u32', 'moe_num_active_primary_experts'],
    ['expert_feed_forward_length', 'u32', 'moe_ffn_hidden_size'],
    ['feed_forward_length', 'u32', 'moe_ffn_hidden_size'],
    ['expert_gating_func', 'u32', (config) => (config.values.get('moe_primary_router_apply_softmax') === true ? 1 : 2)],
    ['attention.sliding_window', 'u32', windowSize],
  ],
  tensors: [
    ...[...ENDS, ...NORMS, ...ATTENTION],
    ['model.layers.{block}.block_sparse_moe.primary_router', 'ffnGateInp'],
    ['model.layers.{block}.block_sparse_moe.experts.{expert}.down', 'ffnDownExps', 'stackExperts'],
    ['model.layers.{block}.block_sparse_moe.experts.{expert}.gate', 'ffnGateExps', 'stackExperts'],
    ['model.layers.{block}.block_sparse_moe.experts.{expert}.up', 'ffnUpExps', 'stackExperts'],
  ],
  tokenizer: 'byteLevel',
})
