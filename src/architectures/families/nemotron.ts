/**
 * Nemotron 3 and 4, Minitron: norms stored as their difference from one.
 *
 * Law: conversion/nemotron.py `NemotronModel` (llama.cpp 0c1e570).
 */
import { ATTENTION, PLAIN_MLP } from '../common-rows.js'
import type { Config } from '../config.js'
import { defineArchitecture } from '../define.js'
import { optionalFloat } from '../dimensions.js'
import { ropeParameters } from '../rope.js'
import { rotaryShareOfHidden, TEXT_HPARAMS } from '../text-hparams.js'

const scaling = (config: Config): number | undefined => optionalFloat(config, 'factor') || optionalFloat(ropeParameters(config).full, 'factor')

export const nemotron = defineArchitecture({
  gguf: 'nemotron',
  huggingFace: ['NemotronForCausalLM'],
  modelType: 'nemotron',
  defaults: {
    nemotron: {
      missing: { max_position_embeddings: 4096, norm_eps: 1e-5, rope_theta: 10000, partial_rotary_factor: 0.5 },
      derived: { head_dim: { quotient: ['hidden_size', 'num_attention_heads'] } },
    },
  },
  hparams: [
    ...TEXT_HPARAMS,
    ['vocab_size', 'u32', 'vocab_size', 'required'],
    ['attention.layer_norm_epsilon', 'f32', ['layer_norm_eps', 'layer_norm_epsilon', 'norm_epsilon', 'norm_eps'], 'required'],
    ['rope.dimension_count', 'u32', rotaryShareOfHidden(0.5)],
    ['rope.scaling.type', 'string', (config) => (scaling(config) === undefined ? 'none' : 'linear')],
    ['rope.scaling.factor', 'f32', scaling],
  ],
  tensors: [
    ['model.embed_tokens', 'tokenEmbd'],
    ['model.norm', 'outputNorm', 'addOneToWeight', 'bias'],
    ['lm_head', 'output', 'tied'],
    ['model.layers.{block}.input_layernorm', 'attnNorm', 'addOneToWeight', 'bias'],
    ['model.layers.{block}.post_attention_layernorm', 'ffnNorm', 'addOneToWeight', 'bias'],
    ...[...ATTENTION, ...PLAIN_MLP],
  ],
  tokenizer: 'nemotron',
})
