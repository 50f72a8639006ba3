/**
 * GPT-OSS, with experts in bf16 (those in mxfp4 are repacked, not converted).
 *
 * Law: conversion/gpt_oss.py `GptOssModel` (llama.cpp 0c1e570).
 */
import { ATTENTION, ENDS } from '../common-rows.js'
import { defineArchitecture } from '../define.js'
import { TEXT_HPARAMS } from '../text-hparams.js'

export const gptOss = defineArchitecture({
  gguf: 'gpt-oss',
  huggingFace: ['GptOssForCausalLM'],
  modelType: 'gpt_oss',
  defaults: {
    gpt_oss: {
      missing: {
        ...{ max_position_embeddings: 131072, rms_norm_eps: 1e-5, num_key_value_heads: 8, head_dim: 64, sliding_window: 128, num_experts_per_tok: 4 },
        rope_theta: 150000,
      },
    },
  },
  hparams: [
    ...TEXT_HPARAMS,
    ['attention.sliding_window', 'u32', 'sliding_window', 'required'],
    ['expert_feed_forward_length', 'u32', 'intermediate_size', 'required'],
  ],
  tensors: [
    ...[...ENDS, ...ATTENTION],
    ['model.layers.{block}.input_layernorm', 'attnNorm'],
    ['model.layers.{block}.post_attention_layernorm', 'postAttentionNorm'],
    ['model.layers.{block}.self_attn.sinks', 'attnSinks', 'exact'],
    ['model.layers.{block}.mlp.router', 'ffnGateInp', 'bias'],
    ['model.layers.{block}.mlp.experts.gate_up_proj', ['ffnGateExps', 'ffnUpExps'], 'transpose', 'evenOdd', 'exact'],
    ['model.layers.{block}.mlp.experts.gate_up_proj_bias', ['ffnGateExps', 'ffnUpExps'], 'evenOdd', 'exactBias'],
    ['model.layers.{block}.mlp.experts.down_proj', 'ffnDownExps', 'transpose', 'exact'],
    ['model.layers.{block}.mlp.experts.down_proj_bias', 'ffnDownExps', 'exactBias'],
  ],
  tokenizer: 'byteLevel',
})
