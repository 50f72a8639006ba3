/**
 * Snowflake Arctic: experts beside a dense feed-forward part.
 *
 * Law: conversion/arctic.py (llama.cpp 0c1e570).
 */
import { ENDS, ROPE_ATTENTION } from '../common-rows.js'
import { defineArchitecture } from '../define.js'
import { evenHeadSize } from '../dimensions.js'
import { TEXT_HPARAMS } from '../text-hparams.js'

export const arctic = defineArchitecture({
  gguf: 'arctic',
  huggingFace: ['ArcticForCausalLM'],
  modelType: 'arctic',
  hparams: [...TEXT_HPARAMS, ['vocab_size', 'u32', 'vocab_size', 'required'], ['rope.dimension_count', 'u32', evenHeadSize]],
  tensors: [
    ...[...ENDS, ...ROPE_ATTENTION],
    ['model.layers.{block}.input_layernorm', 'attnNorm'],
    ['model.layers.{block}.residual_layernorm', 'ffnNorm'],
    ['model.layers.{block}.residual_mlp.w1', 'ffnGate'],
    ['model.layers.{block}.residual_mlp.w2', 'ffnDown'],
    ['model.layers.{block}.residual_mlp.w3', 'ffnUp'],
    ['model.layers.{block}.post_attention_layernorm', 'ffnNormExps'],
    ['model.layers.{block}.block_sparse_moe.gate', 'ffnGateInp'],
    ['model.layers.{block}.block_sparse_moe.experts.{expert}.w1', 'ffnGateExps', 'stackExperts'],
    ['model.layers.{block}.block_sparse_moe.experts.{expert}.w2', 'ffnDownExps', 'stackExperts'],
    ['model.layers.{block}.block_sparse_moe.experts.{expert}.w3', 'ffnUpExps', 'stackExperts'],
  ],
  tokenizer: 'arctic',
})
