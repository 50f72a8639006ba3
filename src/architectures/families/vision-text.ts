/**
 * The text models of Qwen 2 to 3 VL and Omni. Their eyes and ears are left out.
 *
 * Law: conversion/qwenvl.py `Qwen2VLModel`, qwen3vl.py `Qwen3VLTextModel`, `Qwen3VLMoeTextModel` (llama.cpp 0c1e570).
 */
import { isArray } from '../../core/json.js'
import { ATTENTION, ENDS, EXPERTS, GATED_MLP, NORMS, QK_NORMS, saying } from '../common-rows.js'
import { readSection, type Config } from '../config.js'
import { defineArchitecture } from '../define.js'
import { POOLING } from '../encoder-hparams.js'
import type { HparamRow } from '../hparams.js'
import { hasExperts } from '../layer-kinds.js'
import { TEXT_HPARAMS } from '../text-hparams.js'
import { QWEN_MOE_HPARAMS } from './qwen2-moe.js'
import { qwen3, qwen3moe } from './qwen3.js'

/** Layers that take image features again. */
const DEEPSTACK: HparamRow = ['n_deepstack_layers', 'count', deepstackLayers]

function deepstackLayers(config: Config): number {
  const root = config.values.has('thinker_config') ? readSection(config, 'thinker_config') : config
  const indexes = readSection(root, 'vision_config').values.get('deepstack_visual_indexes') ?? null
  return isArray(indexes) ? indexes.length : 0
}

export const qwen2vl = defineArchitecture({
  gguf: 'qwen2vl',
  huggingFace: [
    'Qwen2VLForConditionalGeneration',
    'Qwen2_5_VLForConditionalGeneration',
    'Qwen2_5OmniModel',
    ['Qwen2VLModel', { prefixes: [['model.', '']], without: ['output'] }],
  ],
  modelType: 'qwen2_vl_text',
  defaults: {
    qwen2_vl_text: { missing: { max_position_embeddings: 32768, rms_norm_eps: 1e-5, rope_theta: 1e6, num_key_value_heads: 8 } },
    qwen2_5_vl_text: { missing: { max_position_embeddings: 32768, rms_norm_eps: 1e-5, rope_theta: 1e6, num_key_value_heads: 8 } },
  },
  hparams: TEXT_HPARAMS,
  tensors: [...ENDS, ...NORMS, ...ATTENTION, ...GATED_MLP],
  strip: ['thinker.'],
  tokenizer: 'sentencePieceOrByteLevel',
})

export const qwen3vl = defineArchitecture({
  ...qwen3,
  gguf: 'qwen3vl',
  huggingFace: ['Qwen3VLForConditionalGeneration'],
  modelType: 'qwen3_vl_text',
  defaults: { qwen3_vl_text: { missing: { max_position_embeddings: 128000, rms_norm_eps: 1e-6, rope_theta: 500000, num_key_value_heads: 32, head_dim: 128 } } },
  hparams: [...TEXT_HPARAMS, POOLING, DEEPSTACK],
  strip: ['thinker.'],
})

export const qwen3vlmoe = defineArchitecture({
  ...qwen3moe,
  gguf: 'qwen3vlmoe',
  huggingFace: ['Qwen3VLMoeForConditionalGeneration'],
  modelType: 'qwen3_vl_moe_text',
  hparams: [...QWEN_MOE_HPARAMS, DEEPSTACK],
  layers: { moe: hasExperts, dense: (config, block) => !hasExperts(config, block) },
  tensors: [
    ...[...ENDS, ...NORMS, ...ATTENTION, ...QK_NORMS],
    ...saying(GATED_MLP, 'layers:dense'),
    ...EXPERTS.slice(0, 3),
    ['model.layers.{block}.mlp.gate', 'ffnGateInp', 'layers:moe'],
    // stacked ones lie the other way round on the hub, and as others' where transformers 5 saved them
    ['model.layers.{block}.mlp.experts.down_proj', 'ffnDownExps', 'hiddenRows', 'exact', 'optional'],
    ['model.layers.{block}.mlp.experts.gate_up_proj', ['ffnGateExps', 'ffnUpExps'], 'hiddenColumns', 'halves', 'exact', 'optional'],
  ],
  strip: ['thinker.'],
})
