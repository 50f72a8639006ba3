/**
 * Llama 4, text.
 *
 * Law: conversion/llama.py `Llama4Model` (llama.cpp 0c1e570).
 */
import { isArray } from '../../core/json.js'
import { ATTENTION, ENDS, feedForwardNamed, GATED_MLP, NORMS, saying } from '../common-rows.js'
import { ATTENTION as ATTENTION_DEFAULTS } from '../config-defaults.js'
import type { Config } from '../config.js'
import { defineArchitecture, withRow } from '../define.js'
import { optionalUint } from '../dimensions.js'
import { ropeFactorsLlama3 } from '../extras.js'
import { layerTypes } from '../layer-kinds.js'
import { LLAMA_HPARAMS } from './llama.js'

/** By the config's list, else every `interleave_moe_layer_step`th layer. */
function hasExperts(config: Config, block: number): boolean {
  const listed = config.values.get('moe_layers') ?? null
  return isArray(listed) ? listed.includes(block) : (block + 1) % (optionalUint(config, 'interleave_moe_layer_step') ?? 1) === 0
}

export const llama4 = defineArchitecture({
  gguf: 'llama4',
  huggingFace: ['Llama4ForCausalLM', 'Llama4ForConditionalGeneration'],
  modelType: 'llama4_text',
  defaults: {
    llama4_text: {
      missing: {
        ...{ max_position_embeddings: 131072, rms_norm_eps: 1e-5, rope_theta: 500000, num_key_value_heads: 8, num_experts_per_tok: 1 },
        ...{ interleave_moe_layer_step: 1, intermediate_size: 8192, intermediate_size_mlp: 16384 },
      },
      derived: ATTENTION_DEFAULTS,
    },
  },
  hparams: [
    ...withRow(LLAMA_HPARAMS, ['feed_forward_length', 'u32', 'intermediate_size_mlp', 'required']),
    ['interleave_moe_layer_step', 'count', 'interleave_moe_layer_step', 'required'],
    ['expert_feed_forward_length', 'u32', 'intermediate_size', 'required'],
    ['attention.sliding_window', 'count', (config) => (layerTypes(config)?.every((type) => type === 'full_attention') === true ? 0 : undefined)],
  ],
  layers: { moe: hasExperts, dense: (config, block) => !hasExperts(config, block) },
  tensors: [
    ...[...ENDS, ...NORMS, ...ATTENTION],
    ...saying(feedForwardNamed(GATED_MLP), 'layers:dense'),
    ['model.layers.{block}.feed_forward.router', 'ffnGateInp', 'layers:moe'],
    ['model.layers.{block}.feed_forward.experts.gate_up_proj', ['ffnGateExps', 'ffnUpExps'], 'transpose', 'halves', 'exact', 'layers:moe'],
    ['model.layers.{block}.feed_forward.experts.down_proj', 'ffnDownExps', 'transpose', 'exact', 'layers:moe'],
    ['model.layers.{block}.feed_forward.shared_expert.gate_proj', 'ffnGateShexp', 'layers:moe'],
    ['model.layers.{block}.feed_forward.shared_expert.up_proj', 'ffnUpShexp', 'layers:moe'],
    ['model.layers.{block}.feed_forward.shared_expert.down_proj', 'ffnDownShexp', 'layers:moe'],
  ],
  extras: [ropeFactorsLlama3],
  tokenizer: 'byteLevel',
})
