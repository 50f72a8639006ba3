/**
 * Qwen 3, and with experts.
 *
 * Law: conversion/qwen.py `Qwen3Model`, `Qwen3MoeModel` (llama.cpp 0c1e570).
 */
import { ATTENTION, ENDS, EXPERTS, GATED_MLP, NORMS, QK_NORMS, saying } from '../common-rows.js'
import { defineArchitecture } from '../define.js'
import { POOLING } from '../encoder-hparams.js'
import { hasExperts } from '../layer-kinds.js'
import { TEXT_HPARAMS } from '../text-hparams.js'
import { QWEN_MOE_HPARAMS } from './qwen2-moe.js'

const BODY = [...ENDS, ...NORMS, ...ATTENTION, ...QK_NORMS]

export const qwen3 = defineArchitecture({
  gguf: 'qwen3',
  huggingFace: [
    [
      'Qwen3ForCausalLM',
      {
        prefixes: [
          ['model.', 'model.'],
          ['model.', ''],
        ],
      },
    ], // Qwen 3 Embedding has names without model.
    'StepVLForConditionalGeneration',
    ['Qwen3Model', { prefixes: [['model.', '']], without: ['output'] }],
  ],
  modelType: 'qwen3',
  defaults: {
    qwen3: { missing: { max_position_embeddings: 32768, rms_norm_eps: 1e-6, rope_theta: 10000, num_key_value_heads: 32, head_dim: 128 } },
  },
  hparams: [...TEXT_HPARAMS, POOLING],
  tensors: [...BODY, ...GATED_MLP],
  tokenizer: 'sentencePieceOrByteLevel',
})

export const qwen3moe = defineArchitecture({
  gguf: 'qwen3moe',
  huggingFace: ['Qwen3MoeForCausalLM'],
  modelType: 'qwen3_moe',
  defaults: {
    qwen3_moe: {
      missing: {
        ...{ max_position_embeddings: 32768, rms_norm_eps: 1e-6, rope_theta: 10000, num_key_value_heads: 4 },
        ...{ moe_intermediate_size: 768, num_experts_per_tok: 8 },
      },
    },
  },
  hparams: QWEN_MOE_HPARAMS,
  layers: { moe: hasExperts, dense: (config, block) => !hasExperts(config, block) },
  tensors: [...BODY, ...EXPERTS, ...saying(GATED_MLP, 'layers:dense'), ['model.layers.{block}.mlp.gate', 'ffnGateInp', 'layers:moe']],
  tokenizer: 'sentencePieceOrByteLevel',
})
