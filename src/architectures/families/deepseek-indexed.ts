/**
 * Latent attention with an indexer that chooses what is looked at: DeepSeek 3.2, GLM-5.
 *
 * Law: conversion/deepseek.py `DeepseekV32Model`, glm.py `GlmMoeDsaModel` (llama.cpp 0c1e570).
 */
import { isArray } from '../../core/json.js'
import type { Config } from '../config.js'
import { defineArchitecture, withRow, type TensorRow } from '../define.js'
import { optionalFloat, optionalUint } from '../dimensions.js'
import type { HparamRow } from '../hparams.js'
import { withPredictors } from '../next-tokens.js'
import { ropeParameters } from '../rope.js'
import { DEEPSEEK2_HPARAMS, DEEPSEEK2_LAYERS, DEEPSEEK2_ROWS } from './deepseek.js'

const INDEXER_HPARAMS: readonly HparamRow[] = [
  ['attention.indexer.head_count', 'u32', 'index_n_heads', 'required'],
  ['attention.indexer.key_length', 'u32', 'index_head_dim', 'required'],
  ['attention.indexer.top_k', 'u32', 'index_topk', 'required'],
]

/** Whether each layer has an indexer of its own; others share that of the layer before. */
function ownIndexers({ values }: Config): readonly boolean[] | undefined {
  const types = values.get('indexer_types') ?? null
  return isArray(types) ? types.map((type) => type === 'full') : undefined
}

const INDEXER: readonly TensorRow[] = [
  ['model.layers.{block}.self_attn.indexer.wq_b', 'indexerAttnQB', 'layers:indexed'],
  ['model.layers.{block}.self_attn.indexer.wk', 'indexerAttnK', 'layers:indexed'],
  ['model.layers.{block}.self_attn.indexer.k_norm', 'indexerKNorm', 'bias', 'layers:indexed'],
  ['model.layers.{block}.self_attn.indexer.weights_proj', 'indexerProj', 'layers:indexed'],
]

const LAYERS = { ...DEEPSEEK2_LAYERS, indexed: (config: Config, block: number) => ownIndexers(config)?.[block] !== false }
const SHAPE = { n_shared_experts: 1, routed_scaling_factor: 2.5, kv_lora_rank: 512, qk_rope_head_dim: 64, num_experts_per_tok: 8, norm_topk_prob: true }
const MORE = { moe_intermediate_size: 2048, index_topk: 2048, index_head_dim: 128, first_k_dense_replace: 3, rope_theta: 10000 }

const deepseek = withPredictors({
  gguf: 'deepseek32',
  huggingFace: ['DeepseekV32ForCausalLM'],
  modelType: 'deepseek_v32',
  defaults: {
    deepseek_v32: {
      missing: {
        ...{ ...SHAPE, ...MORE, max_position_embeddings: 163840, rms_norm_eps: 1e-6, num_key_value_heads: 128, q_lora_rank: 1536 },
        ...{ v_head_dim: 128, qk_nope_head_dim: 128, n_group: 8, topk_group: 4, index_n_heads: 64 },
      },
    },
  },
  hparams: DEEPSEEK2_HPARAMS,
  layers: LAYERS,
  tensors: [...DEEPSEEK2_ROWS, ...INDEXER],
  tokenizer: 'deepseek32',
})

export const deepseek32 = defineArchitecture({ ...deepseek, hparams: [...deepseek.hparams, ...INDEXER_HPARAMS] })

const rotary = (config: Config): number =>
  Math.trunc((optionalUint(config, 'qk_rope_head_dim') ?? 0) * (optionalFloat(ropeParameters(config).full, 'partial_rotary_factor') ?? 1))

const glm = withPredictors({
  gguf: 'glm-dsa',
  huggingFace: ['GlmMoeDsaForCausalLM'],
  modelType: 'glm_moe_dsa',
  defaults: {
    glm_moe_dsa: {
      missing: {
        ...{ ...SHAPE, ...MORE, max_position_embeddings: 202752, rms_norm_eps: 1e-5, num_key_value_heads: 64, q_lora_rank: 2048 },
        ...{ v_head_dim: 256, qk_nope_head_dim: 192, n_group: 1, topk_group: 1, index_n_heads: 32 },
      },
    },
  },
  hparams: withRow(DEEPSEEK2_HPARAMS, ['rope.dimension_count', 'u32', rotary]),
  layers: LAYERS,
  tensors: [...DEEPSEEK2_ROWS, ...INDEXER],
  tokenizer: 'glm4Moe',
})

export const glmDsa = defineArchitecture({ ...glm, hparams: [...glm.hparams, ...INDEXER_HPARAMS, ['attention.indexer.types', 'bool[]', ownIndexers]] })
