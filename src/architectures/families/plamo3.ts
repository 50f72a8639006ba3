/**
 * PLaMo 3: attention, with a window in most layers.
 *
 * Law: conversion/plamo.py `Plamo3Model` (llama.cpp 0c1e570).
 */
import { readFloat, readUint, spelling, type Config } from '../config.js'
import { defineArchitecture } from '../define.js'
import { optionalUint } from '../dimensions.js'
import type { HparamRow } from '../hparams.js'
import { ropeParameters } from '../rope.js'
import { TEXT_HPARAMS } from '../text-hparams.js'
import { PLAMO_BODY } from './plamo2.js'

/** YaRN by the model's own key, where the config has no usual section. */
function stretch(config: Config): number | undefined {
  if (ropeParameters(config).type !== 'default' || spelling(config, ['rope_scaling_factor']) === undefined) return undefined
  const factor = readFloat(config, 'rope_scaling_factor')
  return factor === 1 ? undefined : factor
}

const whenStretched =
  <T>(value: (config: Config) => T) =>
  (config: Config): T | undefined =>
    stretch(config) === undefined ? undefined : value(config)

const OWN_YARN: readonly HparamRow[] = [
  ['rope.scaling.type', 'string', whenStretched(() => 'yarn')],
  ['rope.scaling.factor', 'f32', stretch],
  ['rope.scaling.original_context_length', 'u32', whenStretched((config) => readUint(config, 'initial_context_length'))],
  ['rope.scaling.yarn_beta_fast', 'f32', whenStretched(() => 32)],
  ['rope.scaling.yarn_beta_slow', 'f32', whenStretched(() => 1)],
]

const windowSize = (config: Config): number | undefined => optionalUint(config, 'window_size', 'sliding_window')

export const plamo3 = defineArchitecture({
  gguf: 'plamo3',
  huggingFace: ['Plamo3ForCausalLM', 'PLaMo3ForCausalLM'],
  modelType: 'plamo3',
  hparams: [
    ...OWN_YARN.reduce<readonly HparamRow[]>((rows, row) => rows.flatMap((own) => (own[0] === row[0] ? [own, row] : [own])), TEXT_HPARAMS),
    ['vocab_size', 'u32', 'vocab_size', 'required'],
    ['attention.sliding_window', 'u32', windowSize],
    [
      'attention.sliding_window_pattern',
      'u32',
      (config: Config) => (windowSize(config) === undefined ? undefined : readUint(config, 'sliding_window_pattern')),
    ],
  ],
  tensors: [
    ...PLAMO_BODY,
    ['model.layers.layers.{block}.mixer.qkv_proj', 'attnQkv'],
    ['model.layers.layers.{block}.mixer.o_proj', 'attnOutput'],
    ['model.layers.layers.{block}.mixer.q_norm', 'attnQNorm', 'addOne'],
    ['model.layers.layers.{block}.mixer.k_norm', 'attnKNorm', 'addOne'],
  ],
  tokenizer: 'plamo3',
})
