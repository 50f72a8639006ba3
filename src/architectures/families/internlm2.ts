/**
 * InternLM 2: grouped queries, keys and values in one matrix.
 *
 * Law: conversion/internlm.py `InternLM2Model` (llama.cpp 0c1e570).
 */
import { defineArchitecture } from '../define.js'
import { TEXT_HPARAMS } from '../text-hparams.js'

export const internlm2 = defineArchitecture({
  gguf: 'internlm2',
  huggingFace: ['InternLM2ForCausalLM'],
  modelType: 'internlm2',
  hparams: TEXT_HPARAMS,
  tensors: [
    ['model.tok_embeddings', 'tokenEmbd'],
    ['model.norm', 'outputNorm'],
    ['output', 'output'],
    ['model.layers.{block}.attention_norm', 'attnNorm'],
    ['model.layers.{block}.attention.wqkv', ['attnQ', 'attnK', 'attnV'], 'splitGroupsRope', 'bias?'],
    ['model.layers.{block}.attention.wo', 'attnOutput', 'bias?'],
    ['model.layers.{block}.ffn_norm', 'ffnNorm'],
    ['model.layers.{block}.feed_forward.w1', 'ffnGate'],
    ['model.layers.{block}.feed_forward.w3', 'ffnUp'],
    ['model.layers.{block}.feed_forward.w2', 'ffnDown'],
  ],
  tokenizer: 'internLm2',
})
