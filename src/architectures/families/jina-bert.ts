/**
 * Jina embeddings 2: BERT without positions of its own (ALiBi) and with a gated feed-forward part.
 *
 * Law: conversion/bert.py `JinaBertV2Model`, gguf-py tensor_mapping.py for its two spellings (llama.cpp 0c1e570).
 */
import { defineArchitecture } from '../define.js'
import { ENCODER_HPARAMS } from '../encoder-hparams.js'
import { TEXT_HPARAMS } from '../text-hparams.js'
import { BERT_BEGINNING, BERT_HEADS, renamedBert } from './bert.js'

export const jinaBert2 = defineArchitecture({
  gguf: 'jina-bert-v2',
  huggingFace: ['JinaBertModel', 'JinaBertForMaskedLM'],
  modelType: 'bert',
  hparams: [...TEXT_HPARAMS, ...ENCODER_HPARAMS],
  prefixes: [
    ['bert.', 'bert.'],
    ['bert.', ''],
  ],
  tensors: [
    ...BERT_BEGINNING,
    ['bert.encoder.layer.{block}.attention.self.layer_norm_q', 'attnQNorm', 'bias', 'optional'],
    ['bert.encoder.layer.{block}.attention.self.layer_norm_k', 'attnKNorm', 'bias', 'optional'],
    ['bert.encoder.layer.{block}.attention.output.dense', 'attnOutput', 'bias'],
    ['bert.encoder.layer.{block}.attention.output.LayerNorm', 'attnOutputNorm', 'bias', 'optional'],
    ['bert.encoder.layer.{block}.layer_norm_1', 'attnNorm2', 'bias', 'optional'],
    // English, German, Spanish, Chinese; then the one for code
    ['bert.encoder.layer.{block}.mlp.gated_layers', 'ffnUp'],
    ['bert.encoder.layer.{block}.mlp.wo', 'ffnDown', 'bias'],
    ['bert.encoder.layer.{block}.mlp.layernorm', 'layerOutputNorm', 'bias'],
    ['bert.encoder.layer.{block}.mlp.up_gated_layer', 'ffnUp'],
    ['bert.encoder.layer.{block}.mlp.down_layer', 'ffnDown', 'bias'],
    ['bert.encoder.layer.{block}.layer_norm_2', 'layerOutputNorm', 'bias'],
  ],
  leftOut: BERT_HEADS,
  rename: renamedBert,
  tokenizer: 'jinaBert2',
})
