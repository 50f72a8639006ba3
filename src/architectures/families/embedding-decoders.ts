/**
 * Decoders that became encoders: EuroBERT, Jina embeddings 5, llama-embed-nemotron.
 *
 * Law: conversion/bert.py `EuroBertModel`, llama.py `LlamaEmbedNemotronModel` (llama.cpp 0c1e570). Wider here: EuroBERT saved
 * by transformers, whose config says `classifier_pooling: late`.
 */
import { ATTENTION, ENDS, GATED_MLP, NORMS, ROPE_ATTENTION } from '../common-rows.js'
import { defineArchitecture } from '../define.js'
import { ropeFactorsLlama3 } from '../extras.js'
import { ENCODER_HPARAMS } from '../encoder-hparams.js'
import { TEXT_HPARAMS } from '../text-hparams.js'
import { LLAMA_HPARAMS } from './llama.js'

const WITH_OR_WITHOUT_MODEL = [
  ['model.', 'model.'],
  ['model.', ''],
] as const

const [CAUSAL, ...POOLING_AND_LABELS] = ENCODER_HPARAMS

export const euroBert = defineArchitecture({
  gguf: 'eurobert',
  huggingFace: ['EuroBertModel', 'JinaEmbeddingsV5Model'],
  modelType: 'eurobert',
  defaults: { eurobert: { missing: { max_position_embeddings: 8192, rms_norm_eps: 1e-5, rope_theta: 10000 } } },
  hparams: [...TEXT_HPARAMS, ...(CAUSAL === undefined ? [] : [CAUSAL]), ['rope.scaling.type', 'string', { always: 'none' }], ...POOLING_AND_LABELS.slice(0, 2)],
  prefixes: WITH_OR_WITHOUT_MODEL,
  tensors: [...ENDS.slice(0, 2), ...NORMS, ...ATTENTION, ...GATED_MLP],
  tokenizer: 'euroBert',
})

export const llamaEmbed = defineArchitecture({
  gguf: 'llama-embed',
  huggingFace: ['LlamaBidirectionalModel'],
  modelType: 'llama_bidirec',
  hparams: LLAMA_HPARAMS,
  prefixes: WITH_OR_WITHOUT_MODEL,
  tensors: [...ENDS.slice(0, 2), ...NORMS, ...ROPE_ATTENTION, ...GATED_MLP],
  extras: [ropeFactorsLlama3],
  tokenizer: 'llama',
})
