/**
 * RWKV 6.
 *
 * Law: conversion/rwkv.py `Rwkv6Model` (llama.cpp 0c1e570).
 */
import type { Config } from '../config.js'
import { defineArchitecture, type TensorRow } from '../define.js'
import { blockCount, hiddenSize, optionalUint } from '../dimensions.js'
import type { HparamRow } from '../hparams.js'

/** What all RWKV begin with: they have no limit of context. */
export const RWKV_FIRST: readonly HparamRow[] = [
  ['context_length', 'u32', { always: 2 ** 20 }],
  ['embedding_length', 'u32', 'hidden_size', 'required'],
  ['block_count', 'u32', blockCount],
]

/** llama.cpp wants the key, and does not use it. */
export const NO_HEADS: HparamRow = ['attention.head_count', 'count', { always: 0 }]

/** @param path  of the attention part; its five vectors of mixing become one tensor */
export const timeMix = (path: string, order: readonly 'orderRkvwg'[]): TensorRow[] => [
  [['w', 'k', 'v', 'r', 'g'].map((letter) => `${path}.time_maa_${letter}`), 'timeMixLerpFused', 'stackLerps', 'exact'],
  [`${path}.time_maa_x`, 'timeMixLerpX', 'squeeze', 'exact'],
  [`${path}.time_maa_w1`, 'timeMixW1', 'transpose', ...order, 'exact'],
  [`${path}.time_maa_w2`, 'timeMixW2', 'transpose', ...order, 'exact'],
  [`${path}.time_decay`, 'timeMixDecay', 'squeeze', 'exact'],
  [`${path}.time_decay_w1`, 'timeMixDecayW1', 'transpose', 'exact'],
  [`${path}.time_decay_w2`, 'timeMixDecayW2', 'transpose', 'exact'],
]

/** Three and a half times the hidden state, rounded down to 32, unless the config says it. */
const feedForward = (config: Config): number => optionalUint(config, 'intermediate_size') ?? Math.floor((hiddenSize(config) * 3.5) / 32) * 32

export const rwkv6 = defineArchitecture({
  gguf: 'rwkv6',
  huggingFace: ['Rwkv6ForCausalLM'],
  modelType: 'rwkv6',
  hparams: [
    ...RWKV_FIRST,
    ['attention.layer_norm_epsilon', 'f32', 'layer_norm_epsilon', 'required'],
    ['rescale_every_n_layers', 'count', 'rescale_every', 'required'],
    ['wkv.head_size', 'u32', 'head_size', 'required'],
    ['time_mix_extra_dim', 'u32', (config) => (hiddenSize(config) === 4096 ? 64 : 32)],
    ['time_decay_extra_dim', 'u32', (config) => (hiddenSize(config) === 4096 ? 128 : 64)],
    ['feed_forward_length', 'u32', feedForward],
    ['general.file_type', 'u32', { given: 'fileType' }],
    NO_HEADS,
  ],
  tensors: [
    ['rwkv.embeddings', 'tokenEmbd'],
    ['rwkv.blocks.0.pre_ln', 'tokenEmbdNorm', 'bias'],
    ['rwkv.ln_out', 'outputNorm', 'bias'],
    ['head', 'output', 'tied'],
    ['rwkv.blocks.{block}.ln1', 'attnNorm', 'bias'],
    ['rwkv.blocks.{block}.ln2', 'attnNorm2', 'bias'],
    ...timeMix('rwkv.blocks.{block}.attention', []),
    ['rwkv.blocks.{block}.attention.time_faaaa', 'timeMixFirst', 'exact'],
    ['rwkv.blocks.{block}.attention.receptance', 'timeMixReceptance'],
    ['rwkv.blocks.{block}.attention.key', 'timeMixKey'],
    ['rwkv.blocks.{block}.attention.value', 'timeMixValue'],
    ['rwkv.blocks.{block}.attention.gate', 'timeMixGate'],
    ['rwkv.blocks.{block}.attention.output', 'timeMixOutput', 'rescaleByDepth'],
    ['rwkv.blocks.{block}.attention.ln_x', 'timeMixLn', 'bias'],
    ['rwkv.blocks.{block}.feed_forward.time_maa_k', 'channelMixLerpK', 'squeeze', 'exact'],
    ['rwkv.blocks.{block}.feed_forward.time_maa_r', 'channelMixLerpR', 'squeeze', 'exact'],
    ['rwkv.blocks.{block}.feed_forward.key', 'channelMixKey'],
    ['rwkv.blocks.{block}.feed_forward.receptance', 'channelMixReceptance'],
    ['rwkv.blocks.{block}.feed_forward.value', 'channelMixValue', 'rescaleByDepth'],
  ],
  tokenizer: 'rwkvWorld',
})
