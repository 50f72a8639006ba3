/**
 * Hunyuan with experts: A13B.
 *
 * Law: conversion/hunyuan.py `HunYuanMoEModel` (llama.cpp 0c1e570).
 */
import { isArray } from '../../core/json.js'
import { EXPERTS } from '../common-rows.js'
import { ALL_HEADS } from '../config-defaults.js'
import { readUint, type Config } from '../config.js'
import { defineArchitecture } from '../define.js'
import { evenHeadSize } from '../dimensions.js'
import { TEXT_HPARAMS } from '../text-hparams.js'
import { HUNYUAN_BODY, normed, ropeRows } from './hunyuan.js'

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
      derived: ALL_HEADS,
    },
  },
  hparams: [
    ...TEXT_HPARAMS,
    ['expert_shared_feed_forward_length', 'u32', 'intermediate_size', 'required'],
    ['expert_feed_forward_length', 'u32', ofAllLayers('moe_intermediate_size')],
    ['expert_used_count', 'u32', ofAllLayers('moe_topk')],
    ['expert_shared_count', 'u32', ofAllLayers('num_shared_expert')],
    ...ropeRows(evenHeadSize, 1000),
  ],
  layers: { normed, moe: () => true },
  tensors: [
    ...[...HUNYUAN_BODY, ...EXPERTS],
    ['model.layers.{block}.mlp.gate.wg', 'ffnGateInp'],
    ['model.layers.{block}.mlp.shared_mlp.gate_proj', 'ffnGateShexp'],
    ['model.layers.{block}.mlp.shared_mlp.up_proj', 'ffnUpShexp'],
    ['model.layers.{block}.mlp.shared_mlp.down_proj', 'ffnDownShexp'],
  ],
  tokenizer: 'hunyuanMoe',
})
