/**
 * DeepSeek 1 to 3, and what is built on them.
 *
 * Law: conversion/deepseek.py `DeepseekModel`, `DeepseekV2Model` (llama.cpp 0c1e570): latent attention becomes one head of
 * keys and values, whose projection is split.
 */
import { ENDS, EXPERTS, GATED_MLP, NORMS, ROPE_ATTENTION, saying, SHARED_EXPERTS } from '../common-rows.js'
import { readUint, type Config } from '../config.js'
import { defineArchitecture, type TensorRow } from '../define.js'
import { blockCount, headDim, optionalFloat, optionalUint } from '../dimensions.js'
import type { HparamRow } from '../hparams.js'
import { afterDenseLayers } from '../layer-kinds.js'
import { ropeParameters } from '../rope.js'
import { TEXT_HPARAMS } from '../text-hparams.js'

const hasExperts = (config: Config): boolean => optionalUint(config, 'n_routed_experts') !== undefined
const moe = (config: Config, block: number): boolean => hasExperts(config) && block >= denseLayers(config)

function denseLayers(config: Config): number {
  const count = config.values.get('first_k_dense_replace') ?? null
  return typeof count === 'number' ? count : hasExperts(config) ? 0 : blockCount(config)
}

export const deepseek = defineArchitecture({
  gguf: 'deepseek',
  huggingFace: ['DeepseekForCausalLM'],
  modelType: 'deepseek',
  hparams: [
    ...TEXT_HPARAMS,
    ['rope.dimension_count', 'u32', headDim],
    ['rope.scaling.type', 'string', { always: 'none' }],
    ['leading_dense_block_count', 'count', 'first_k_dense_replace', 'required'],
    ['vocab_size', 'u32', 'vocab_size', 'required'],
    ['expert_feed_forward_length', 'u32', 'moe_intermediate_size', 'required'],
    ['expert_weights_scale', 'f32', { always: 1 }],
    ['expert_count', 'u32', 'n_routed_experts', 'required'],
    ['expert_shared_count', 'count', 'n_shared_experts', 'required'],
  ],
  layers: { moe: afterDenseLayers, dense: (config, block) => !afterDenseLayers(config, block) },
  tensors: [...ENDS, ...NORMS, ...ROPE_ATTENTION, ...saying(GATED_MLP, 'layers:dense'), ...EXPERTS, ...SHARED_EXPERTS],
  tokenizer: 'sentencePieceOrByteLevel',
})

/** What DeepSeek 2 adds, whatever its place in GGUF. */
export const DEEPSEEK2_HPARAMS: readonly HparamRow[] = [
  ...TEXT_HPARAMS,
  ['attention.head_count_kv', 'u32', { always: 1 }],
  ['attention.layer_norm_rms_epsilon', 'f32', 'rms_norm_eps', 1e-6],
  ['leading_dense_block_count', 'count', denseLayers],
  ['vocab_size', 'u32', 'vocab_size', 'required'],
  ['attention.q_lora_rank', 'u32', 'q_lora_rank'],
  ['attention.kv_lora_rank', 'u32', latentRank],
  ['attention.key_length', 'u32', (config) => latentRank(config) + readUint(config, 'qk_rope_head_dim')],
  ['attention.value_length', 'u32', latentRank],
  ['attention.key_length_mla', 'u32', (config) => readUint(config, 'qk_nope_head_dim') + readUint(config, 'qk_rope_head_dim')],
  ['attention.value_length_mla', 'u32', 'v_head_dim', 'required'],
  ['expert_feed_forward_length', 'u32', ['moe_intermediate_size', 'intermediate_size'], 'required'],
  ['expert_count', 'u32', 'n_routed_experts'],
  ['expert_shared_count', 'count', 'n_shared_experts', 0],
  ['expert_weights_scale', 'f32', 'routed_scaling_factor'],
  ['expert_weights_norm', 'bool', (config) => (config.values.get('norm_topk_prob') === true ? true : undefined)],
  ['rope.dimension_count', 'u32', 'qk_rope_head_dim', 'required'],
  ['rope.scaling.yarn_log_multiplier', 'f32', yarnLogMultiplier],
]

