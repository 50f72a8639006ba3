/**
 * LLaDA: a Llama that writes by filling in masked tokens.
 *
 * Law: conversion/llada.py `LLaDAModel` (llama.cpp 0c1e570).
 */
import { defineArchitecture } from '../define.js'
import { headDim } from '../dimensions.js'
import { POOLING } from '../encoder-hparams.js'
import { TEXT_HPARAMS } from '../text-hparams.js'
import { NOT_CAUSAL, UNSHIFTED } from './dream.js'

export const llada = defineArchitecture({
  gguf: 'llada',
  huggingFace: ['LLaDAModelLM'],
  modelType: 'llada',
  hparams: [
    ...TEXT_HPARAMS,
    POOLING,
    ['vocab_size', 'u32', 'vocab_size', 'required'],
    ['rope.dimension_count', 'u32', headDim],
    ['context_length', 'u32', 'max_sequence_length', 4096],
    ['embedding_length', 'u32', 'd_model', 4096],
    ['feed_forward_length', 'u32', 'mlp_hidden_size', 12288],
    NOT_CAUSAL,
    UNSHIFTED,
  ],
  tensors: [
    ['model.transformer.wte', 'tokenEmbd'],
    ['model.transformer.ln_f', 'outputNorm'],
    ['model.transformer.ff_out', 'output', 'tied'],
    ['model.transformer.blocks.{block}.attn_norm', 'attnNorm'],
    ['model.transformer.blocks.{block}.q_proj', 'attnQ', 'unpermuteRope:heads', 'bias?'],
    ['model.transformer.blocks.{block}.k_proj', 'attnK', 'unpermuteRope:kvHeads', 'bias?'],
    ['model.transformer.blocks.{block}.v_proj', 'attnV', 'bias?'],
    ['model.transformer.blocks.{block}.attn_out', 'attnOutput', 'bias?'],
    ['model.transformer.blocks.{block}.ff_norm', 'ffnNorm'],
    ['model.transformer.blocks.{block}.ff_proj', 'ffnGate', 'bias?'],
    ['model.transformer.blocks.{block}.up_proj', 'ffnUp', 'bias?'],
    ['model.transformer.blocks.{block}.ff_out', 'ffnDown', 'bias?'],
  ],
  tokenizer: 'llada',
})
