/**
 * Text models of checkpoints with eyes or ears, on the rows of the families that they are: EXAONE 4.5, Qwen 3 ASR and Omni,
 * Sarashina 2.2 Vision. The rest is left out.
 *
 * Law: conversion/exaone.py `Exaone4_5_TextModel`, qwen3vl.py `Qwen3ASRTextModel`, `Qwen3OmniMoeTextModel`, sarashina2.py
 * (llama.cpp 0c1e570).
 */
import { defineArchitecture } from '../define.js'
import { blockCount } from '../dimensions.js'
import type { HparamRow } from '../hparams.js'
import { allBlocks, PREDICTOR_ROWS, predictorCount, renamedMtp } from '../next-tokens.js'
import { exaone4 } from './exaone.js'
import { llama } from './llama.js'
import { qwen3vl, qwen3vlmoe } from './vision-text.js'

export const exaone45 = defineArchitecture({
  ...exaone4,
  huggingFace: ['Exaone4_5_ForConditionalGeneration'],
  modelType: 'exaone4',
  hparams: [...exaone4.hparams, ['block_count', 'u32', allBlocks], ['nextn_predict_layers', 'u32', (config) => predictorCount(config) || undefined]],
  blockCount: allBlocks,
  requiredBlocks: blockCount,
  laterBlocks: 'leftOut',
  tensors: [...exaone4.tensors, ...PREDICTOR_ROWS],
  rename: renamedMtp,
})

const NO_DEEPSTACK: HparamRow = ['n_deepstack_layers', 'count', { always: 0 }]

export const qwen3Asr = defineArchitecture({
  ...qwen3vl,
  huggingFace: ['Qwen3ASRForConditionalGeneration'],
  modelType: 'qwen3',
  defaults: { qwen3: { missing: { max_position_embeddings: 32768, rms_norm_eps: 1e-6, rope_theta: 10000, num_key_value_heads: 32, head_dim: 128 } } },
  hparams: [...qwen3vl.hparams, NO_DEEPSTACK],
  tokenizer: 'qwen3Asr',
})

export const qwen3Omni = defineArchitecture({
  ...qwen3vlmoe,
  huggingFace: ['Qwen3OmniMoeForConditionalGeneration'],
  modelType: 'qwen3_omni_moe_text',
  defaults: {
    qwen3_omni_moe_text: {
      missing: {
        ...{ num_key_value_heads: 4, max_position_embeddings: 32768, rms_norm_eps: 1e-6, rope_theta: 1e6 },
        ...{ moe_intermediate_size: 768, num_experts_per_tok: 8 },
      },
    },
  },
  hparams: [...qwen3vlmoe.hparams, NO_DEEPSTACK],
  tokenizer: 'qwen3Omni',
})

export const sarashina = defineArchitecture({
  ...llama,
  huggingFace: ['Sarashina2VisionForCausalLM'],
  prefixes: [
    ['model.', 'llm.model.'],
    ['lm_head', 'llm.lm_head'],
  ],
  leftOut: ['norm.weight', 'norm.bias'],
})
