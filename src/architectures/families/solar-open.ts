/**
 * Solar Open: GLM-4.5's rows without predictors, its own tokenizer.
 *
 * Law: conversion/glm.py `SolarOpenModel` (llama.cpp 0c1e570).
 */
import { defineArchitecture } from '../define.js'
import { glm4moe } from './glm.js'

export const solarOpen = defineArchitecture({
  ...glm4moe,
  huggingFace: ['SolarOpenForCausalLM'],
  modelType: 'solar_open',
  defaults: {
    solar_open: {
      missing: {
        ...{
          num_key_value_heads: 8,
          max_position_embeddings: 131072,
          rms_norm_eps: 1e-5,
          rope_theta: 1e6,
          moe_intermediate_size: 1280,
          num_experts_per_tok: 8,
        },
        ...{ n_shared_experts: 1, routed_scaling_factor: 1, n_group: 1, topk_group: 1, norm_topk_prob: true, head_dim: 128 },
      },
    },
  },
  tokenizer: 'solarOpen',
})
