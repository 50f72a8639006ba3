/**
 * DistilBERT.
 *
 * Law: conversion/bert.py `DistilBertModel` (llama.cpp 0c1e570).
 */
import { defineArchitecture } from '../define.js'
import { classifies, ENCODER_HPARAMS } from '../encoder-hparams.js'
import { TEXT_HPARAMS } from '../text-hparams.js'

export const distilBert = defineArchitecture({
  gguf: 'bert',
  huggingFace: ['DistilBertModel', 'DistilBertForMaskedLM', 'DistilBertForSequenceClassification'],
  modelType: 'distilbert',
  defaults: { distilbert: { missing: { max_position_embeddings: 512 } } },
  hparams: [['attention.layer_norm_epsilon', 'f32', { always: 1e-12 }], ...TEXT_HPARAMS, ...ENCODER_HPARAMS],
  prefixes: [
    ['distilbert.', 'distilbert.'],
    ['distilbert.', ''],
  ],
  layers: { classifies },
  tensors: [
    ['distilbert.embeddings.word_embeddings', 'tokenEmbd'],
    ['distilbert.embeddings.position_embeddings', 'positionEmbd'],
    ['distilbert.embeddings.LayerNorm', 'tokenEmbdNorm', 'bias'],
    ['distilbert.transformer.layer.{block}.attention.q_lin', 'attnQ', 'bias'],
    ['distilbert.transformer.layer.{block}.attention.k_lin', 'attnK', 'bias'],
    ['distilbert.transformer.layer.{block}.attention.v_lin', 'attnV', 'bias'],
    ['distilbert.transformer.layer.{block}.attention.out_lin', 'attnOutput', 'bias'],
    ['distilbert.transformer.layer.{block}.sa_layer_norm', 'attnOutputNorm', 'bias'],
    ['distilbert.transformer.layer.{block}.ffn.lin1', 'ffnUp', 'bias'],
    ['distilbert.transformer.layer.{block}.ffn.lin2', 'ffnDown', 'bias'],
    ['distilbert.transformer.layer.{block}.output_layer_norm', 'layerOutputNorm', 'bias'],
    ['pre_classifier', 'cls', 'bias', 'layers:classifies'],
    ['classifier', 'clsOutput', 'bias', 'layers:classifies'],
  ],
  leftOut: [
    ...['vocab_layer_norm', 'vocab_projector', 'vocab_transform'].flatMap((name) => [`${name}.weight`, `${name}.bias`]),
    'distilbert.embeddings.position_ids',
  ],
  tokenizer: 'bert',
})
