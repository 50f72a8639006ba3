/**
 * The text model of Hunyuan VL and OCR. Its eyes are left out.
 *
 * Law: conversion/hunyuan.py `HunyuanVLTextModel` (llama.cpp 0c1e570).
 */
import { GATED_MLP } from '../common-rows.js'
import { ALL_HEADS } from '../config-defaults.js'
import { readCounts, readPositiveFloat, readUint, spelling, type Config } from '../config.js'
import { defineArchitecture, withoutKeys } from '../define.js'
import { headDim, optionalFloat } from '../dimensions.js'
import type { HparamRow } from '../hparams.js'
import { ropeParameters } from '../rope.js'
import { TEXT_HPARAMS } from '../text-hparams.js'
import { HUNYUAN_BODY, normed, ropeRows } from './hunyuan.js'

const SECTIONS = ['xdrope_section', 'mrope_section']

/** Four rotary dimensions: transformers calls it dynamic. */
function hasSections(config: Config): boolean {
  const { type, section } = ropeParameters(config)
  return type === 'xdrope' || (type === 'dynamic' && spelling(section, ['mrope_section']) !== undefined)
}

const where =
  <T>(value: (config: Config) => T) =>
  (config: Config): T | undefined =>
    hasSections(config) ? value(config) : undefined

/** A row of the models that see nothing, for configs without sections. */
const withoutSections = ([key, type, source]: HparamRow): HparamRow => [
  key,
  type,
  (config) => (typeof source !== 'function' || hasSections(config) ? undefined : source(config)),
]

const context = where((config) => readUint(config, 'max_position_embeddings'))

export const hunyuanVl = defineArchitecture({
  gguf: 'hunyuan_vl',
  huggingFace: ['HunYuanVLForConditionalGeneration'],
  modelType: 'hunyuan_vl_text',
  defaults: {
    hunyuan_vl_text: { missing: { num_key_value_heads: 32, max_position_embeddings: 2048, rms_norm_eps: 1e-5, rope_theta: 10000 }, derived: ALL_HEADS },
  },
  hparams: [
    ...withoutKeys(TEXT_HPARAMS, 'expert_count'),
    ...ropeRows(headDim, 50).map(withoutSections),
    ['rope.scaling.type', 'string', where(() => 'none')],
    ['rope.scaling.factor', 'f32', where((config) => optionalFloat(ropeParameters(config).full, 'factor') ?? 1)],
    ['rope.scaling.alpha', 'f32', where((config) => readPositiveFloat(ropeParameters(config).full, 'alpha'))],
    ['rope.scaling.original_context_length', 'u32', context],
    ['context_length', 'u32', context],
    [
      'rope.dimension_sections',
      'i32[]',
      where((config) => readCounts(ropeParameters(config).section, spelling(ropeParameters(config).section, SECTIONS) ?? 'xdrope_section', 8)),
    ],
  ],
  layers: { normed },
  tensors: [...HUNYUAN_BODY, ...GATED_MLP],
  tokenizer: 'hunyuan',
})
