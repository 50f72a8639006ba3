/**
 * GPT-2: positions of its own, matrices that lie the other way round (Conv1D), output tied to the embedding.
 *
 * Law: conversion/gpt2.py `GPT2Model` (llama.cpp 0c1e570). Wider here: checkpoints that transformers 5 saved, which have
 * no n_ctx, and n_inner (docs/numerics.md).
 */
import { defineArchitecture } from '../define.js'
import { blockCount, hiddenSize, optionalUint } from '../dimensions.js'

export const gpt2 = defineArchitecture({
  gguf: 'gpt2',
  huggingFace: ['GPT2LMHeadModel', 'GPT2Model'],
  modelType: 'gpt2',
  defaults: { gpt2: { missing: { n_positions: 1024, layer_norm_epsilon: 1e-5 } } },
  hparams: [
    ['block_count', 'u32', blockCount],
    ['context_length', 'u32', ['n_ctx', 'n_positions'], 'required'],
    ['embedding_length', 'u32', 'n_embd', 'required'],
    ['feed_forward_length', 'u32', (config) => optionalUint(config, 'n_inner') ?? 4 * hiddenSize(config)],
    ['attention.head_count', 'u32', 'n_head', 'required'],
    ['attention.layer_norm_epsilon', 'f32', 'layer_norm_epsilon', 'required'],
    ['general.file_type', 'u32', { given: 'fileType' }],
  ],
  prefixes: [
    ['transformer.', 'transformer.'],
    ['transformer.', ''],
  ],
  tensors: [
    ['transformer.wte', 'tokenEmbd'],
    ['transformer.wpe', 'positionEmbd'],
    ['transformer.ln_f', 'outputNorm', 'bias'],
    ['lm_head', 'output', 'optional'],
    ['transformer.h.{block}.ln_1', 'attnNorm', 'bias'],
    ['transformer.h.{block}.attn.c_attn', 'attnQkv', 'transpose', 'bias'],
    ['transformer.h.{block}.attn.c_proj', 'attnOutput', 'transpose', 'bias'],
    ['transformer.h.{block}.ln_2', 'ffnNorm', 'bias'],
    ['transformer.h.{block}.mlp.c_fc', 'ffnUp', 'transpose', 'bias'],
    ['transformer.h.{block}.mlp.c_proj', 'ffnDown', 'transpose', 'bias'],
  ],
  leftOut: ['transformer.h.{block}.attn.bias', 'transformer.h.{block}.attn.masked_bias'],
  tokenizer: 'byteLevel',
})
