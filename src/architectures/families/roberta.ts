/**
 * RoBERTa and XLM-RoBERTa: BERT whose positions begin behind that of the padding token.
 *
 * Law: conversion/bert.py `RobertaModel`, `XLMRobertaModel` (llama.cpp 0c1e570).
 */
import { readUint } from '../config.js'
import { defineArchitecture, withRow, type ArchitectureDefinition } from '../define.js'
import { firstPosition } from '../dimensions.js'
import { classifies, ENCODER_HPARAMS } from '../encoder-hparams.js'
import type { HparamRow } from '../hparams.js'
import { TEXT_HPARAMS } from '../text-hparams.js'
import { BERT_BODY, BERT_HEADS, BERT_SIZES } from './bert.js'

const ROBERTA_HPARAMS: readonly HparamRow[] = [
  ...withRow(TEXT_HPARAMS, ['context_length', 'u32', (config) => readUint(config, 'max_position_embeddings') - firstPosition(config)]),
  ...ENCODER_HPARAMS,
]

const ROBERTA = {
  gguf: 'bert',
  modelType: 'roberta',
  defaults: { roberta: { missing: { ...BERT_SIZES, pad_token_id: 1 } }, 'xlm-roberta': { missing: { ...BERT_SIZES, pad_token_id: 1 } } },
  hparams: ROBERTA_HPARAMS,
  prefixes: [
    ['bert.', 'roberta.'],
    ['bert.', ''],
  ],
  layers: { classifies },
  tensors: [
    ...BERT_BODY,
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
