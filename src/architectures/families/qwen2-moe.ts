/**
 * Qwen 1.5 and 2 with experts and one expert that all tokens share.
 *
 * Law: conversion/qwen.py `Qwen2MoeModel` (llama.cpp 0c1e570).
 */
import { ATTENTION, ENDS, EXPERTS, GATED_MLP, NORMS, saying } from '../common-rows.js'
import { defineArchitecture } from '../define.js'
import type { HparamRow } from '../hparams.js'
import { hasExperts } from '../layer-kinds.js'
import { TEXT_HPARAMS } from '../text-hparams.js'

/** What Qwen's models with experts add. */
export const QWEN_MOE_HPARAMS: readonly HparamRow[] = [
  ...TEXT_HPARAMS,
  ['expert_feed_forward_length', 'u32', 'moe_intermediate_size'],
  ['expert_shared_feed_forward_length', 'count', 'shared_expert_intermediate_size'],
]

export const qwen2moe = defineArchitecture({
  gguf: 'qwen2moe',
  huggingFace: ['Qwen2MoeForCausalLM'],
  modelType: 'qwen2_moe',
  defaults: {
    qwen2_moe: {
      missing: {
        ...{ max_position_embeddings: 32768, rms_norm_eps: 1e-6, rope_theta: 10000, num_key_value_heads: 16, num_experts_per_tok: 4 },
        ...{ moe_intermediate_size: 1408, shared_expert_intermediate_size: 5632 },
      },
    },
  },
  hparams: QWEN_MOE_HPARAMS,
  layers: { moe: hasExperts, dense: (config, block) => !hasExperts(config, block) },
  tensors: [
    ...[...ENDS, ...NORMS, ...ATTENTION, ...EXPERTS],
    ...saying(GATED_MLP, 'layers:dense'),
    ['model.layers.{block}.mlp.gate', 'ffnGateInp', 'layers:moe'],
    ['model.layers.{block}.mlp.shared_expert_gate', 'ffnGateInpShexp', 'layers:moe'],
    ['model.layers.{block}.mlp.shared_expert.gate_proj', 'ffnGateShexp', 'layers:moe'],
    ['model.layers.{block}.mlp.shared_expert.up_proj', 'ffnUpShexp', 'layers:moe'],
    ['model.layers.{block}.mlp.shared_expert.down_proj', 'ffnDownShexp', 'layers:moe'],
  ],
  tokenizer: 'byteLevel',
})
