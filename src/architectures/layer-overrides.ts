/**
 * Sizes of layers with full attention where they differ from those with a window: a key of their own, or the config's
 * list of layers that differ.
 *
 * Law: conversion/gemma.py `Gemma4Model.set_gguf_parameters` (llama.cpp 0c1e570).
 */
import { isObject } from '../core/json.js'
import { readSection, readUint, type Config } from './config.js'
import { optionalUint } from './dimensions.js'
import { layerTypes } from './layer-kinds.js'

/** Elements of a head in layers with full attention. */
export function fullHeadDim(config: Config): number {
  return optionalUint(config, 'global_head_dim') ?? ofFullLayers(config, 'head_dim') ?? readUint(config, 'head_dim')
}

/** Heads of keys and values there; undefined where they are as in others. */
export function fullKeyValueHeads(config: Config): number | undefined {
  return optionalUint(config, 'num_global_key_value_heads') ?? ofFullLayers(config, 'num_key_value_heads')
}

/** What `per_layer_config` says of the first layer with full attention that it lists. */
function ofFullLayers(config: Config, key: string): number | undefined {
  const list = readSection(config, 'per_layer_config')
  const types = layerTypes(config) ?? []
  for (const [layer, override] of list.values) {
    if (types[Number(layer)] === 'full_attention' && isObject(override) && override.has(key)) return readUint({ ...list, values: override }, key)
  }
  return undefined
}
