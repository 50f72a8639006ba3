/**
 * Decoders for code with GPT's names: CodeShell, Refact.
 *
 * Law: conversion/{codeshell,refact}.py (llama.cpp 0c1e570).
 */
import { GPT_BLOCK } from '../common-rows.js'
import { defineArchitecture } from '../define.js'
import { hiddenSize } from '../dimensions.js'
import type { Config } from '../config.js'
import { gptSizes } from '../text-hparams.js'

export const codeshell = defineArchitecture({
  gguf: 'codeshell',
  huggingFace: ['CodeShellForCausalLM'],
  modelType: 'codeshell',
  hparams: [
    ...gptSizes(),
    ['attention.head_count_kv', 'u32', 'num_query_groups', 'required'],
    ['attention.layer_norm_epsilon', 'f32', 'layer_norm_epsilon', 'required'],
    ['general.file_type', 'u32', { given: 'fileType' }],
    ['rope.freq_base', 'f32', { always: 10000 }],
    ['rope.scaling.type', 'string', { always: 'linear' }],
    ['rope.scaling.factor', 'f32', { always: 1 }],
  ],
  tensors: [['transformer.wte', 'tokenEmbd'], ['transformer.ln_f', 'outputNorm', 'bias'], ['lm_head', 'output', 'tied'], ...GPT_BLOCK],
  leftOut: ['transformer.h.{block}.attn.rotary_emb.inv_freq'],
  tokenizer: 'byteLevel',
})

/** Two thirds of four times the hidden size, rounded up to 256. */
const refactLength = (config: Config): number => 256 * Math.floor((Math.trunc((8 * hiddenSize(config)) / 3) + 255) / 256)

export const refact = defineArchitecture({
  gguf: 'refact',
  huggingFace: ['GPTRefactForCausalLM'],
  modelType: 'gpt_refact',
  hparams: [
    ...gptSizes(refactLength),
    ['attention.head_count_kv', 'u32', { always: 1 }],
    ['attention.layer_norm_rms_epsilon', 'f32', 'layer_norm_epsilon', 'required'],
    ['general.file_type', 'u32', { given: 'fileType' }],
  ],
  tensors: [
    ['transformer.wte', 'tokenEmbd'],
    ['transformer.ln_f', 'outputNorm'],
    ['lm_head', 'output', 'tied'],
    ['transformer.h.{block}.ln_1', 'attnNorm'],
    ['transformer.h.{block}.attn.q', 'attnQ'],
    ['transformer.h.{block}.attn.kv', ['attnK', 'attnV'], 'halves'],
    ['transformer.h.{block}.attn.c_proj', 'attnOutput'],
    ['transformer.h.{block}.ln_2', 'ffnNorm'],
    ['transformer.h.{block}.mlp.gate_up_proj', ['ffnGate', 'ffnUp'], 'halves'],
    ['transformer.h.{block}.mlp.c_proj', 'ffnDown'],
  ],
  tokenizer: 'refact',
})
