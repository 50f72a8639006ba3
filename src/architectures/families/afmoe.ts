/**
 * Arcee Trinity: gated attention, norms on both sides, experts behind a few dense layers.
 *
 * Law: conversion/afmoe.py (llama.cpp 0c1e570).
 */
import { ATTENTION, ENDS, EXPERTS, GATED_MLP, QK_NORMS, saying, SHARED_EXPERTS } from '../common-rows.js'
import type { Config } from '../config.js'
import { defineArchitecture, type TensorRow } from '../define.js'
import { optionalUint } from '../dimensions.js'
import { ropeFactorsLlama3 } from '../extras.js'
import { LLAMA_HPARAMS } from './llama.js'

function isDense(config: Config, block: number): boolean {
  const count = config.values.get('num_dense_layers')
  return block < (typeof count === 'number' ? count : 0)
}

const [DOWN, GATE, UP, ...STACKED] = EXPERTS
const IN_ORDER: readonly TensorRow[] = [GATE, UP, DOWN, ...STACKED].filter((row) => row !== undefined) // as the reference writes them here

export const afmoe = defineArchitecture({
  gguf: 'afmoe',
  huggingFace: ['AfmoeForCausalLM'],
  modelType: 'afmoe',
  defaults: {
    afmoe: {
      missing: {
        ...{ moe_intermediate_size: 1408, num_dense_layers: 1, num_key_value_heads: 16, head_dim: 128, max_position_embeddings: 16384 },
        ...{ rms_norm_eps: 1e-5, rope_theta: 10000, num_experts_per_tok: 6, num_shared_experts: 2, route_scale: 1, sliding_window: 1024 },
      },
    },
  },
  hparams: [
    ...LLAMA_HPARAMS,
    ['expert_shared_count', 'count', 'num_shared_experts'],
    ['expert_feed_forward_length', 'u32', 'moe_intermediate_size'],
    ['leading_dense_block_count', 'count', 'num_dense_layers'],
    ['expert_weights_norm', 'bool', 'route_norm'],
    ['expert_weights_scale', 'f32', 'route_scale'],
    ['attention.sliding_window', 'u32', (config) => optionalUint(config, 'sliding_window')],
  ],
  layers: { dense: isDense, moe: (config, block) => !isDense(config, block) },
  tensors: [
    ...[...ENDS, ...ATTENTION, ...QK_NORMS, ...IN_ORDER, ...SHARED_EXPERTS.slice(1)],
    ['model.layers.{block}.self_attn.gate_proj', 'attnGate'],
    ['model.layers.{block}.input_layernorm', 'attnNorm'],
    ['model.layers.{block}.post_attention_layernorm', 'postAttentionNorm'],
    ['model.layers.{block}.pre_mlp_layernorm', 'ffnNorm'],
    ['model.layers.{block}.post_mlp_layernorm', 'postFfwNorm'],
    ...saying(GATED_MLP, 'layers:dense'),
    ['model.layers.{block}.mlp.router.gate', 'ffnGateInp', 'layers:moe'],
    ['model.layers.{block}.mlp.expert_bias', 'expProbsB', 'exactBias', 'layers:moe'],
  ],
  extras: [ropeFactorsLlama3],
  tokenizer: 'llama',
})
