/**
 * Layers that guess further tokens (NextN, MTP), behind the model's own. The reference writes them as layers like others,
 * unless `--no-nextn` says not to; checkpoints that transformers saved lack them.
 *
 * Law: conversion/glm.py `Glm4MoeModel`, qwen.py `_QwenMtpMixin` (llama.cpp 0c1e570).
 */
import type { Config } from './config.js'
import type { ArchitectureDefinition, TensorRow } from './define.js'
import { blockCount } from './dimensions.js'
import type { HparamRow } from './hparams.js'

/** How many there are by the config; none when they are not wanted. */
export function predictorCount(config: Config): number {
  const count = config.values.get('num_nextn_predict_layers')
  return config.noNextn === true || typeof count !== 'number' || !Number.isInteger(count) || count < 0 || count > 16 ? 0 : count
}

/** What such a layer has beside a layer's own tensors. */
export const PREDICTOR_ROWS: readonly TensorRow[] = [
  ['model.layers.{block}.eh_proj', 'nextnEhProj', 'optional'],
  ['model.layers.{block}.embed_tokens', 'nextnEmbedTokens', 'optional'],
  ['model.layers.{block}.enorm', 'nextnEnorm', 'optional'],
  ['model.layers.{block}.hnorm', 'nextnHnorm', 'optional'],
  ['model.layers.{block}.shared_head.head', 'nextnSharedHeadHead', 'optional'],
  ['model.layers.{block}.shared_head.norm', 'nextnSharedHeadNorm', 'optional'],
]

/** Layers of the model and those behind them. */
export function allBlocks(config: Config): number {
  return blockCount(config) + predictorCount(config)
}

const HPARAMS: readonly HparamRow[] = [
  ['block_count', 'u32', allBlocks],
  [
    'nextn_predict_layers',
    'count',
    (config) => (config.noNextn === true || (config.values.get('num_nextn_predict_layers') ?? null) === null ? undefined : predictorCount(config)),
  ],
]

/** A family whose checkpoints may have such layers: counted as layers, and none of them has to be there. */
export function withPredictors(definition: ArchitectureDefinition): ArchitectureDefinition {
  return {
    ...definition,
    hparams: [...definition.hparams, ...HPARAMS],
    tensors: [...definition.tensors, ...PREDICTOR_ROWS],
    blockCount: allBlocks,
    requiredBlocks: blockCount,
    laterBlocks: 'leftOut',
  }
}
