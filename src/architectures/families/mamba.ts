/**
 * Mamba 1 and 2, Falcon Mamba: state-space models without attention.
 *
 * Law: conversion/mamba.py (llama.cpp 0c1e570).
 */
import { FormatError } from '../../core/errors.js'
import type { Config } from '../config.js'
import { defineArchitecture, type TensorRow } from '../define.js'
import { blockCount, hiddenSize, optionalFloat, optionalUint } from '../dimensions.js'
import type { HparamRow } from '../hparams.js'

const ANY_CONTEXT = 1_048_576 // the model has no limit; a number for those who take the default

const epsilon = (config: Config): number => optionalFloat(config, 'layer_norm_epsilon', 'rms_norm_eps') ?? 1e-5
const convolution = (config: Config): number => optionalUint(config, 'conv_kernel', 'd_conv') ?? 4

const FIRST: readonly HparamRow[] = [
  ['context_length', 'u32', { always: ANY_CONTEXT }],
  ['embedding_length', 'u32', hiddenSize],
  ['feed_forward_length', 'count', { always: 0 }],
  ['attention.head_count', 'count', { always: 0 }],
  ['block_count', 'u32', blockCount],
  ['ssm.conv_kernel', 'u32', convolution],
]

/** llama.cpp computes models that are twice as wide inside only. */
function innerSize(config: Config): number {
  const inner = optionalUint(config, 'intermediate_size', 'd_inner') ?? 2 * hiddenSize(config)
  if (inner === 2 * hiddenSize(config)) return inner
  throw new FormatError(`intermediate_size ${inner} is not twice the hidden size ${hiddenSize(config)}.`, { file: config.file })
}

export const mamba = defineArchitecture({
  gguf: 'mamba',
  huggingFace: ['MambaForCausalLM', 'MambaLMHeadModel', 'FalconMambaForCausalLM'],
  modelType: 'mamba',
  hparams: [
    ...FIRST,
    ['ssm.inner_size', 'u32', innerSize],
    ['ssm.state_size', 'u32', (config) => optionalUint(config, 'state_size', 'd_state') ?? 16],
    ['ssm.time_step_rank', 'u32', (config) => optionalUint(config, 'time_step_rank', 'dt_rank') ?? Math.ceil(hiddenSize(config) / 16)],
    ['attention.layer_norm_rms_epsilon', 'f32', epsilon],
    ['ssm.dt_b_c_rms', 'bool', (config) => config.values.get('model_type') === 'falcon_mamba'],
    ['general.file_type', 'u32', { given: 'fileType' }],
  ],
  tensors: [
    ['backbone.embeddings', 'tokenEmbd'],
    ['backbone.norm_f', 'outputNorm'],
    ['lm_head', 'output', 'tied', 'dropWhenTied'],
    ['backbone.layers.{block}.norm', 'attnNorm'],
    ['backbone.layers.{block}.mixer.in_proj', 'ssmIn', 'bias?'],
    ['backbone.layers.{block}.mixer.conv1d', 'ssmConv1d', 'squeeze', 'bias?'],
    ['backbone.layers.{block}.mixer.x_proj', 'ssmX'],
    ['backbone.layers.{block}.mixer.dt_proj', 'ssmDt', 'bias'],
    ['backbone.layers.{block}.mixer.A_log', 'ssmA', 'bare', 'negExp'],
    ['backbone.layers.{block}.mixer.D', 'ssmD', 'bare'],
    ['backbone.layers.{block}.mixer.out_proj', 'ssmOut', 'bias?'],
  ],
  prefixes: [
    ['backbone.embeddings', 'backbone.embeddings'],
    ['backbone.embeddings', 'backbone.embedding'],
  ],
  tokenizer: 'mamba',
})

/** The state-space part of a layer, as all families on Mamba 2 have it. @param path  of the module */
export const mamba2Mixer = (path: string): TensorRow[] => [
  [`${path}.in_proj`, 'ssmIn', 'bias?'],
  [`${path}.conv1d`, 'ssmConv1d', 'squeeze', 'bias?'],
  [`${path}.dt_bias`, 'ssmDt', 'exactBias'],
  [`${path}.A_log`, 'ssmA', 'bare', 'asColumn', 'negExp'],
  [`${path}.D`, 'ssmD', 'bare', 'asColumn'],
  [`${path}.norm`, 'ssmNorm', 'byGroups'],
  [`${path}.out_proj`, 'ssmOut', 'bias?'],
]

const wide = (config: Config): number =>
  optionalUint(config, 'mamba_d_ssm', 'intermediate_size', 'd_inner') ?? (optionalUint(config, 'mamba_expand', 'expand') ?? 2) * hiddenSize(config)

export const mamba2 = defineArchitecture({
  gguf: 'mamba2',
  huggingFace: ['Mamba2ForCausalLM'],
  modelType: 'mamba2',
  hparams: [
    ...FIRST,
    ['ssm.inner_size', 'u32', wide],
    ['ssm.state_size', 'u32', (config) => optionalUint(config, 'state_size', 'd_state') ?? 128],
    ['ssm.time_step_rank', 'u32', (config) => Math.floor(wide(config) / (optionalUint(config, 'mamba_d_head', 'head_dim') ?? 64))],
    ['ssm.group_count', 'u32', (config) => optionalUint(config, 'n_groups') ?? 1],
    ['attention.layer_norm_rms_epsilon', 'f32', epsilon],
    ['general.file_type', 'u32', { given: 'fileType' }],
  ],
  tensors: [
    ['backbone.embeddings', 'tokenEmbd'],
    ['backbone.norm_f', 'outputNorm'],
    ['lm_head', 'output', 'tied'],
    ['backbone.layers.{block}.norm', 'attnNorm'],
    ...mamba2Mixer('backbone.layers.{block}.mixer'),
  ],
  prefixes: [
    ['backbone.', 'backbone.'],
    ['backbone.', 'model.backbone.'],
    ['lm_head', 'lm_head'],
    ['lm_head', 'model.lm_head'],
  ],
  tokenizer: 'mamba2',
})
