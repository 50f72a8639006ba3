/**
 * Qwen 3 Next and Qwen 3.5: layers with linear attention (Gated DeltaNet) and, every few, full attention; with and without
 * experts; behind them layers that predict further tokens.
 *
 * Law: conversion/qwen.py `Qwen3NextModel`, `Qwen3_5TextModel`, `Qwen3_5MoeTextModel` (llama.cpp 0c1e570). Wider here:
 * checkpoints without predictor layers, at which the reference stops.
 */
import { EXPERTS, GATED_MLP } from '../common-rows.js'
import { readUint, type Config } from '../config.js'
import { defineArchitecture, type ArchitectureDefinition, type TensorRow } from '../define.js'
import { blockCount, optionalUint } from '../dimensions.js'
import type { HparamRow } from '../hparams.js'
import { layerTypes } from '../layer-kinds.js'
import { allMtpBlocks, MTP_ROWS, mtpCount, renamedMtp } from '../next-tokens.js'
import { ropeParameters } from '../rope.js'
import { rotaryDimensions } from '../text-hparams.js'
import { QWEN_MOE_HPARAMS } from './qwen2-moe.js'

/** By the list of the config, else every `full_attention_interval`th layer has full attention. */
function isLinear(config: Config, block: number): boolean {
  if (block >= blockCount(config)) return false
  const listed = layerTypes(config)
  return listed === undefined ? (block + 1) % (optionalUint(config, 'full_attention_interval') ?? 4) !== 0 : listed[block] === 'linear_attention'
}

const HPARAMS: readonly HparamRow[] = [
  ...QWEN_MOE_HPARAMS,
  ['block_count', 'u32', allMtpBlocks],
  ['nextn_predict_layers', 'u32', (config) => mtpCount(config) || undefined],
  ['ssm.conv_kernel', 'u32', 'linear_conv_kernel_dim', 'required'],
  ['ssm.state_size', 'u32', 'linear_key_head_dim', 'required'],
  ['ssm.group_count', 'u32', 'linear_num_key_heads', 'required'],
  ['ssm.time_step_rank', 'u32', 'linear_num_value_heads', 'required'],
  ['ssm.inner_size', 'u32', (config) => readUint(config, 'linear_value_head_dim') * readUint(config, 'linear_num_value_heads')],
  ['attention.recurrent_layers', 'bool[]', (config) => Array.from({ length: allMtpBlocks(config) }, (_, block) => isLinear(config, block))],
  ['full_attention_interval', 'u32', 'full_attention_interval', 4],
  ['rope.dimension_count', 'u32', rotaryDimensions(0.25)],
]

/** Time, height, width: transformers' own, where the config has none. */
const SECTIONS: HparamRow = [
  'rope.dimension_sections',
  'i32[]',
  (config) => (ropeParameters(config).section.values.has('mrope_section') ? undefined : [11, 11, 10, 0]),
]

const BODY: readonly TensorRow[] = [
  ['model.embed_tokens', 'tokenEmbd'],
  ['model.norm', 'outputNorm', 'addOne'],
  ['lm_head', 'output', 'tied'],
  ['model.layers.{block}.input_layernorm', 'attnNorm', 'addOne'],
  ['model.layers.{block}.post_attention_layernorm', 'postAttentionNorm', 'addOne'],
  ['model.layers.{block}.self_attn.q_proj', 'attnQ', 'bias?', 'layers:full'],
  ['model.layers.{block}.self_attn.k_proj', 'attnK', 'bias?', 'layers:full'],
  ['model.layers.{block}.self_attn.v_proj', 'attnV', 'bias?', 'layers:full'],
  ['model.layers.{block}.self_attn.o_proj', 'attnOutput', 'bias?', 'layers:full'],
  ['model.layers.{block}.self_attn.q_norm', 'attnQNorm', 'addOne', 'layers:full'],
  ['model.layers.{block}.self_attn.k_norm', 'attnKNorm', 'addOne', 'layers:full'],
  ['model.layers.{block}.linear_attn.norm', 'ssmNorm', 'layers:linear'],
  ...MTP_ROWS,
]

const MOE: readonly TensorRow[] = [
  ...EXPERTS,
  ['model.layers.{block}.mlp.gate', 'ffnGateInp'],
  ['model.layers.{block}.mlp.shared_expert_gate', 'ffnGateInpShexp'],
  ['model.layers.{block}.mlp.shared_expert.gate_proj', 'ffnGateShexp'],
  ['model.layers.{block}.mlp.shared_expert.up_proj', 'ffnUpShexp'],
  ['model.layers.{block}.mlp.shared_expert.down_proj', 'ffnDownShexp'],
]

