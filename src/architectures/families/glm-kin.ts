/**
 * GLM models on rows of others: GLM-OCR on GLM-4's, GLM-4.7-Flash on DeepSeek's.
 *
 * Law: conversion/glm.py `GlmOCRModel`, `Glm4MoeLiteModel` (llama.cpp 0c1e570). Wider here: GLM-4.7-Flash saved by transformers 5, which lists
 * its dense layers (docs/numerics.md).
 */
import type { Config } from '../config.js'
import { defineArchitecture, withRow } from '../define.js'
import { blockCount } from '../dimensions.js'
import { listedSparse } from '../layer-kinds.js'
import { allBlocks, PREDICTOR_ROWS, predictorCount, withPredictors } from '../next-tokens.js'
import { DEEPSEEK2_HPARAMS, DEEPSEEK2_LAYERS, DEEPSEEK2_ROWS } from './deepseek.js'
import { glm4 } from './glm.js'

export const glmOcr = defineArchitecture(
  withPredictors({
    ...glm4,
    huggingFace: ['GlmOcrForConditionalGeneration'],
    modelType: 'glm_ocr_text',
    defaults: { glm_ocr_text: { missing: { max_position_embeddings: 131072, rms_norm_eps: 1e-5, rope_theta: 10000, num_key_value_heads: 8 } } },
  }),
)

/** Predictors behind the list have experts. */
const sparse = (config: Config, block: number): boolean => listedSparse(config, block)

function denseLayers(config: Config): number {
  const first = Array.from({ length: blockCount(config) }, (_, block) => block).findIndex((block) => sparse(config, block))
  return first < 0 ? blockCount(config) : first
}

export const glm4MoeLite = defineArchitecture({
  gguf: 'deepseek2',
  huggingFace: ['Glm4MoeLiteForCausalLM'],
  modelType: 'glm4_moe_lite',
  defaults: {
    glm4_moe_lite: {
      missing: {
        ...{ moe_intermediate_size: 1536, num_key_value_heads: 20, n_shared_experts: 1, routed_scaling_factor: 1.8, kv_lora_rank: 512, q_lora_rank: 768 },
        ...{ qk_rope_head_dim: 64, v_head_dim: 256, qk_nope_head_dim: 192, n_group: 1, topk_group: 1, num_experts_per_tok: 4, norm_topk_prob: true },
        ...{ max_position_embeddings: 202752, rms_norm_eps: 1e-5, rope_theta: 10000 },
      },
    },
  },
  hparams: [
    ...withRow(DEEPSEEK2_HPARAMS, ['leading_dense_block_count', 'count', denseLayers]),
    ['block_count', 'u32', allBlocks],
    ['nextn_predict_layers', 'u32', (config) => predictorCount(config) || undefined],
  ],
  blockCount: allBlocks,
  requiredBlocks: blockCount,
  laterBlocks: 'leftOut',
  layers: { ...DEEPSEEK2_LAYERS, moe: sparse, dense: (config, block) => !sparse(config, block) },
  tensors: [...DEEPSEEK2_ROWS, ...PREDICTOR_ROWS],
  tokenizer: 'glm4Moe',
})
