/**
 * Qwen 1.
 *
 * Law: conversion/qwen.py `QwenModel` (llama.cpp 0c1e570). Wider here: the epsilon under the name that its configs give it.
 */
import { defineArchitecture, withRow } from '../define.js'
import { TEXT_HPARAMS } from '../text-hparams.js'

export const qwen = defineArchitecture({
  gguf: 'qwen',
  huggingFace: ['QWenLMHeadModel'],
  modelType: 'qwen',
  hparams: withRow(TEXT_HPARAMS, ['attention.layer_norm_rms_epsilon', 'f32', ['rms_norm_eps', 'layer_norm_epsilon'], 'required']),
  tensors: [
    ['transformer.wte', 'tokenEmbd'],
    ['transformer.ln_f', 'outputNorm'],
    ['lm_head', 'output'],
    ['transformer.h.{block}.ln_1', 'attnNorm'],
    ['transformer.h.{block}.attn.c_attn', 'attnQkv', 'bias?'],
    ['transformer.h.{block}.attn.c_proj', 'attnOutput', 'bias?'],
    ['transformer.h.{block}.ln_2', 'ffnNorm'],
    ['transformer.h.{block}.mlp.w2', 'ffnGate'],
    ['transformer.h.{block}.mlp.w1', 'ffnUp'],
    ['transformer.h.{block}.mlp.c_proj', 'ffnDown'],
  ],
  tokenizer: 'qwen',
})
