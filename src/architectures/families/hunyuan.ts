/**
 * Hunyuan dense.
 *
 * Law: conversion/hunyuan.py `HunYuanModel` (llama.cpp 0c1e570).
 */
import { ATTENTION, ENDS, GATED_MLP, NORMS } from '../common-rows.js'
import { ALL_HEADS } from '../config-defaults.js'
import type { Config } from '../config.js'
import { defineArchitecture, withoutKeys, type TensorRow } from '../define.js'
import { headDim, optionalFloat } from '../dimensions.js'
import type { HparamRow } from '../hparams.js'
import { ropeParameters } from '../rope.js'
import { ropeFreqBase, TEXT_HPARAMS } from '../text-hparams.js'

const LONG_CONTEXT = 262144 // what its scaling reaches; config.json says less

/** The base, stretched for longer contexts by a power of alpha (NTK). */
function stretched(config: Config, dimensions: number, usualAlpha: number): number | undefined {
  const { full, type } = ropeParameters(config)
  if (type !== 'dynamic' && type !== 'xdrope') return undefined
  return (ropeFreqBase(config) ?? 10000) * (optionalFloat(full, 'alpha') ?? usualAlpha) ** (dimensions / (dimensions - 2))
}

/** Rows that write the base again, and say that nothing else is scaled. */
export function ropeRows(dimensions: (config: Config) => number, usualAlpha: number): HparamRow[] {
  const scales = (config: Config): boolean => stretched(config, dimensions(config), usualAlpha) !== undefined
  const isDynamic = (config: Config): boolean => ropeParameters(config).type === 'dynamic'
  return [
    ['rope.freq_base', 'f32', (config) => stretched(config, dimensions(config), usualAlpha)],
    ['rope.scaling.type', 'string', (config) => (scales(config) ? 'none' : undefined)],
    ['rope.scaling.factor', 'f32', (config) => (scales(config) ? 1 : undefined)],
    ['rope.scaling.original_context_length', 'u32', (config) => (isDynamic(config) ? LONG_CONTEXT : undefined)],
    ['context_length', 'u32', (config) => (isDynamic(config) ? LONG_CONTEXT : undefined)],
  ]
}

/** What both kinds have beside the feed-forward part. */
export const HUNYUAN_BODY: readonly TensorRow[] = [
  ...ENDS.slice(0, 2),
  ['lm_head', 'output', 'tied', 'dropWhenTied'],
  ...[...NORMS, ...ATTENTION],
  ['model.layers.{block}.self_attn.query_layernorm', 'attnQNorm', 'layers:normed'],
  ['model.layers.{block}.self_attn.key_layernorm', 'attnKNorm', 'layers:normed'],
]

/** Whether queries and keys have norms. */
export const normed = (config: Config): boolean => config.values.get('use_qk_norm') !== false

export const hunyuan = defineArchitecture({
  gguf: 'hunyuan-dense',
  huggingFace: ['HunYuanDenseV1ForCausalLM'],
  modelType: 'hunyuan_v1_dense',
  defaults: {
    hunyuan_v1_dense: {
      missing: { max_position_embeddings: 2048, rms_norm_eps: 1e-5, rope_theta: 10000 },
      derived: ALL_HEADS,
    },
  },
  hparams: [...withoutKeys(TEXT_HPARAMS, 'expert_count'), ...ropeRows(headDim, 50)],
  layers: { normed },
  tensors: [...HUNYUAN_BODY, ...GATED_MLP],
  tokenizer: 'hunyuan',
})
