/**
 * Mixtral: Mistral with experts. In GGUF it is a Llama.
 *
 * Law: conversion/llama.py `LlamaModel` (llama.cpp 0c1e570).
 */
import { ENDS, NORMS, ROPE_ATTENTION } from '../common-rows.js'
import { defineArchitecture } from '../define.js'
import { llama } from './llama.js'

export const mixtral = defineArchitecture({
  ...llama,
  huggingFace: ['MixtralForCausalLM'],
  modelType: 'mixtral',
  defaults: { mixtral: { missing: { max_position_embeddings: 131072, rms_norm_eps: 1e-5, rope_theta: 1e6, num_key_value_heads: 8, num_experts_per_tok: 2 } } },
  tensors: [
    ...[...ENDS, ...NORMS, ...ROPE_ATTENTION],
    ['model.layers.{block}.block_sparse_moe.gate', 'ffnGateInp'],
    ['model.layers.{block}.block_sparse_moe.experts.{expert}.w1', 'ffnGateExps', 'stackExperts'],
    ['model.layers.{block}.block_sparse_moe.experts.{expert}.w2', 'ffnDownExps', 'stackExperts'],
    ['model.layers.{block}.block_sparse_moe.experts.{expert}.w3', 'ffnUpExps', 'stackExperts'],
  ],
})
