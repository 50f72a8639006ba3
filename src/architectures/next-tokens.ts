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

/** Number of `mtp.layers` of a checkpoint: Qwen keeps them apart, and says their number in the config or not at all. */
export function mtpCount(config: Config): number {
  const names = [...(config.tensors?.keys() ?? [])].filter((name) => MTP_NAME.test(name))
  if (config.noNextn === true || names.length === 0) return 0
  const stated = config.values.get('mtp_num_hidden_layers')
  return typeof stated === 'number' && stated >= 1 && stated <= 16 ? stated : Math.max(...names.map((name) => Number(MTP_NAME.exec(name)?.[1] ?? 0))) + 1
}

const MTP_NAME = /^(?:model\.)?mtp\.(?:layers\.(\d{1,2})\.)?/

/** Layers of the model and those of its predictors. */
export function allMtpBlocks(config: Config): number {
  return blockCount(config) + mtpCount(config)
}

const MTP_PARTS: ReadonlyMap<string, string> = new Map([
  ['fc', 'eh_proj'],
  ['pre_fc_norm_embedding', 'enorm'],
  ['pre_fc_norm_hidden', 'hnorm'],
  ['norm', 'shared_head.norm'],
])

/** The predictors' tensors under the names of layers behind the model's own; undefined where they are not wanted. */
export function renamedMtp(name: string, config: Config): string | undefined {
  const bare = name.startsWith('model.mtp.') ? name.slice('model.'.length) : name
  if (!bare.startsWith('mtp.')) return name
  if (config.noNextn === true) return undefined
  const [, part = '', index = '', ...rest] = bare.split('.')
  if (part === 'layers') return `model.layers.${blockCount(config) + Number(index)}.${rest.join('.')}`
  return `model.layers.${blockCount(config)}.${MTP_PARTS.get(part) ?? part}.${[index, ...rest].join('.')}`
}

/** What {@link renamedMtp} gives beside a layer's own tensors; Qwen stores these norms as their difference from one. */
export const MTP_ROWS: readonly TensorRow[] = [
  ['model.layers.{block}.eh_proj', 'nextnEhProj', 'optional'],
  ['model.layers.{block}.enorm', 'nextnEnorm', 'addOne', 'optional'],
  ['model.layers.{block}.hnorm', 'nextnHnorm', 'addOne', 'optional'],
  ['model.layers.{block}.shared_head.norm', 'nextnSharedHeadNorm', 'addOne', 'optional'],
]
