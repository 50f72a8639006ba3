/**
 * Falcon-H1: attention and state space side by side in every layer; the factors between its parts go into its matrices.
 *
 * Law: conversion/falcon_h1.py (llama.cpp 0c1e570).
 */
import { saying } from '../common-rows.js'
import { readUint, type Config } from '../config.js'
import { defineArchitecture, type TensorRow } from '../define.js'
import { blockCount, hiddenSize, optionalFloat } from '../dimensions.js'
import { ropeFreqBase } from '../text-hparams.js'
import { mamba2Mixer } from './mamba.js'

const MIXER: readonly TensorRow[] = mamba2Mixer('model.layers.{block}.mamba').filter(([, role]) => role !== 'ssmIn' && role !== 'ssmOut' && role !== 'ssmNorm')

export const falconH1 = defineArchitecture({
  gguf: 'falcon-h1',
  huggingFace: ['FalconH1ForCausalLM'],
  modelType: 'falcon_h1',
  defaults: {
    falcon_h1: {
      missing: {
        ...{ num_key_value_heads: 8, rms_norm_eps: 1e-5, max_position_embeddings: 8192, rope_theta: 10000 },
        ...{ mamba_d_ssm: 1024, mamba_d_head: 8, mamba_n_groups: 1, mamba_d_state: 256, mamba_d_conv: 4, mamba_rms_norm: false },
      },
    },
  },
  hparams: [
    ['context_length', 'count', 'max_position_embeddings', 0],
    ['embedding_length', 'u32', hiddenSize],
    ['feed_forward_length', 'u32', 'intermediate_size', 'required'],
    ['attention.head_count', 'u32', 'num_attention_heads', 'required'],
    ['block_count', 'u32', blockCount],
    ['ssm.conv_kernel', 'u32', 'mamba_d_conv', 'required'],
    ['ssm.inner_size', 'u32', 'mamba_d_ssm', 'required'],
    ['ssm.state_size', 'u32', 'mamba_d_state', 'required'],
    ['ssm.time_step_rank', 'u32', (config: Config) => Math.floor(readUint(config, 'mamba_d_ssm') / readUint(config, 'mamba_d_head'))],
    ['ssm.group_count', 'u32', 'mamba_n_groups', 'required'],
    ['attention.layer_norm_rms_epsilon', 'f32', (config: Config) => optionalFloat(config, 'layer_norm_epsilon', 'rms_norm_eps') ?? 1e-5],
    ['general.file_type', 'u32', { given: 'fileType' }],
    ['vocab_size', 'u32', 'vocab_size', 'required'],
    ['attention.head_count_kv', 'u32', 'num_key_value_heads', 'required'],
    ['attention.key_length', 'u32', 'head_dim', 'required'],
    ['attention.value_length', 'u32', 'head_dim', 'required'],
    ['rope.freq_base', 'f32', ropeFreqBase],
  ],
  layers: { normed: (config: Config) => config.values.get('mamba_rms_norm') === true },
  tensors: [
    ['model.embed_tokens', 'tokenEmbd', 'times:embedding'],
    ['model.final_layernorm', 'outputNorm'],
    ['lm_head', 'output', 'times:lmHead', 'tied'],
    ['model.layers.{block}.input_layernorm', 'attnNorm'],
    ['model.layers.{block}.pre_ff_layernorm.weight', 'ffnNorm', 'bare'], // the reference gives this name no suffix
    ['model.layers.{block}.self_attn.q_proj', 'attnQ', 'times:attentionIn', 'bias?'],
    ['model.layers.{block}.self_attn.k_proj', 'attnK', 'times:key', 'times:attentionIn', 'bias?'],
    ['model.layers.{block}.self_attn.v_proj', 'attnV', 'times:attentionIn', 'bias?'],
    ['model.layers.{block}.self_attn.o_proj', 'attnOutput', 'times:attentionOut', 'bias?'],
    ['model.layers.{block}.feed_forward.gate_proj', 'ffnGate', 'times:gate', 'bias?'],
    ['model.layers.{block}.feed_forward.up_proj', 'ffnUp', 'bias?'],
    ['model.layers.{block}.feed_forward.down_proj', 'ffnDown', 'times:down', 'bias?'],
    ...MIXER,
    ['model.layers.{block}.mamba.in_proj', 'ssmIn', 'times:ssmIn', 'times:ssmParts', 'bias?'],
    ['model.layers.{block}.mamba.out_proj', 'ssmOut', 'times:ssmOut', 'bias?'],
    ...saying([['model.layers.{block}.mamba.norm', 'ssmNorm', 'byGroups']], 'layers:normed'),
  ],
  tokenizer: 'byteLevel',
})
