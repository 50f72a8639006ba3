/**
 * Families whose layers with a sliding window have rotary embeddings of their own: Spark 2.5, Maple.
 *
 * Law: conversion/spark2_5.py, maple.py (llama.cpp 0c1e570).
 */
import { ATTENTION, ENDS, EXPERTS, GATED_MLP, NORMS, QK_NORMS } from '../common-rows.js'
import type { Config } from '../config.js'
import { defineArchitecture } from '../define.js'
import { blockCount, headDim, optionalFloat } from '../dimensions.js'
import type { HparamRow } from '../hparams.js'
import { slidingLayers } from '../layer-kinds.js'
import { ropeParameters } from '../rope.js'
import { rotaryDimensions, TEXT_HPARAMS } from '../text-hparams.js'

const VOCABULARY_HPARAMS: readonly HparamRow[] = [...TEXT_HPARAMS, ['vocab_size', 'u32', 'vocab_size', 'required']]
const ROTATING: HparamRow = ['rope.dimension_count', 'u32', rotaryDimensions(1)]

const WINDOW_HPARAMS: readonly HparamRow[] = [
  ['attention.sliding_window', 'u32', 'sliding_window', 'required'],
  ['attention.sliding_window_pattern', 'bool[]', slidingLayers],
]

function slidingDimensions(config: Config): number | undefined {
  const { sliding } = ropeParameters(config)
  return sliding === undefined ? undefined : Math.trunc(headDim(config) * (optionalFloat(sliding, 'partial_rotary_factor') ?? 1))
}

export const spark25 = defineArchitecture({
  gguf: 'spark2_5',
  huggingFace: ['Spark2_5ForCausalLM'],
  modelType: 'spark2_5',
  when: ({ values }) =>
    (values.get('gate_attn_act_mode') ?? 'sigmoid') === 'sigmoid' &&
    values.get('headwise_attn_output_gate') !== false &&
    (values.get('hidden_act') ?? 'gelu') === 'gelu',
  hparams: [...VOCABULARY_HPARAMS, ...WINDOW_HPARAMS, ROTATING, ['rope.dimension_count_swa', 'u32', slidingDimensions]],
  tensors: [
    ...[...ENDS, ...NORMS, ...GATED_MLP],
    ['model.layers.{block}.self_attn.g_proj', 'attnGate'],
    ['model.layers.{block}.self_attn.o_proj', 'attnOutput'],
    ['model.layers.{block}.self_attn.q_k_v_proj', 'attnQkv'],
  ],
  tokenizer: 'byteLevel',
})

const CLAMP = 7 // of gate and up, in the model's code

export const maple = defineArchitecture({
  gguf: 'maple',
  huggingFace: ['MapleForCausalLM'],
  modelType: 'maple',
  when: ({ values }) =>
    values.get('nope_on_global_attention') !== false && values.get('norm_topk_prob') !== false && (values.get('num_shared_experts') ?? 0) === 0,
  hparams: [
    ...VOCABULARY_HPARAMS,
    ROTATING,
    ...WINDOW_HPARAMS,
    ['expert_feed_forward_length', 'u32', 'moe_intermediate_size', 'required'],
    ['swiglu_clamp_exp', 'f32[]', (config) => Array.from({ length: blockCount(config) }, () => CLAMP)],
  ],
  layers: { moe: () => true },
  tensors: [...ENDS, ...NORMS, ...ATTENTION, ...QK_NORMS, ...EXPERTS, ['model.layers.{block}.mlp.gate', 'ffnGateInp']],
  tokenizer: 'byteLevel',
})
