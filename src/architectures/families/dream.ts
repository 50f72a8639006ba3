/**
 * Dream: a Qwen 2.5 that writes by filling in masked tokens.
 *
 * Law: conversion/dream.py (llama.cpp 0c1e570).
 */
import { ATTENTION, ENDS, GATED_MLP, NORMS } from '../common-rows.js'
import { defineArchitecture } from '../define.js'
import { POOLING } from '../encoder-hparams.js'
import type { HparamRow } from '../hparams.js'
import { TEXT_HPARAMS } from '../text-hparams.js'

/** They look both ways. */
export const NOT_CAUSAL: HparamRow = ['attention.causal', 'bool', { always: false }]
/** The token that is filled in. */
export const MASK: HparamRow = ['tokenizer.ggml.mask_token_id', 'count', 'mask_token_id']
/** Logits of a place are its own, not of the next. */
export const UNSHIFTED: HparamRow = ['diffusion.shift_logits', 'bool', { always: false }]

export const dream = defineArchitecture({
  gguf: 'dream',
  huggingFace: ['DreamModel'],
  modelType: 'Dream',
  hparams: [...TEXT_HPARAMS, POOLING, NOT_CAUSAL, MASK],
  tensors: [...ENDS, ...NORMS, ...ATTENTION, ...GATED_MLP],
  tokenizer: 'dream',
})
