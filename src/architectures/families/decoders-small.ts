/**
 * Decoders that are the usual rows with one or two of their own: openPangu, Maincoder, Jais 2.
 *
 * Law: conversion/{pangu,maincoder,jais}.py (llama.cpp 0c1e570).
 */
import { ATTENTION, ENDS, feedForwardNamed, GATED_MLP, NORMS, PLAIN_MLP, QK_NORMS, saying } from '../common-rows.js'
import { ALL_HEADS } from '../config-defaults.js'
import { defineArchitecture } from '../define.js'
import { headDim, optionalUint } from '../dimensions.js'
import { TEXT_HPARAMS } from '../text-hparams.js'

export const pangu = defineArchitecture({
  gguf: 'pangu-embedded',
  huggingFace: ['PanguEmbeddedForCausalLM'],
  modelType: 'pangu',
  hparams: [
    ...TEXT_HPARAMS,
    ['vocab_size', 'u32', 'vocab_size', 'required'],
    ['rope.dimension_count', 'u32', headDim],
    ['attention.key_length', 'u32', headDim],
    ['attention.value_length', 'u32', headDim],
  ],
  tensors: [...ENDS.slice(0, 2), ['lm_head', 'output', 'tied', 'dropWhenTied'], ...NORMS, ...ATTENTION, ...GATED_MLP],
  tokenizer: 'sentencePieceWithPrefix',
})

export const maincoder = defineArchitecture({
  gguf: 'maincoder',
  huggingFace: ['MaincoderForCausalLM'],
  modelType: 'maincoder',
  hparams: [...TEXT_HPARAMS, ['rope.dimension_count', 'u32', (config) => optionalUint(config, 'head_dim')]],
  tensors: [...ENDS, ...NORMS, ...ATTENTION, ...QK_NORMS, ...feedForwardNamed(GATED_MLP)],
  tokenizer: 'byteLevel',
})

export const jais2 = defineArchitecture({
  gguf: 'jais2',
  huggingFace: ['Jais2ForCausalLM'],
  modelType: 'jais2',
  defaults: {
    jais2: {
      missing: { max_position_embeddings: 8192, layer_norm_eps: 1e-5, rope_theta: 500000 },
      derived: ALL_HEADS,
    },
  },
  hparams: [...TEXT_HPARAMS, ['rope.dimension_count', 'u32', headDim]],
  tensors: [
    ...saying([['model.norm', 'outputNorm'], ...NORMS], 'bias?'),
    ['model.embed_tokens', 'tokenEmbd'],
    ['lm_head', 'output', 'tied'],
    ...ATTENTION,
    ...PLAIN_MLP,
  ],
  tokenizer: 'byteLevel',
})
