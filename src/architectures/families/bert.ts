/**
 * BERT and CamemBERT.
 *
 * Law: conversion/bert.py `BertModel` (llama.cpp 0c1e570).
 */
import type { Config } from '../config.js'
import { defineArchitecture, type TensorRow } from '../define.js'
import { classifies, ENCODER_HPARAMS, outputLabels } from '../encoder-hparams.js'
import { TEXT_HPARAMS } from '../text-hparams.js'

/** Heads that llama.cpp has no place for: a model that embeds does not need them. */
export const BERT_HEADS: readonly string[] = [
  ...['bert.embeddings.position_ids', 'bert.pooler.dense.weight', 'bert.pooler.dense.bias', 'cls.seq_relationship.weight', 'cls.seq_relationship.bias'],
  ...['bias', 'decoder.weight', 'decoder.bias', 'transform.dense.weight', 'transform.dense.bias', 'transform.LayerNorm.weight', 'transform.LayerNorm.bias'].map(
    (part) => `cls.predictions.${part}`,
  ),
]

/** The oldest checkpoints call weights and biases of norms so; a classifier of one matrix is an output where it has labels. */
export function renamedBert(name: string, config: Config): string {
  if (name.endsWith('.gamma')) return `${name.slice(0, -'gamma'.length)}weight`
  if (name.endsWith('.beta')) return `${name.slice(0, -'beta'.length)}bias`
  if ((name === 'classifier.weight' || name === 'classifier.bias') && outputLabels(config) !== undefined)
    return name.replace('classifier', 'classifier.out_proj')
  return name
}

const isOneMatrix = (config: Config): boolean => classifies(config) && outputLabels(config) === undefined

/** Embeddings without positions, and what attention begins with: Jina's models have these too. */
export const BERT_BEGINNING: readonly TensorRow[] = [
  ['bert.embeddings.word_embeddings', 'tokenEmbd'],
  ['bert.embeddings.token_type_embeddings', 'tokenTypes'],
  ['bert.embeddings.LayerNorm', 'tokenEmbdNorm', 'bias'],
  ['bert.encoder.layer.{block}.attention.self.query', 'attnQ', 'bias'],
  ['bert.encoder.layer.{block}.attention.self.key', 'attnK', 'bias'],
  ['bert.encoder.layer.{block}.attention.self.value', 'attnV', 'bias'],
]

/** What RoBERTa has too, all but positions and classifiers. */
export const BERT_BODY: readonly TensorRow[] = [
  ...BERT_BEGINNING,
  ['bert.encoder.layer.{block}.attention.output.dense', 'attnOutput', 'bias'],
  ['bert.encoder.layer.{block}.attention.output.LayerNorm', 'attnOutputNorm', 'bias'],
  ['bert.encoder.layer.{block}.intermediate.dense', 'ffnUp', 'bias'],
  ['bert.encoder.layer.{block}.output.dense', 'ffnDown', 'bias'],
  ['bert.encoder.layer.{block}.output.LayerNorm', 'layerOutputNorm', 'bias'],
]

/** What transformers fills in. */
export const BERT_SIZES = { max_position_embeddings: 512, layer_norm_eps: 1e-12 }

export const bert = defineArchitecture({
  gguf: 'bert',
  huggingFace: ['BertModel', 'BertForMaskedLM', 'CamembertModel', 'BertForSequenceClassification'],
  modelType: 'bert',
  defaults: { bert: { missing: BERT_SIZES }, camembert: { missing: BERT_SIZES } },
  hparams: [...TEXT_HPARAMS, ...ENCODER_HPARAMS],
  prefixes: [
    ['bert.', 'bert.'],
    ['bert.', ''],
  ],
  layers: { labelled: (config) => classifies(config) && !isOneMatrix(config), unlabelled: isOneMatrix },
  tensors: [
    ...BERT_BODY,
    ['bert.embeddings.position_embeddings', 'positionEmbd'],
    ['classifier.out_proj', 'clsOutput', 'bias', 'layers:labelled'],
    ['classifier', 'cls', 'bias', 'layers:unlabelled'],
  ],
  leftOut: BERT_HEADS,
  rename: renamedBert,
  tokenizer: 'bert',
})
