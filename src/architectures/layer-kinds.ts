/** Which layers of a model are of which kind, as configs say it: lists, steps, leading dense layers. */
import { isArray } from '../core/json.js'
import type { Config } from './config.js'
import { optionalUint } from './dimensions.js'

/** Qwen's way: every `decoder_sparse_step`th layer, but those of `mlp_only_layers`. */
export function hasExperts(config: Config, block: number): boolean {
  const only = config.values.get('mlp_only_layers') ?? []
  if (isArray(only) && only.includes(block)) return false
  return (block + 1) % (optionalUint(config, 'decoder_sparse_step') ?? 1) === 0
}

/** DeepSeek's way: all but the first `first_k_dense_replace`. */
export function afterDenseLayers(config: Config, block: number): boolean {
  const dense = config.values.get('first_k_dense_replace')
  return block >= (typeof dense === 'number' ? dense : 0)
}

/** By `mlp_layer_types` (`dense` or another), else DeepSeek's way. */
export function listedSparse(config: Config, block: number): boolean {
  const types = config.values.get('mlp_layer_types') ?? null
  return isArray(types) ? types[block] !== 'dense' : afterDenseLayers(config, block)
}

/** `layer_types` of the config, if it has them. */
export function layerTypes({ values }: Config): readonly string[] | undefined {
  const types = values.get('layer_types') ?? null
  return isArray(types) && types.every((type) => typeof type === 'string') ? types.map(String) : undefined
}

/** Whether each layer has a sliding window, by `layer_types`. */
export function slidingLayers(config: Config): readonly boolean[] | undefined {
  return layerTypes(config)?.map((type) => type === 'sliding_attention')
}
