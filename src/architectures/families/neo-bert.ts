/**
 * NeoBERT: rotary positions, norms before each part.
 *
 * Law: conversion/bert.py `NeoBert` (llama.cpp 0c1e570). Wider here: classifiers without names for their labels.
 */
import { readUint, type Config } from '../config.js'
import { defineArchitecture } from '../define.js'
import { optionalFloat } from '../dimensions.js'
import { classifies, ENCODER_HPARAMS } from '../encoder-hparams.js'
import { TEXT_HPARAMS } from '../text-hparams.js'

export const neoBert = defineArchitecture({
  gguf: 'neo-bert',
  huggingFace: ['NeoBERT', 'NeoBERTLMHead', 'NeoBERTForSequenceClassification'],
  modelType: 'neobert',
  hparams: [
    ...TEXT_HPARAMS,
    ...ENCODER_HPARAMS,
    ['feed_forward_length', 'u32', (config: Config) => Math.trunc((2 * readUint(config, 'intermediate_size')) / 3)],
    ['rope.freq_base', 'f32', { always: 10000 }],
    ['rope.scaling.type', 'string', { always: 'none' }],
    ['attention.layer_norm_rms_epsilon', 'f32', (config: Config) => optionalFloat(config, 'norm_eps') ?? 1e-6],
    ['pooling_type', 'u32', { always: 2 }],
  ],
  prefixes: [
    ['model.', 'model.'],
    ['model.', ''],
  ],
  layers: { classifies },
  tensors: [
    ['model.encoder', 'tokenEmbd'],
    ['model.layer_norm', 'encOutputNorm'],
    ['model.transformer_encoder.{block}.attention_norm', 'attnNorm'],
    ['model.transformer_encoder.{block}.qkv', 'attnQkv'],
    ['model.transformer_encoder.{block}.wo', 'attnOutput'],
    ['model.transformer_encoder.{block}.ffn_norm', 'ffnNorm'],
    ['model.transformer_encoder.{block}.ffn.w12', 'ffnUp'],
    ['model.transformer_encoder.{block}.ffn.w3', 'ffnDown'],
    ['dense', 'cls', 'bias', 'layers:classifies'],
    ['classifier', 'clsOutput', 'bias', 'layers:classifies'],
  ],
  leftOut: ['decoder.weight', 'decoder.bias'],
  tokenizer: 'bert',
})
