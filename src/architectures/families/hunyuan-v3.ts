/**
 * Hunyuan 3: experts behind a dense layer, with one that all tokens share, and predictors behind the layers.
 *
 * Law: conversion/hunyuan.py `HYV3Model` (llama.cpp 0c1e570).
 */
import { ATTENTION, ENDS, EXPERTS, GATED_MLP, NORMS, QK_NORMS, saying } from '../common-rows.js'
import { readUint } from '../config.js'
import { defineArchitecture } from '../define.js'
import { blockCount, optionalFloat, optionalUint } from '../dimensions.js'
import { listedSparse } from '../layer-kinds.js'
import { allBlocks, PREDICTOR_ROWS, predictorCount } from '../next-tokens.js'
import { TEXT_HPARAMS } from '../text-hparams.js'

const SIGMOID = 2

export const hunyuanV3 = defineArchitecture({
  gguf: 'hy_v3',
  huggingFace: ['HYV3ForCausalLM'],
  modelType: 'hy_v3',
  defaults: {
    hy_v3: {
      missing: {
        ...{ num_key_value_heads: 8, head_dim: 128, max_position_embeddings: 131072, rms_norm_eps: 1e-5, rope_theta: 11158840 },
        ...{ num_experts: 192, num_experts_per_tok: 8, num_shared_experts: 1, moe_intermediate_size: 1536, router_scaling_factor: 2.826 },
        ...{ first_k_dense_replace: 1 },
      },
    },
  },
  hparams: [
    ...TEXT_HPARAMS,
    ['block_count', 'u32', allBlocks],
    ['expert_feed_forward_length', 'u32', 'moe_intermediate_size', 'required'],
    ['expert_shared_feed_forward_length', 'u32', (config) => readUint(config, 'moe_intermediate_size') * (optionalUint(config, 'num_shared_experts') ?? 1)],
    ['expert_weights_norm', 'bool', (config) => config.values.get('route_norm') !== false],
    ['expert_weights_scale', 'f32', (config) => optionalFloat(config, 'router_scaling_factor') ?? 1],
    ['expert_gating_func', 'u32', { always: SIGMOID }],
    ['nextn_predict_layers', 'u32', (config) => predictorCount(config) || undefined],
  ],
  blockCount: allBlocks,
  requiredBlocks: blockCount,
  laterBlocks: 'leftOut',
  layers: { moe: listedSparse, dense: (config, block) => !listedSparse(config, block) },
  rename: (name) => name.replace('.final_layernorm.', '.shared_head.norm.'),
  tensors: [
    ...[...ENDS, ...NORMS, ...ATTENTION, ...QK_NORMS, ...EXPERTS],
    ...saying(GATED_MLP, 'layers:dense'),
    ['model.layers.{block}.mlp.expert_bias', 'expProbsB', 'bare', 'layers:moe'],
    ['model.layers.{block}.mlp.router.gate', 'ffnGateInp', 'layers:moe'],
    ['model.layers.{block}.mlp.shared_mlp.gate_proj', 'ffnGateShexp', 'layers:moe'],
    ['model.layers.{block}.mlp.shared_mlp.up_proj', 'ffnUpShexp', 'layers:moe'],
    ['model.layers.{block}.mlp.shared_mlp.down_proj', 'ffnDownShexp', 'layers:moe'],
    ...PREDICTOR_ROWS,
  ],
  tokenizer: 'byteLevel',
})
