/**
 * Grok 1 and 2: experts, in Grok 2 beside a feed-forward part, and caps on logits everywhere.
 *
 * Law: conversion/grok.py (llama.cpp 0c1e570).
 */
import { ATTENTION, ENDS } from '../common-rows.js'
import { readFloat, spelling, type Config } from '../config.js'
import { defineArchitecture, type TensorRow } from '../define.js'
import { headDim, optionalFloat } from '../dimensions.js'
import type { HparamRow } from '../hparams.js'
import { TEXT_HPARAMS } from '../text-hparams.js'

/** Said at the root of config.json; `original` is a slip for it. */
const stretches = ({ values }: Config): boolean => values.get('rope_type') === 'yarn' || values.get('rope_type') === 'original'

function stretched(name: string, key: string): HparamRow {
  return [name, 'f32', (config: Config) => (stretches(config) ? readFloat(config, key) : undefined)]
}

const GROK1: readonly TensorRow[] = [
  ['transformer.in_out_embed', 'tokenEmbd'],
  ['transformer.rms_norm', 'outputNorm'],
  ['transformer.decoder_layer.{block}.moe.{expert}.linear', 'ffnGateExps', 'stackExperts'],
  ['transformer.decoder_layer.{block}.moe.{expert}.linear_1', 'ffnDownExps', 'stackExperts'],
  ['transformer.decoder_layer.{block}.moe.{expert}.linear_v', 'ffnUpExps', 'stackExperts'],
  ['transformer.decoder_layer.{block}.multi_head_attention.query', 'attnQ'],
  ['transformer.decoder_layer.{block}.multi_head_attention.key', 'attnK'],
  ['transformer.decoder_layer.{block}.multi_head_attention.value', 'attnV'],
  ['transformer.decoder_layer.{block}.multi_head_attention.linear', 'attnOutput'],
  ['transformer.decoder_layer.{block}.rms_norm', 'attnNorm'],
  ['transformer.decoder_layer.{block}.rms_norm_1', 'attnOutputNorm'],
  ['transformer.decoder_layer.{block}.rms_norm_2', 'ffnNorm'],
  ['transformer.decoder_layer.{block}.rms_norm_3', 'layerOutputNorm'],
  ['transformer.decoder_layer.{block}.router', 'ffnGateInp'],
]

const GROK2: readonly TensorRow[] = [
  ...[...ENDS, ...ATTENTION],
  ['model.layers.{block}.block_sparse_moe.experts.{expert}.w1', 'ffnGateExps', 'stackExperts'],
  ['model.layers.{block}.block_sparse_moe.experts.{expert}.w2', 'ffnDownExps', 'stackExperts'],
  ['model.layers.{block}.block_sparse_moe.experts.{expert}.w3', 'ffnUpExps', 'stackExperts'],
  ['model.layers.{block}.block_sparse_moe.gate', 'ffnGateInp'],
  ['model.layers.{block}.pre_attn_norm', 'attnNorm'],
  ['model.layers.{block}.post_attn_norm', 'attnOutputNorm'],
  ['model.layers.{block}.pre_moe_norm', 'ffnNorm'],
  ['model.layers.{block}.post_moe_norm', 'postFfwNorm'],
  ['model.layers.{block}.mlp.gate_proj', 'ffnGate', 'optional'],
  ['model.layers.{block}.mlp.up_proj', 'ffnUp', 'optional'],
  ['model.layers.{block}.mlp.down_proj', 'ffnDown', 'optional'],
]

const HPARAMS: readonly HparamRow[] = [
  ...TEXT_HPARAMS,
  ['attn_logit_softcapping', 'f32', (config) => optionalFloat(config, 'attn_logit_softcapping') ?? 30],
  ['router_logit_softcapping', 'f32', (config) => optionalFloat(config, 'router_logit_softcapping') ?? 30],
  ['final_logit_softcapping', 'f32', (config) => optionalFloat(config, 'final_logit_softcapping') || undefined],
  ['expert_feed_forward_length', 'u32', 'moe_intermediate_size'],
  ['rope.scaling.type', 'string', (config) => (stretches(config) ? 'yarn' : undefined)],
  stretched('rope.scaling.factor', 'scaling_factor'),
  ['rope.scaling.original_context_length', 'u32', (config) => (stretches(config) ? readFloat(config, 'original_max_position_embeddings') : undefined)],
  stretched('rope.scaling.yarn_ext_factor', 'extrapolation_factor'),
  stretched('rope.scaling.yarn_attn_factor', 'attn_factor'),
  stretched('rope.scaling.yarn_beta_fast', 'beta_fast'),
  stretched('rope.scaling.yarn_beta_slow', 'beta_slow'),
  ['attention.temperature_length', 'count', 'attn_temperature_len'],
  ['attention.output_scale', 'f32', (config) => optionalFloat(config, 'attn_output_multiplier') ?? headDim(config) ** -0.5],
  ['embedding_scale', 'f32', 'embedding_multiplier_scale', 'required'],
  ['logit_scale', 'f32', 'output_multiplier_scale', 'required'],
]

const isFirst = (config: Config): boolean => spelling(config, ['moe_intermediate_size']) === undefined

export const grok1 = defineArchitecture({
  gguf: 'grok',
  huggingFace: ['GrokForCausalLM', 'Grok1ForCausalLM'],
  modelType: 'grok-1',
  when: isFirst,
  hparams: HPARAMS,
  tensors: GROK1,
  tokenizer: 'sentencePieceOrByteLevel',
})

export const grok2 = defineArchitecture({
  gguf: 'grok',
  huggingFace: ['Grok1ForCausalLM', 'GrokForCausalLM'],
  modelType: 'grok-2',
  hparams: HPARAMS,
  tensors: GROK2,
  tokenizer: 'sentencePieceOrByteLevel',
})
