/**
 * GroveMoE: Qwen 3's experts, and smaller ones that two of them share.
 *
 * Law: conversion/grovemoe.py (llama.cpp 0c1e570); the numbers that it writes down are the model's code's.
 */
import { ATTENTION, ENDS, EXPERTS, NORMS, QK_NORMS } from '../common-rows.js'
import { defineArchitecture } from '../define.js'
import { optionalUint } from '../dimensions.js'
import { TEXT_HPARAMS } from '../text-hparams.js'

export const groveMoe = defineArchitecture({
  gguf: 'grovemoe',
  huggingFace: ['GroveMoeForCausalLM', 'modeling_grove_moe.GroveMoeForCausalLM'],
  modelType: 'grove_moe',
  hparams: [
    ...TEXT_HPARAMS,
    ['expert_feed_forward_length', 'u32', 'moe_intermediate_size'],
    ['expert_chunk_feed_forward_length', 'u32', (config) => optionalUint(config, 'head_dim') ?? 128],
    ['experts_per_group', 'u32', { always: 2 }],
    ['expert_group_scale', 'f32', { always: 0.05 }],
  ],
  layers: { moe: () => true },
  leftOut: ['model.layers.{block}.mlp.expert_bias'], // the model's code does not use it either
  tensors: [
    ...[...ENDS, ...NORMS, ...ATTENTION, ...QK_NORMS],
    ['model.layers.{block}.mlp.chunk_experts.{expert}.down_proj', 'ffnDownChexps', 'stackPairsOfExperts'],
    ['model.layers.{block}.mlp.chunk_experts.{expert}.gate_proj', 'ffnGateChexps', 'stackPairsOfExperts'],
    ['model.layers.{block}.mlp.chunk_experts.{expert}.up_proj', 'ffnUpChexps', 'stackPairsOfExperts'],
    ...EXPERTS,
    ['model.layers.{block}.mlp.gate', 'ffnGateInp'],
  ],
  tokenizer: 'byteLevel',
})
