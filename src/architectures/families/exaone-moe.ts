/**
 * K-EXAONE: EXAONE 4's attention with norms before each part, and experts.
 *
 * Law: conversion/exaone.py `ExaoneMoEModel` (llama.cpp 0c1e570).
 */
import { ATTENTION, ENDS, EXPERTS, GATED_MLP, NORMS, QK_NORMS, saying, SHARED_EXPERTS } from '../common-rows.js'
import { readUint, type Config } from '../config.js'
import { defineArchitecture } from '../define.js'
import { blockCount, optionalUint } from '../dimensions.js'
import { ropeFactorsLlama3 } from '../extras.js'
import { allBlocks, PREDICTOR_ROWS, predictorCount, renamedMtp } from '../next-tokens.js'
import { TEXT_HPARAMS } from '../text-hparams.js'
import { slidingPattern } from './exaone.js'

function denseLayers({ values }: Config): number {
  const count = values.get('first_k_dense_replace') ?? values.get('first_last_k_dense_replace') ?? 0
  return typeof count === 'number' ? count : 0
}

const sharedLength = (config: Config): number => readUint(config, 'moe_intermediate_size') * readUint(config, 'num_shared_experts')

export const exaoneMoe = defineArchitecture({
  gguf: 'exaone-moe',
  huggingFace: ['ExaoneMoeForCausalLM', 'ExaoneMoEForCausalLM'],
  modelType: 'exaone_moe',
  defaults: {
    exaone_moe: {
      missing: {
        ...{ num_key_value_heads: 32, max_position_embeddings: 2048, rms_norm_eps: 1e-5, rope_theta: 10000, sliding_window: 4096, sliding_window_pattern: 4 },
        ...{ first_k_dense_replace: 1, moe_intermediate_size: 1024, num_experts_per_tok: 8, num_shared_experts: 1, norm_topk_prob: true },
        ...{ routed_scaling_factor: 2.5, n_group: 1, topk_group: 1 },
      },
    },
  },
  hparams: [
    ...TEXT_HPARAMS,
    ['block_count', 'u32', allBlocks],
    ['vocab_size', 'u32', 'vocab_size', 'required'],
    ['attention.sliding_window', 'u32', (config) => optionalUint(config, 'sliding_window')],
    ['attention.sliding_window_pattern', 'bool[]', slidingPattern],
    ['expert_feed_forward_length', 'u32', 'moe_intermediate_size', 'required'],
    ['expert_shared_count', 'u32', 'num_shared_experts', 'required'],
    ['expert_shared_feed_forward_length', 'u32', sharedLength],
    ['expert_weights_scale', 'f32', 'routed_scaling_factor', 'required'],
    ['expert_weights_norm', 'bool', 'norm_topk_prob', 'required'],
    ['leading_dense_block_count', 'count', denseLayers],
    ['nextn_predict_layers', 'count', predictorCount],
    ['rope.scaling.type', 'string', { always: 'none' }],
  ],
  blockCount: allBlocks,
  requiredBlocks: blockCount,
  laterBlocks: 'leftOut',
  layers: { moe: (config, block) => block >= denseLayers(config), dense: (config, block) => block < denseLayers(config) },
  tensors: [
    ...[...ENDS, ...NORMS, ...ATTENTION, ...QK_NORMS, ...EXPERTS, ...SHARED_EXPERTS],
    ...saying(GATED_MLP, 'layers:dense'),
    ['model.layers.{block}.mlp.e_score_correction_bias', 'expProbsB', 'exactBias', 'layers:moe'],
    ['model.layers.{block}.mlp.gate.e_score_correction_bias', 'expProbsB', 'exactBias', 'layers:moe'],
    ...PREDICTOR_ROWS,
  ],
  rename: renamedMtp,
  extras: [(config) => ropeFactorsLlama3(config, 16)],
  tokenizer: 'byteLevel',
})
