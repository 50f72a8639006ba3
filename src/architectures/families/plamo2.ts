/**
 * PLaMo 2: state space and attention in turn.
 *
 * Law: conversion/plamo.py `Plamo2Model` (llama.cpp 0c1e570).
 */
import { saying } from '../common-rows.js'
import type { Config } from '../config.js'
import { defineArchitecture, type TensorRow } from '../define.js'
import { blockCount, optionalUint } from '../dimensions.js'
import { ofLayers, type Kind } from '../hybrid-hparams.js'
import { ropeFreqBase } from '../text-hparams.js'

/** What both have. */
export const PLAMO_BODY: readonly TensorRow[] = [
  ['model.embed_tokens', 'tokenEmbd'],
  ['model.norm', 'outputNorm', 'addOne'],
  ['lm_head', 'output', 'tied'],
  ['model.layers.layers.{block}.pre_mixer_norm', 'attnNorm', 'addOne'],
  ['model.layers.layers.{block}.post_mixer_norm.weight', 'postAttentionNorm', 'addFifth', 'bare'],
  ['model.layers.layers.{block}.pre_mlp_norm', 'ffnNorm', 'addOne'],
  ['model.layers.layers.{block}.post_mlp_norm.weight', 'postFfwNorm', 'addSmallerFifth', 'bare'],
  ['model.layers.layers.{block}.mlp.gate_up_proj', 'ffnUp'],
  ['model.layers.layers.{block}.mlp.down_proj', 'ffnDown'],
]

const number =
  (key: string, otherwise: number) =>
  (config: Config): number =>
    optionalUint(config, key) ?? otherwise
const heads = number('mamba_num_heads', 64)
const headSize = number('hidden_size_per_head', 128)

/** Every `mamba_step`th layer has attention, from the middle of a step on; of fewer layers the last. */
const isAttention: Kind = (config, block) => {
  if (config.values.get('mamba_enabled') === false) return true
  const step = optionalUint(config, 'mamba_step') ?? 2
  const middle = Math.floor(step / 2)
  return blockCount(config) <= middle ? block === blockCount(config) - 1 : block % step === middle
}

export const plamo2 = defineArchitecture({
  gguf: 'plamo2',
  huggingFace: ['Plamo2ForCausalLM', 'PLaMo2ForCausalLM'],
  modelType: 'plamo2',
  hparams: [
    ['vocab_size', 'u32', 'vocab_size', 'required'],
    ['attention.head_count_kv', 'i32[]', ofLayers(isAttention, number('num_key_value_heads', 4))],
    ['attention.head_count', 'i32[]', ofLayers(isAttention, number('num_attention_heads', 32))],
    ['context_length', 'u32', 'max_position_embeddings', 2048],
    ['embedding_length', 'u32', 'hidden_size', 4096],
    ['attention.key_length', 'u32', headSize],
    ['attention.value_length', 'u32', headSize],
    ['block_count', 'u32', blockCount],
    ['attention.layer_norm_rms_epsilon', 'f32', 'rms_norm_eps', 1e-6],
    ['rope.freq_base', 'f32', (config: Config) => ropeFreqBase(config) ?? 10000],
    ['ssm.state_size', 'u32', 'mamba_d_state', 64],
    ['ssm.conv_kernel', 'u32', 'mamba_d_conv', 4],
    ['ssm.time_step_rank', 'u32', heads],
    ['ssm.inner_size', 'u32', (config: Config) => heads(config) * headSize(config)],
    ['ssm.group_count', 'count', { always: 0 }],
    ['feed_forward_length', 'u32', 'intermediate_size', 13312],
    ['general.file_type', 'u32', { given: 'fileType' }],
  ],
  layers: { attention: isAttention, mamba: (config, block) => !isAttention(config, block) },
  tensors: [
    ...PLAMO_BODY,
    ...saying(
      [
        ['model.layers.layers.{block}.mixer.qkv_proj', 'attnQkv'],
        ['model.layers.layers.{block}.mixer.o_proj', 'attnOutput'],
        ['model.layers.layers.{block}.mixer.q_weight', 'attnQNorm', 'exact'],
        ['model.layers.layers.{block}.mixer.k_weight', 'attnKNorm', 'exact'],
      ],
      'layers:attention',
    ),
    ...saying(
      [
        ['model.layers.layers.{block}.mixer.in_proj', 'ssmIn'],
        ['model.layers.layers.{block}.mixer.conv1d', 'ssmConv1d', 'squeeze'],
        ['model.layers.layers.{block}.mixer.bcdt_proj', 'ssmX'],
        ['model.layers.layers.{block}.mixer.dt_proj', 'ssmDt'],
        ['model.layers.layers.{block}.mixer.dt_bias', 'ssmDt', 'exactBias'],
        ['model.layers.layers.{block}.mixer.dt_norm_weight', 'ssmDtNorm', 'bare'],
        ['model.layers.layers.{block}.mixer.B_norm_weight', 'ssmBNorm', 'bare'],
        ['model.layers.layers.{block}.mixer.C_norm_weight', 'ssmCNorm', 'bare'],
        ['model.layers.layers.{block}.mixer.A_log', 'ssmA', 'bare', 'negExp'],
        ['model.layers.layers.{block}.mixer.D', 'ssmD', 'bare'],
        ['model.layers.layers.{block}.mixer.out_proj', 'ssmOut'],
      ],
      'layers:mamba',
    ),
  ],
  tokenizer: 'plamo2',
})
