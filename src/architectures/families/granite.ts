/**
 * Granite 3 and 4 dense, with and without experts.
 *
 * Law: conversion/granite.py `GraniteModel`, `GraniteMoeModel` (llama.cpp 0c1e570). Wider here: head_dim, which the reference
 * ignores (docs/numerics.md).
 */
import { ENDS, GATED_MLP, NORMS, ROPE_ATTENTION } from '../common-rows.js'
import { ALL_HEADS } from '../config-defaults.js'
import type { Config } from '../config.js'
import { defineArchitecture, withRow } from '../define.js'
import { evenHeadSize, optionalFloat, optionalUint } from '../dimensions.js'
import { ropeFactorsLlama3 } from '../extras.js'
import type { HparamRow } from '../hparams.js'
import { LLAMA_HPARAMS } from './llama.js'

/** Where it is another than the hidden state's share: the reference ignores it, and llama.cpp would take the share. */
function ownHeadDim(config: Config): number | undefined {
  const own = optionalUint(config, 'head_dim')
  return own === evenHeadSize(config) ? undefined : own
}

/** A factor that is written unless it is zero. */
const factor = (key: string) => (config: Config) => optionalFloat(config, key) || undefined

/** What all Granite models have. */
export const GRANITE_HPARAMS: readonly HparamRow[] = [
  ...withRow(withRow(LLAMA_HPARAMS, ['attention.key_length', 'u32', ownHeadDim]), ['attention.value_length', 'u32', ownHeadDim]),
  ['attention.scale', 'f32', factor('attention_multiplier')],
  ['embedding_scale', 'f32', factor('embedding_multiplier')],
  ['residual_scale', 'f32', factor('residual_multiplier')],
  ['logit_scale', 'f32', factor('logits_scaling')],
]

/** Of the experts that all tokens share. */
export const SHARED_LENGTH: HparamRow = [
  'expert_shared_feed_forward_length',
  'u32',
  (config) => (config.values.get('shared_intermediate_size') === 0 ? undefined : optionalUint(config, 'shared_intermediate_size')),
]

const FACTORS = { embedding_multiplier: 1, logits_scaling: 1, residual_multiplier: 1, attention_multiplier: 1 }
/** What transformers fills in for them. */
export const GRANITE_DEFAULTS = {
  missing: { max_position_embeddings: 2048, rms_norm_eps: 1e-6, rope_theta: 10000, ...FACTORS },
  derived: ALL_HEADS,
} as const

export const granite = defineArchitecture({
  gguf: 'granite',
  huggingFace: ['GraniteForCausalLM'],
  modelType: 'granite',
  defaults: { granite: GRANITE_DEFAULTS },
  hparams: GRANITE_HPARAMS,
  tensors: [...ENDS, ...NORMS, ...ROPE_ATTENTION, ...GATED_MLP],
  extras: [ropeFactorsLlama3],
  tokenizer: 'llama',
})

export const graniteMoe = defineArchitecture({
  gguf: 'granitemoe',
  huggingFace: ['GraniteMoeForCausalLM', 'GraniteMoeSharedForCausalLM'],
  modelType: 'granitemoe',
  defaults: {
    granitemoe: { ...GRANITE_DEFAULTS, missing: { ...GRANITE_DEFAULTS.missing, num_experts_per_tok: 2 } },
    granitemoeshared: { ...GRANITE_DEFAULTS, missing: { ...GRANITE_DEFAULTS.missing, num_experts_per_tok: 2 } },
  },
  hparams: [...GRANITE_HPARAMS, SHARED_LENGTH],
  tensors: [
    ...[...ENDS, ...NORMS, ...ROPE_ATTENTION],
    ['model.layers.{block}.block_sparse_moe.router.layer', 'ffnGateInp'],
    ['model.layers.{block}.block_sparse_moe.input_linear', ['ffnGateExps', 'ffnUpExps'], 'halves'],
    ['model.layers.{block}.block_sparse_moe.output_linear', 'ffnDownExps'],
    ['model.layers.{block}.shared_mlp.input_linear', ['ffnGateShexp', 'ffnUpShexp'], 'halves', 'optional'],
    ['model.layers.{block}.shared_mlp.output_linear', 'ffnDownShexp', 'optional'],
  ],
  extras: [ropeFactorsLlama3],
  tokenizer: 'llama',
})
