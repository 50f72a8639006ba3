/**
 * ERNIE 4.5, with and without experts, and PaddleOCR's text model.
 *
 * Law: conversion/ernie.py (llama.cpp 0c1e570).
 */
import { ATTENTION, ENDS, GATED_MLP, NORMS, saying } from '../common-rows.js'
import { readUint, type Config } from '../config.js'
import { defineArchitecture, type TensorRow } from '../define.js'
import { optionalUint } from '../dimensions.js'
import { TEXT_HPARAMS } from '../text-hparams.js'

/** Some checkpoints fuse what others keep apart. */
const FUSED: readonly TensorRow[] = [
  ['model.layers.{block}.self_attn.qkv_proj', ['attnQ', 'attnK', 'attnV'], 'splitQkvRows', 'optional'],
  ['model.layers.{block}.mlp.up_gate_proj', ['ffnGate', 'ffnUp'], 'halves', 'optional'],
]

const DEFAULTS = { max_position_embeddings: 131072, rms_norm_eps: 1e-5, rope_theta: 500000 }

export const ernie = defineArchitecture({
  gguf: 'ernie4_5',
  huggingFace: ['Ernie4_5_ForCausalLM', 'Ernie4_5ForCausalLM'],
  modelType: 'ernie4_5',
  defaults: { ernie4_5: { missing: { ...DEFAULTS, num_key_value_heads: 2, head_dim: 128 } } },
  hparams: TEXT_HPARAMS,
  prefixes: [
    ['model.', 'model.'],
    ['model.', 'ernie.'],
  ],
  tensors: [...ENDS, ...NORMS, ...ATTENTION, ...GATED_MLP, ...FUSED],
  tokenizer: 'sentencePieceWithPrefix',
})

export const paddleOcr = defineArchitecture({
  ...ernie,
  gguf: 'paddleocr',
  huggingFace: ['PaddleOCRVLForConditionalGeneration'],
  modelType: 'paddleocr_vl_text',
})

/** From one layer to another, every so many. */
function hasExperts(config: Config, block: number): boolean {
  const first = Number(config.values.get('moe_layer_start_index') ?? 0)
  const last = Number(config.values.get('moe_layer_end_index') ?? -1)
  const step = optionalUint(config, 'moe_layer_interval') ?? 1
  return block >= first && (last < 0 || block <= last) && (block + 1) % step === 0
}

const hasShared = (config: Config, block: number): boolean => hasExperts(config, block) && Number(config.values.get('moe_num_shared_experts') ?? 0) > 0

export const ernieMoe = defineArchitecture({
  ...ernie,
  gguf: 'ernie4_5-moe',
  huggingFace: ['Ernie4_5_MoeForCausalLM'],
  modelType: 'ernie4_5_moe',
  defaults: {
    ernie4_5_moe: {
      missing: {
        ...{ ...DEFAULTS, num_key_value_heads: 4, moe_intermediate_size: 1536, moe_k: 6, moe_num_shared_experts: 2, moe_layer_start_index: 1 },
        ...{ moe_layer_interval: 1 },
      },
    },
  },
  hparams: [
    ...TEXT_HPARAMS,
    ['expert_count', 'u32', 'moe_num_experts', 'required'],
    ['expert_used_count', 'u32', 'moe_k', 'required'],
    ['interleave_moe_layer_step', 'u32', 'moe_layer_interval', 'required'],
    ['leading_dense_block_count', 'count', 'moe_layer_start_index', 'required'],
    ['expert_feed_forward_length', 'u32', 'moe_intermediate_size'],
    ['expert_shared_count', 'count', 'moe_num_shared_experts'],
    [
      'expert_shared_feed_forward_length',
      'u32',
      (config) =>
        Number(config.values.get('moe_num_shared_experts') ?? 0) > 0
          ? Math.floor(readUint(config, 'intermediate_size') / readUint(config, 'num_key_value_heads'))
          : undefined,
    ],
  ],
  layers: { moe: hasExperts, dense: (config, block) => !hasExperts(config, block), shared: hasShared },
  tensors: [
    ...[...ENDS, ...NORMS, ...ATTENTION],
    ...saying(GATED_MLP, 'layers:dense'),
    ['model.layers.{block}.mlp.gate', 'ffnGateInp', 'layers:moe'],
    ['model.layers.{block}.mlp.moe_statics.e_score_correction_bias', 'expProbsB', 'exactBias', 'layers:moe'],
    ['model.layers.{block}.mlp.experts.{expert}.gate_proj', 'ffnGateExps', 'stackExperts', 'layers:moe'],
    ['model.layers.{block}.mlp.experts.{expert}.up_proj', 'ffnUpExps', 'stackExperts', 'layers:moe'],
    ['model.layers.{block}.mlp.experts.{expert}.down_proj', 'ffnDownExps', 'stackExperts', 'layers:moe'],
    ['model.layers.{block}.mlp.shared_experts.gate_proj', 'ffnGateShexp', 'layers:shared'],
    ['model.layers.{block}.mlp.shared_experts.up_proj', 'ffnUpShexp', 'layers:shared'],
    ['model.layers.{block}.mlp.shared_experts.down_proj', 'ffnDownShexp', 'layers:shared'],
  ],
})
