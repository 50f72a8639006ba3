/**
 * Command-R and Command-R7B.
 *
 * Law: conversion/command_r.py `CommandR2Model`, `Cohere2Model` (llama.cpp 0c1e570). Wider here: Cohere 2 saved by
 * transformers 5, whose config has no rotary_pct (docs/numerics.md).
 */
import { ENDS, withZeroBiases } from '../common-rows.js'
import { ALL_HEADS, ATTENTION as ATTENTION_DEFAULTS } from '../config-defaults.js'
import { readUint, spelling, type Config } from '../config.js'
import { defineArchitecture, type TensorRow } from '../define.js'
import { evenHeadSize, optionalFloat } from '../dimensions.js'
import { TEXT_HPARAMS } from '../text-hparams.js'

const BODY: readonly TensorRow[] = [
  ['model.layers.{block}.input_layernorm', 'attnNorm'],
  ['model.layers.{block}.self_attn.q_proj', 'attnQ'],
  ['model.layers.{block}.self_attn.k_proj', 'attnK'],
  ['model.layers.{block}.self_attn.v_proj', 'attnV'],
  ['model.layers.{block}.self_attn.o_proj', 'attnOutput'],
  ['model.layers.{block}.mlp.gate_proj', 'ffnGate'],
  ['model.layers.{block}.mlp.up_proj', 'ffnUp'],
  ['model.layers.{block}.mlp.down_proj', 'ffnDown'],
]

/** config.json says less than the model was trained for: model_max_length is right where it is. */
function contextLength(config: Config): number {
  return readUint(config, spelling(config, ['model_max_length', 'max_position_embeddings']) ?? 'max_position_embeddings')
}

export const commandR = defineArchitecture({
  gguf: 'command-r',
  huggingFace: ['CohereForCausalLM'],
  modelType: 'cohere',
  defaults: {
    cohere: {
      missing: { max_position_embeddings: 8192, layer_norm_eps: 1e-5, rope_theta: 500000, logit_scale: 0.0625 },
      derived: ALL_HEADS,
    },
  },
  hparams: [
    ...TEXT_HPARAMS,
    ['context_length', 'u32', contextLength],
    ['logit_scale', 'f32', 'logit_scale', 'required'],
    ['rope.scaling.type', 'string', { always: 'none' }],
  ],
  tensors: [
    ...[...ENDS, ...BODY],
    ['model.layers.{block}.self_attn.q_norm', 'attnQNorm', 'optional'],
    ['model.layers.{block}.self_attn.k_norm', 'attnKNorm', 'optional'],
  ],
  tokenizer: 'byteLevel',
})

export const cohere2 = defineArchitecture({
  gguf: 'cohere2',
  huggingFace: ['Cohere2ForCausalLM'],
  modelType: 'cohere2',
  defaults: {
    cohere2: {
      missing: { max_position_embeddings: 8192, layer_norm_eps: 1e-5, rope_theta: 10000, logit_scale: 0.0625, sliding_window: 4096 },
      derived: ATTENTION_DEFAULTS,
    },
  },
  hparams: [
    ...TEXT_HPARAMS,
    ['logit_scale', 'f32', 'logit_scale', 'required'],
    ['attention.sliding_window', 'u32', 'sliding_window', 'required'],
    ['vocab_size', 'u32', 'vocab_size', 'required'],
    ['rope.dimension_count', 'u32', (config) => Math.trunc((optionalFloat(config, 'rotary_pct') ?? 1) * evenHeadSize(config))],
    ['rope.scaling.type', 'string', { always: 'none' }],
  ],
  tensors: [...withZeroBiases(BODY), ...withZeroBiases([['model.norm', 'outputNorm']]), ['model.embed_tokens', 'tokenEmbd'], ['lm_head', 'output', 'tied']],
  tokenizer: 'byteLevel',
})
