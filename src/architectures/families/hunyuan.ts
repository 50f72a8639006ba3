/**
 * Hunyuan dense and A13B.
 *
 * Law: conversion/hunyuan.py `HunYuanModel`, `HunYuanMoEModel` (llama.cpp 0c1e570).
 */
import { isArray } from '../../core/json.js'
import { ATTENTION, ENDS, EXPERTS, GATED_MLP, NORMS } from '../common-rows.js'
import { readUint, type Config } from '../config.js'
import { defineArchitecture, withoutKeys, type TensorRow } from '../define.js'
import { headCount, hiddenSize, optionalFloat, optionalUint } from '../dimensions.js'
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

function ropeRows(dimensions: (config: Config) => number, usualAlpha: number): HparamRow[] {
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

const BODY: readonly TensorRow[] = [
  ...ENDS.slice(0, 2),
  ['lm_head', 'output', 'tied', 'dropWhenTied'],
  ...[...NORMS, ...ATTENTION],
  ['model.layers.{block}.self_attn.query_layernorm', 'attnQNorm', 'layers:normed'],
  ['model.layers.{block}.self_attn.key_layernorm', 'attnKNorm', 'layers:normed'],
]

const normed = (config: Config): boolean => config.values.get('use_qk_norm') !== false
const headSize = (config: Config): number => optionalUint(config, 'head_dim') ?? Math.floor(hiddenSize(config) / headCount(config))

export const hunyuan = defineArchitecture({
  gguf: 'hunyuan-dense',
  huggingFace: ['HunYuanDenseV1ForCausalLM'],
  modelType: 'hunyuan_v1_dense',
  defaults: {
    hunyuan_v1_dense: {
      missing: { max_position_embeddings: 2048, rms_norm_eps: 1e-5, rope_theta: 10000 },
      derived: { num_key_value_heads: { same: 'num_attention_heads' } },
    },
  },
  hparams: [...withoutKeys(TEXT_HPARAMS, 'expert_count'), ...ropeRows(headSize, 50)],
  layers: { normed },
  tensors: [...BODY, ...GATED_MLP],
  tokenizer: 'hunyuan',
})

/** A number, or one per layer, all the same. */
function ofAllLayers(key: string): (config: Config) => number {
  return (config) => {
    const value = config.values.get(key)
    const [first] = isArray(value) ? value : [value]
    return readUint({ ...config, values: new Map([[key, first ?? null]]) }, key)
  }
}

export const hunyuanMoe = defineArchitecture({
  gguf: 'hunyuan-moe',
  huggingFace: ['HunYuanMoEV1ForCausalLM'],
  modelType: 'hunyuan_v1_moe',
  defaults: {
    hunyuan_v1_moe: {
      missing: { max_position_embeddings: 2048, rms_norm_eps: 1e-5, rope_theta: 10000 },
      derived: { num_key_value_heads: { same: 'num_attention_heads' } },
    },
  },
  hparams: [
    ...TEXT_HPARAMS,
    ['expert_shared_feed_forward_length', 'u32', 'intermediate_size', 'required'],
    ['expert_feed_forward_length', 'u32', ofAllLayers('moe_intermediate_size')],
    ['expert_used_count', 'u32', ofAllLayers('moe_topk')],
    ['expert_shared_count', 'u32', ofAllLayers('num_shared_expert')],
    ...ropeRows((config) => Math.floor(hiddenSize(config) / headCount(config)), 1000),
  ],
  layers: { normed, moe: () => true },
  tensors: [
    ...[...BODY, ...EXPERTS],
    ['model.layers.{block}.mlp.gate.wg', 'ffnGateInp'],
    ['model.layers.{block}.mlp.shared_mlp.gate_proj', 'ffnGateShexp'],
    ['model.layers.{block}.mlp.shared_mlp.up_proj', 'ffnUpShexp'],
    ['model.layers.{block}.mlp.shared_mlp.down_proj', 'ffnDownShexp'],
  ],
  tokenizer: 'hunyuanMoe',
})
