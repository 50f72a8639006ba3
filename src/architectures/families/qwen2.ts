/**
 * Qwen 1.5 to 2.5 and models on their shape.
 *
 * Law: conversion/qwen.py `Qwen2Model` (llama.cpp 0c1e570).
 */
import { ATTENTION, ENDS, GATED_MLP, NORMS } from '../common-rows.js'
import { defineArchitecture } from '../define.js'
import { POOLING } from '../encoder-hparams.js'
import { TEXT_HPARAMS } from '../text-hparams.js'

export const qwen2 = defineArchitecture({
  gguf: 'qwen2',
  huggingFace: [
    'Qwen2ForCausalLM',
    'KORMoForCausalLM',
    'Qwen2AudioForConditionalGeneration',
    'AudioFlamingo3ForConditionalGeneration',
    'DotsOCRForCausalLM',
    ['Qwen2Model', { prefixes: [['model.', '']], without: ['output'] }],
  ],
  modelType: 'qwen2',
  defaults: { qwen2: { missing: { max_position_embeddings: 32768, rms_norm_eps: 1e-6, rope_theta: 10000, num_key_value_heads: 32 } } },
  hparams: [...TEXT_HPARAMS, POOLING],
  tensors: [...ENDS, ...NORMS, ...ATTENTION, ...GATED_MLP],
  tokenizer: 'sentencePieceOrByteLevel',
})
