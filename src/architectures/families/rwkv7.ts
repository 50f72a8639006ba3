/**
 * RWKV 7.
 *
 * Law: conversion/rwkv.py `Rwkv7Model` (llama.cpp 0c1e570).
 */
import { readUint, spelling, type Config } from '../config.js'
import { defineArchitecture } from '../define.js'
import { hiddenSize, optionalUint } from '../dimensions.js'
import { sized } from '../hybrid-hparams.js'
import { NO_HEADS, RWKV_FIRST } from './rwkv6.js'
import { RWKV7_ATTENTION, RWKV7_LAYERS, RWKV7_TIME_MIX, unifiedNames } from './rwkv7-time-mix.js'

/** A rank as the config says it, else as RWKV chooses it. */
function rank(spellings: readonly string[], exponent: number, multiplier: number): (config: Config) => number {
  return (config) => {
    const key = spelling(config, spellings)
    return key === undefined ? Math.max(1, Math.round((hiddenSize(config) ** exponent * multiplier) / 32)) * 32 : readUint(config, key)
  }
}

export const rwkv7 = defineArchitecture({
  gguf: 'rwkv7',
  huggingFace: ['RWKV7ForCausalLM', 'Rwkv7ForCausalLM'],
  modelType: 'rwkv7',
  hparams: [
    ...RWKV_FIRST,
    ['attention.layer_norm_epsilon', 'f32', ['layer_norm_epsilon', 'norm_eps'], 'required'],
    ['wkv.head_size', 'u32', sized('head_size', 'head_dim')],
    ['attention.decay_lora_rank', 'u32', rank(['lora_rank_decay', 'decay_low_rank_dim'], 0.5, 1.8)],
    ['attention.iclr_lora_rank', 'u32', rank(['lora_rank_iclr', 'a_low_rank_dim'], 0.5, 1.8)],
    ['attention.value_residual_mix_lora_rank', 'u32', rank(['lora_rank_value_residual_mix', 'v_low_rank_dim'], 0.5, 1.3)],
    ['attention.gate_lora_rank', 'u32', rank(['lora_rank_gate', 'gate_low_rank_dim'], 0.8, 0.6)],
    ['feed_forward_length', 'u32', (config) => optionalUint(config, 'intermediate_size') ?? 4 * hiddenSize(config)],
    ['general.file_type', 'u32', { given: 'fileType' }],
    NO_HEADS,
  ],
  layers: RWKV7_LAYERS,
  tensors: [
    ['model.embeddings', 'tokenEmbd'],
    ['model.pre_ln', 'tokenEmbdNorm', 'bias'],
    ['model.layers.0.pre_norm', 'tokenEmbdNorm', 'bias'],
    ['model.ln_out', 'outputNorm', 'bias'],
    ['model.norm', 'outputNorm', 'bias'],
    ['head', 'output', 'tied'],
    ['lm_head', 'output', 'tied'],
    ['model.layers.{block}.ln1', 'attnNorm', 'bias'],
    ['model.layers.{block}.attention_norm', 'attnNorm', 'bias'],
    ['model.layers.{block}.ln2', 'attnNorm2', 'bias'],
    ...RWKV7_TIME_MIX,
    [`${RWKV7_ATTENTION}.ln_x`, 'timeMixLn', 'bias'],
    ['model.layers.{block}.feed_forward.x_k', 'channelMixLerpK', 'squeeze', 'exact'],
    ['model.layers.{block}.feed_forward.key', 'channelMixKey'],
    ['model.layers.{block}.feed_forward.value', 'channelMixValue'],
  ],
  rename: unifiedNames,
  tokenizer: 'rwkvWorld',
})
