/**
 * ModernBERT: rotary positions, norms before each part, a window in most layers.
 *
 * Law: conversion/bert.py `ModernBertModel` (llama.cpp 0c1e570). Wider here: ModernBERT saved by transformers 5,
 * which writes norm_eps only and no period of its layers (docs/numerics.md); classifiers without names for their labels.
 */
import type { Config } from '../config.js'
import { defineArchitecture, withRow } from '../define.js'
import { optionalUint } from '../dimensions.js'
import { classifies, ENCODER_HPARAMS } from '../encoder-hparams.js'
import { layerTypes } from '../layer-kinds.js'
import { TEXT_HPARAMS } from '../text-hparams.js'

const USUAL_PERIOD = 3 // llama.cpp's, where the file does not say

/** Every how many layers attention is full. */
function period(config: Config): number | undefined {
  const stated = optionalUint(config, 'global_attn_every_n_layers')
  const listed = layerTypes(config)?.findIndex((type, block) => block > 0 && type === 'full_attention')
  return stated ?? (listed === undefined || listed < 0 || listed === USUAL_PERIOD ? undefined : listed)
}

export const modernBert = defineArchitecture({
  gguf: 'modern-bert',
  huggingFace: ['ModernBertModel', 'ModernBertForMaskedLM', 'ModernBertForSequenceClassification'],
  modelType: 'modernbert',
  defaults: {
    modernbert: {
      missing: { max_position_embeddings: 8192, norm_eps: 1e-5, local_attention: 128, classifier_pooling: 'cls', hidden_activation: 'gelu' },
    },
  },
  hparams: [
    ...withRow(TEXT_HPARAMS, ['attention.layer_norm_epsilon', 'f32', ['layer_norm_eps', 'layer_norm_epsilon', 'norm_epsilon', 'norm_eps']]),
    ...ENCODER_HPARAMS,
    ['attention.sliding_window', 'u32', 'local_attention', 'required'],
    ['attention.sliding_window_pattern', 'u32', period],
    ['rope.scaling.type', 'string', { always: 'none' }],
    ['vocab_size', 'u32', 'vocab_size', 'required'],
    ['hidden_activation', 'string', 'hidden_activation'],
  ],
  prefixes: [
    ['model.', 'model.'],
    ['model.', ''],
  ],
  layers: { normed: (_, block) => block > 0, classifies },
  tensors: [
    ['model.embeddings.tok_embeddings', 'tokenEmbd'],
    ['model.embeddings.norm', 'tokenEmbdNorm', 'bias?'],
    ['model.final_norm', 'outputNorm', 'bias?'],
    ['model.layers.{block}.attn_norm', 'attnNorm', 'bias?', 'layers:normed'],
    ['model.layers.{block}.attn.Wqkv', 'attnQkv', 'bias?'],
    ['model.layers.{block}.attn.Wo', 'attnOutput', 'bias?'],
    ['model.layers.{block}.mlp_norm', 'ffnNorm', 'bias?'],
    ['model.layers.{block}.mlp.Wi', 'ffnUp', 'bias?'],
    ['model.layers.{block}.mlp.Wo', 'ffnDown', 'bias?'],
    ['head.dense', 'cls', 'bias?', 'layers:classifies'],
    ['head.norm', 'clsNorm', 'bias?', 'layers:classifies'],
    ['classifier', 'clsOutput', 'bias', 'layers:classifies'],
  ],
  leftOut: ['decoder.weight', 'decoder.bias'],
  tokenizer: 'modernBert',
})
