/**
 * ruGPT-3 XL: GPT-2 under Llama's names, with queries, keys and values apart.
 *
 * Law: conversion/gpt2.py `RuGPT3XLModel` (llama.cpp 0c1e570).
 */
import { defineArchitecture } from '../define.js'
import { TEXT_HPARAMS } from '../text-hparams.js'

export const ruGpt3 = defineArchitecture({
  gguf: 'gpt2',
  huggingFace: ['RuGPT3XLForCausalLM'],
  modelType: 'rugpt3xl',
  hparams: TEXT_HPARAMS,
  tensors: [
    ['model.embed_tokens', 'tokenEmbd'],
    ['model.embed_positions', 'positionEmbd'],
    ['model.norm', 'outputNorm', 'bias'],
    ['lm_head', 'output', 'tied'],
    ['model.layers.{block}.input_layernorm', 'attnNorm', 'bias'],
    [['q', 'k', 'v'].map((letter) => `model.layers.{block}.self_attn.${letter}_proj`), 'attnQkv', 'joinThirds', 'bias'],
    ['model.layers.{block}.self_attn.o_proj', 'attnOutput', 'bias'],
    ['model.layers.{block}.post_attention_layernorm', 'ffnNorm', 'bias'],
    ['model.layers.{block}.mlp.up_proj', 'ffnUp', 'bias'],
    ['model.layers.{block}.mlp.down_proj', 'ffnDown', 'bias'],
  ],
  tokenizer: 'byteLevel',
})
