/**
 * Granite with a window in most layers, and with experts.
 *
 * Law: conversion/granite.py `GraniteSWAModel`, `GraniteMoeSWAModel` (llama.cpp 0c1e570).
 */
import { isArray } from '../../core/json.js'
import { ENDS, GATED_MLP, NORMS, ROPE_ATTENTION } from '../common-rows.js'
import type { Config } from '../config.js'
import { defineArchitecture, type TensorRow } from '../define.js'
import { blockCount } from '../dimensions.js'
import { ropeFactorsLlama3 } from '../extras.js'
import type { HparamRow } from '../hparams.js'
import { slidingLayers } from '../layer-kinds.js'
import { GRANITE_DEFAULTS, GRANITE_HPARAMS, SHARED_LENGTH } from './granite.js'

/** By list, else all but every fourth from the first on. */
const windows = (config: Config): readonly boolean[] => slidingLayers(config) ?? Array.from({ length: blockCount(config) }, (_, block) => block % 4 !== 0)

function rotating({ values }: Config): readonly boolean[] | undefined {
  const listed = values.get('no_rope_layers') ?? null // 1 = it rotates
  return isArray(listed) && listed.length > 0 ? listed.map((one) => one === 1 || one === true) : undefined
}

const HPARAMS: readonly HparamRow[] = [
  ...GRANITE_HPARAMS,
  ['attention.sliding_window', 'u32', 'sliding_window', 128],
  ['attention.sliding_window_pattern', 'bool[]', windows],
  ['attention.rope_pattern', 'bool[]', rotating],
]

const BODY: readonly TensorRow[] = [...[...ENDS, ...NORMS, ...ROPE_ATTENTION], ['model.layers.{block}.self_attn.sinks', 'attnSinks', 'exact', 'optional']]

export const graniteSwa = defineArchitecture({
  gguf: 'granite_swa',
  huggingFace: ['GraniteSWAForCausalLM'],
  modelType: 'granite_swa',
  defaults: {
    granite_swa: { missing: { ...GRANITE_DEFAULTS.missing, max_position_embeddings: 8192, rms_norm_eps: 1e-5, num_key_value_heads: 4, sliding_window: 128 } },
  },
  hparams: HPARAMS,
  tensors: [...BODY, ...GATED_MLP],
  extras: [ropeFactorsLlama3],
  tokenizer: 'llama',
})

export const graniteMoeSwa = defineArchitecture({
  gguf: 'granite_swa',
  huggingFace: ['GraniteMoeSWAForCausalLM'],
  modelType: 'granitemoe_swa',
  defaults: {
    granitemoe_swa: {
      missing: { ...GRANITE_DEFAULTS.missing, num_key_value_heads: 32, num_experts_per_tok: 2, sliding_window: 128, shared_intermediate_size: 0 },
    },
  },
  hparams: [...HPARAMS, SHARED_LENGTH],
  layers: { shared: (config) => Number(config.values.get('shared_intermediate_size') ?? 0) > 0 },
  tensors: [
    ...BODY,
    ['model.layers.{block}.block_sparse_moe.router', 'ffnGateInp'],
    ['model.layers.{block}.block_sparse_moe.router.layer', 'ffnGateInp'],
    // gates and ups stay in one tensor
    ['model.layers.{block}.block_sparse_moe.experts.gate_up_proj', 'ffnGateUpExps', 'exact'],
    ['model.layers.{block}.block_sparse_moe.experts.down_proj', 'ffnDownExps', 'exact'],
    ['model.layers.{block}.block_sparse_moe.input_linear', 'ffnGateUpExps'],
    ['model.layers.{block}.block_sparse_moe.output_linear', 'ffnDownExps'],
    ['model.layers.{block}.shared_mlp.input_linear', 'ffnUpShexp', 'layers:shared'],
    ['model.layers.{block}.shared_mlp.output_linear', 'ffnDownShexp', 'layers:shared'],
  ],
  extras: [ropeFactorsLlama3],
  tokenizer: 'llama',
})
