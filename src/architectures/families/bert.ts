/**
 * BERT and what is built exactly like it: CamemBERT, RoBERTa, XLM-RoBERTa, DistilBERT.
 *
 * Law: conversion/bert.py `BertModel`, `RobertaModel`, `XLMRobertaModel`, `DistilBertModel` (llama.cpp 0c1e570).
 */
import { readUint, type Config } from '../config.js'
import { defineArchitecture, withRow, type ArchitectureDefinition, type TensorRow } from '../define.js'
import { firstPosition } from '../dimensions.js'
import { classifies, ENCODER_HPARAMS, outputLabels } from '../encoder-hparams.js'
import type { HparamRow } from '../hparams.js'
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

const BODY: readonly TensorRow[] = [
  ['bert.embeddings.word_embeddings', 'tokenEmbd'],
  ['bert.embeddings.token_type_embeddings', 'tokenTypes'],
  ['bert.embeddings.LayerNorm', 'tokenEmbdNorm', 'bias'],
  ['bert.encoder.layer.{block}.attention.self.query', 'attnQ', 'bias'],
  ['bert.encoder.layer.{block}.attention.self.key', 'attnK', 'bias'],
  ['bert.encoder.layer.{block}.attention.self.value', 'attnV', 'bias'],
  ['bert.encoder.layer.{block}.attention.output.dense', 'attnOutput', 'bias'],
  ['bert.encoder.layer.{block}.attention.output.LayerNorm', 'attnOutputNorm', 'bias'],
  ['bert.encoder.layer.{block}.intermediate.dense', 'ffnUp', 'bias'],
  ['bert.encoder.layer.{block}.output.dense', 'ffnDown', 'bias'],
  ['bert.encoder.layer.{block}.output.LayerNorm', 'layerOutputNorm', 'bias'],
]

const SIZES = { max_position_embeddings: 512, layer_norm_eps: 1e-12 }

export const bert = defineArchitecture({
  gguf: 'bert',
  huggingFace: ['BertModel', 'BertForMaskedLM', 'CamembertModel', 'BertForSequenceClassification'],
  modelType: 'bert',
  defaults: { bert: { missing: SIZES }, camembert: { missing: SIZES } },
  hparams: [...TEXT_HPARAMS, ...ENCODER_HPARAMS],
  prefixes: [
    ['bert.', 'bert.'],
    ['bert.', ''],
  ],
  layers: { labelled: (config) => classifies(config) && !isOneMatrix(config), unlabelled: isOneMatrix },
  tensors: [
    ...BODY,
    ['bert.embeddings.position_embeddings', 'positionEmbd'],
    ['classifier.out_proj', 'clsOutput', 'bias', 'layers:labelled'],
    ['classifier', 'cls', 'bias', 'layers:unlabelled'],
  ],
  leftOut: BERT_HEADS,
  rename: renamedBert,
  tokenizer: 'bert',
})

const ROBERTA_HPARAMS: readonly HparamRow[] = [
  ...withRow(TEXT_HPARAMS, ['context_length', 'u32', (config) => readUint(config, 'max_position_embeddings') - firstPosition(config)]),
  ...ENCODER_HPARAMS,
]

const ROBERTA = {
  gguf: 'bert',
  modelType: 'roberta',
  defaults: { roberta: { missing: { ...SIZES, pad_token_id: 1 } }, 'xlm-roberta': { missing: { ...SIZES, pad_token_id: 1 } } },
  hparams: ROBERTA_HPARAMS,
  prefixes: [
    ['bert.', 'roberta.'],
    ['bert.', ''],
  ],
  layers: { classifies },
  tensors: [
    ...BODY,
    ['bert.embeddings.position_embeddings', 'positionEmbd', 'afterPadding'],
    ['classifier.dense', 'cls', 'bias', 'layers:classifies'],
    ['classifier.out_proj', 'clsOutput', 'bias', 'layers:classifies'],
  ],
  leftOut: BERT_HEADS,
} as const satisfies Partial<ArchitectureDefinition>

export const roberta = defineArchitecture({ ...ROBERTA, huggingFace: ['RobertaModel', 'RobertaForSequenceClassification'], tokenizer: 'roberta' })

export const xlmRoberta = defineArchitecture({
  ...ROBERTA,
  huggingFace: ['XLMRobertaModel', 'XLMRobertaForSequenceClassification'],
  when: (config) => (config.values.get('lora_adaptations') ?? null) === null, // Jina embeddings 3 have other names, and adapters inside
  tokenizer: 'xlmRoberta',
})

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