function latentRank(config: Config): number {
  return optionalUint(config, 'kv_lora_rank') ?? 512
}

function yarnLogMultiplier(config: Config): number | undefined {
  const scale = optionalFloat(ropeParameters(config).full, 'mscale_all_dim')
  return scale === undefined ? undefined : 0.1 * scale
}

export const LATENT_ATTENTION: readonly TensorRow[] = [
  ['model.layers.{block}.self_attn.q_proj', 'attnQ', 'layers:plainQueries'],
  ['model.layers.{block}.self_attn.q_a_proj', 'attnQA', 'layers:latentQueries'],
  ['model.layers.{block}.self_attn.q_a_layernorm', 'attnQANorm', 'layers:latentQueries'],
  ['model.layers.{block}.self_attn.q_b_proj', 'attnQB', 'layers:latentQueries'],
  ['model.layers.{block}.self_attn.kv_a_proj_with_mqa', 'attnKvAMqa'],
  ['model.layers.{block}.self_attn.kv_a_layernorm', 'attnKvANorm'],
  ['model.layers.{block}.self_attn.kv_b_proj', ['attnKB', 'attnVB'], 'splitLatent'],
  ['model.layers.{block}.self_attn.o_proj', 'attnOutput'],
]

export const DEEPSEEK2_ROWS: readonly TensorRow[] = [
  ['model.embed_tokens', 'tokenEmbd'],
  ['model.norm', 'outputNorm'],
  ['lm_head', 'output', 'tied', 'dropWhenTied'],
  ...[...NORMS, ...LATENT_ATTENTION, ...saying(GATED_MLP, 'layers:dense'), ...EXPERTS, ...SHARED_EXPERTS],
  ['model.layers.{block}.mlp.gate.e_score_correction_bias', 'expProbsB', 'exactBias', 'optional'],
]

export const DEEPSEEK2_LAYERS = {
  moe,
  dense: (config: Config, block: number) => !moe(config, block),
  plainQueries: (config: Config) => optionalUint(config, 'q_lora_rank') === undefined,
  latentQueries: (config: Config) => optionalUint(config, 'q_lora_rank') !== undefined,
}

export const deepseek2 = defineArchitecture({
  gguf: 'deepseek2',
  huggingFace: [
    'DeepseekV2ForCausalLM',
    'DeepseekV3ForCausalLM',
    'KimiVLForConditionalGeneration',
    'KimiK25ForConditionalGeneration',
    'YoutuForCausalLM',
    'YoutuVLForConditionalGeneration',
  ],
  modelType: 'deepseek_v3',
  defaults: {
    deepseek_v2: {
      missing: {
        ...{ max_position_embeddings: 2048, rms_norm_eps: 1e-6, rope_theta: 10000, num_key_value_heads: 32, first_k_dense_replace: 0 },
        ...{ kv_lora_rank: 512, q_lora_rank: 1536, n_shared_experts: 2, qk_nope_head_dim: 128, qk_rope_head_dim: 64, v_head_dim: 128 },
        ...{ routed_scaling_factor: 1, norm_topk_prob: false, moe_intermediate_size: 1407 },
      },
    },
    deepseek_v3: {
      missing: {
        ...{ max_position_embeddings: 4096, rms_norm_eps: 1e-6, rope_theta: 10000, num_key_value_heads: 128, first_k_dense_replace: 3 },
        ...{ kv_lora_rank: 512, q_lora_rank: 1536, n_shared_experts: 1, qk_nope_head_dim: 128, qk_rope_head_dim: 64, v_head_dim: 128 },
        ...{ routed_scaling_factor: 2.5, norm_topk_prob: true, moe_intermediate_size: 2048, n_group: 8, topk_group: 4, num_experts_per_tok: 8 },
      },
    },
  },
  hparams: DEEPSEEK2_HPARAMS,
  layers: DEEPSEEK2_LAYERS,
  tensors: DEEPSEEK2_ROWS,
  laterBlocks: 'leftOut',
  tokenizer: 'deepseek2',
})