/** Qwen 3.5 keeps what Qwen 3 Next fuses apart, and has its value heads tiled. */
const LINEAR: readonly TensorRow[] = [
  ['model.layers.{block}.linear_attn.A_log', 'ssmA', 'bare', 'tileValues:heads', 'negExp', 'layers:linear'],
  ['model.layers.{block}.linear_attn.dt_bias', 'ssmDt', 'exactBias', 'tileValues:heads', 'layers:linear'],
  ['model.layers.{block}.linear_attn.conv1d', 'ssmConv1d', 'squeeze', 'tileValues:qkv', 'layers:linear'],
  ['model.layers.{block}.linear_attn.in_proj_qkv', 'attnQkv', 'tileValues:qkv', 'layers:linear'],
  ['model.layers.{block}.linear_attn.in_proj_z', 'attnGate', 'tileValues:rows', 'layers:linear'],
  ['model.layers.{block}.linear_attn.in_proj_a', 'ssmAlpha', 'tileValues:heads', 'layers:linear'],
  ['model.layers.{block}.linear_attn.in_proj_b', 'ssmBeta', 'tileValues:heads', 'layers:linear'],
  ['model.layers.{block}.linear_attn.out_proj', 'ssmOut', 'tileValues:columns', 'layers:linear'],
]

const SHARED = {
  layers: { linear: isLinear, full: (config: Config, block: number) => !isLinear(config, block), moe: () => true },
  blockCount: allMtpBlocks,
  rename: renamedMtp,
  tokenizer: 'byteLevel',
} as const satisfies Partial<ArchitectureDefinition>

const SIZES = { max_position_embeddings: 32768, rms_norm_eps: 1e-6, rope_theta: 10000, partial_rotary_factor: 0.25, head_dim: 256 }
const LINEAR_SIZES = { linear_conv_kernel_dim: 4, linear_key_head_dim: 128, linear_value_head_dim: 128, linear_num_key_heads: 16, linear_num_value_heads: 32 }
const MOE_SIZES = { moe_intermediate_size: 512, shared_expert_intermediate_size: 512 }

export const qwen3next = defineArchitecture({
  ...SHARED,
  gguf: 'qwen3next',
  huggingFace: ['Qwen3NextForCausalLM'],
  modelType: 'qwen3_next',
  defaults: { qwen3_next: { missing: { ...SIZES, ...LINEAR_SIZES, ...MOE_SIZES, num_key_value_heads: 2, num_experts_per_tok: 10 } } },
  hparams: HPARAMS,
  tensors: [
    ...[...BODY, ...MOE],
    ['model.layers.{block}.linear_attn.A_log', 'ssmA', 'bare', 'negExp', 'layers:linear'],
    ['model.layers.{block}.linear_attn.dt_bias', 'ssmDt', 'exactBias', 'layers:linear'],
    ['model.layers.{block}.linear_attn.conv1d', 'ssmConv1d', 'squeeze', 'layers:linear'],
    ['model.layers.{block}.linear_attn.in_proj_qkvz', ['attnQkv', 'attnGate'], 'splitQkvz', 'layers:linear'],
    ['model.layers.{block}.linear_attn.in_proj_ba', 'ssmBa', 'layers:linear'],
    ['model.layers.{block}.linear_attn.out_proj', 'ssmOut', 'layers:linear'],
  ],
})

export const qwen35 = defineArchitecture({
  ...SHARED,
  gguf: 'qwen35',
  huggingFace: ['Qwen3_5ForCausalLM', 'Qwen3_5ForConditionalGeneration', 'MiniCPMV4_6ForConditionalGeneration'],
  modelType: 'qwen3_5_text',
  defaults: { qwen3_5_text: { missing: { ...SIZES, ...LINEAR_SIZES, num_key_value_heads: 4 } } },
  hparams: [...HPARAMS, SECTIONS],
  tensors: [...BODY, ...GATED_MLP, ...LINEAR],
})

export const qwen35moe = defineArchitecture({
  ...SHARED,
  gguf: 'qwen35moe',
  huggingFace: ['Qwen3_5MoeForCausalLM', 'Qwen3_5MoeForConditionalGeneration'],
  modelType: 'qwen3_5_moe_text',
  defaults: { qwen3_5_moe_text: { missing: { ...SIZES, ...LINEAR_SIZES, ...MOE_SIZES, num_key_value_heads: 2, num_experts_per_tok: 8 } } },
  hparams: [...HPARAMS, SECTIONS],
  tensors: [...BODY, ...MOE, ...LINEAR],
})
