/**
 * OLMo 1 to 3, and OLMoE.
 *
 * Law: conversion/olmo.py (llama.cpp 0c1e570).
 */
import { ATTENTION, ENDS, EXPERTS, GATED_MLP, NORMS, POST_NORMS, QK_NORMS, ROPE_ATTENTION } from '../common-rows.js'
import { ALL_HEADS } from '../config-defaults.js'
import { spelling, type Config } from '../config.js'
import { defineArchitecture, withRow } from '../define.js'
import { blockCount, optionalFloat } from '../dimensions.js'
import { slidingLayers } from '../layer-kinds.js'
import { ropeParameters } from '../rope.js'
import { TEXT_HPARAMS } from '../text-hparams.js'

export const olmo = defineArchitecture({
  gguf: 'olmo',
  huggingFace: ['OlmoForCausalLM', 'OLMoForCausalLM'],
  modelType: 'olmo',
  defaults: { olmo: { missing: { max_position_embeddings: 2048, rope_theta: 10000 }, derived: ALL_HEADS } },
  hparams: [...TEXT_HPARAMS, ['attention.layer_norm_epsilon', 'f32', { always: 1e-5 }], ['attention.clamp_kqv', 'f32', 'clip_qkv']],
  tensors: [['model.embed_tokens', 'tokenEmbd'], ['lm_head', 'output', 'tied'], ...ROPE_ATTENTION, ...GATED_MLP],
  tokenizer: 'byteLevel',
})

/** Layers with a window where the config has one, by its list, else all but every fourth. */
function slidingPattern(config: Config): readonly boolean[] | undefined {
  if (!config.values.has('sliding_window')) return undefined
  return slidingLayers(config) ?? Array.from({ length: blockCount(config) }, (_, i) => (i + 1) % 4 !== 0)
}

/** transformers 5 gives OLMo 3 one base per kind of layer, the same for both where config.json has one. */
function slidingBase(config: Config): number | undefined {
  if (config.values.get('model_type') !== 'olmo3') return undefined
  const { sliding, full } = ropeParameters(config)
  return optionalFloat(sliding ?? full, 'rope_theta')
}

export const olmo2 = defineArchitecture({
  gguf: 'olmo2',
  huggingFace: ['Olmo2ForCausalLM', 'Olmo3ForCausalLM'],
  modelType: 'olmo2',
  defaults: {
    olmo2: {
      missing: { max_position_embeddings: 2048, rms_norm_eps: 1e-5, rope_theta: 10000 },
      derived: ALL_HEADS,
    },
    olmo3: {
      missing: { max_position_embeddings: 2048, rms_norm_eps: 1e-5, rope_theta: 500000, sliding_window: 4096 },
      derived: ALL_HEADS,
    },
  },
  hparams: [
    ...withRow(TEXT_HPARAMS, ['rope.freq_base_swa', 'f32', slidingBase]),
    [
      'attention.sliding_window',
      'count',
      (config) => (spelling(config, ['sliding_window']) === undefined ? undefined : Number(config.values.get('sliding_window'))),
    ],
    ['attention.sliding_window_pattern', 'bool[]', slidingPattern],
  ],
  tensors: [...ENDS, ...POST_NORMS, ...ATTENTION, ...QK_NORMS, ...GATED_MLP],
  tokenizer: 'byteLevel',
})

export const olmoe = defineArchitecture({
  gguf: 'olmoe',
  huggingFace: ['OlmoeForCausalLM'],
  modelType: 'olmoe',
  defaults: {
    olmoe: {
      missing: { max_position_embeddings: 4096, rms_norm_eps: 1e-5, rope_theta: 10000, num_experts_per_tok: 8 },
      derived: ALL_HEADS,
    },
  },
  hparams: [...TEXT_HPARAMS, ['attention.layer_norm_rms_epsilon', 'f32', { always: 1e-5 }]],
  layers: { moe: () => true },
  tensors: [...ENDS, ...NORMS, ...ATTENTION, ...QK_NORMS, ...EXPERTS, ['model.layers.{block}.mlp.gate', 'ffnGateInp']],
  tokenizer: 'byteLevel',
})
