/**
 * Gemma 1 to 3 and EmbeddingGemma. Their norms are stored as the difference from one, and their output is the embedding.
 *
 * Law: conversion/gemma.py `GemmaModel`, `Gemma2Model`, `Gemma3Model`, `EmbeddingGemma` (llama.cpp 0c1e570).
 */
import { ATTENTION, GATED_MLP, saying } from '../common-rows.js'
import { readUint, type Config } from '../config.js'
import { defineArchitecture, type TensorRow } from '../define.js'
import { blockCount, optionalUint } from '../dimensions.js'
import { POOLING } from '../encoder-hparams.js'
import type { HparamRow } from '../hparams.js'
import { ropeFreqBase, TEXT_HPARAMS } from '../text-hparams.js'

const FIRST_HPARAMS: readonly HparamRow[] = [
  ['context_length', 'u32', 'max_position_embeddings', 'required'],
  ['embedding_length', 'u32', 'hidden_size', 'required'],
  ['block_count', 'u32', blockCount],
  ['feed_forward_length', 'u32', 'intermediate_size', 'required'],
  ['attention.head_count', 'u32', 'num_attention_heads', 'required'],
  ['attention.head_count_kv', 'u32', ['num_key_value_heads', 'num_attention_heads'], 'required'],
  ['attention.layer_norm_rms_epsilon', 'f32', 'rms_norm_eps', 'required'],
  ['attention.key_length', 'u32', 'head_dim', 'required'],
  ['attention.value_length', 'u32', 'head_dim', 'required'],
  ['general.file_type', 'u32', { given: 'fileType' }],
]

const BODY: readonly TensorRow[] = [
  ['model.norm', 'outputNorm', 'addOne'],
  ['model.layers.{block}.input_layernorm', 'attnNorm', 'addOne'],
  ...ATTENTION,
  ...GATED_MLP,
]

/** Norms on both sides of attention and feed-forward. */
const FOUR_NORMS: readonly TensorRow[] = [
  ['model.layers.{block}.post_attention_layernorm', 'postAttentionNorm', 'addOne'],
  ['model.layers.{block}.pre_feedforward_layernorm', 'ffnNorm', 'addOne'],
  ['model.layers.{block}.post_feedforward_layernorm', 'postFfwNorm', 'addOne'],
]

export const gemma = defineArchitecture({
  gguf: 'gemma',
  huggingFace: ['GemmaForCausalLM'],
  modelType: 'gemma',
  defaults: { gemma: { missing: { max_position_embeddings: 8192, rms_norm_eps: 1e-6, num_key_value_heads: 16, head_dim: 256 } } },
  hparams: FIRST_HPARAMS,
  tensors: [['model.embed_tokens', 'tokenEmbd'], ...BODY, ['model.layers.{block}.post_attention_layernorm', 'ffnNorm', 'addOne']],
  leftOut: ['lm_head.weight'],
  tokenizer: 'gemma',
})

export const gemma2 = defineArchitecture({
  gguf: 'gemma2',
  huggingFace: ['Gemma2ForCausalLM'],
  modelType: 'gemma2',
  defaults: {
    gemma2: {
      missing: {
        ...{ max_position_embeddings: 8192, rms_norm_eps: 1e-6, num_key_value_heads: 4, head_dim: 256 },
        ...{ sliding_window: 4096, final_logit_softcapping: 30, attn_logit_softcapping: 50 },
      },
    },
  },
  hparams: [
    ...FIRST_HPARAMS,
    ['attn_logit_softcapping', 'f32', 'attn_logit_softcapping', 'required'],
    ['final_logit_softcapping', 'f32', 'final_logit_softcapping', 'required'],
    ['attention.sliding_window', 'u32', 'sliding_window', 'required'],
  ],
  tensors: [['model.embed_tokens', 'tokenEmbd'], ...BODY, ...FOUR_NORMS],
  leftOut: ['lm_head.weight'],
  tokenizer: 'gemma2',
})

export const GEMMA3_HPARAMS: readonly HparamRow[] = [
  ...TEXT_HPARAMS,
  ['attention.head_count', 'u32', 'num_attention_heads', 8],
  ['rope.freq_base', 'f32', (config: Config) => ropeFreqBase(config) ?? 1e6],
  ['final_logit_softcapping', 'f32', 'final_logit_softcapping'],
  [
    'attention.sliding_window',
    'u32',
    (config: Config) => (optionalUint(config, 'sliding_window_pattern') === 1 ? undefined : readUint(config, 'sliding_window')),
  ],
  ['attention.head_count_kv', 'u32', 'num_key_value_heads', 4],
]

const GEMMA3_BODY: readonly TensorRow[] = [
  ['model.embed_tokens', 'tokenEmbd', 'cropToTokens'],
  ...[...BODY, ...FOUR_NORMS],
  ['model.layers.{block}.self_attn.q_norm', 'attnQNorm', 'addOne'],
  ['model.layers.{block}.self_attn.k_norm', 'attnKNorm', 'addOne'],
]

export const gemma3 = defineArchitecture({
  gguf: 'gemma3',
  huggingFace: ['Gemma3ForCausalLM', 'Gemma3ForConditionalGeneration'],
  modelType: 'gemma3_text',
  defaults: {
    gemma3_text: {
      missing: {
        ...{ max_position_embeddings: 131072, rms_norm_eps: 1e-6, num_key_value_heads: 4, head_dim: 256 },
        ...{ sliding_window: 4096, rope_theta: 1e6, rope_local_base_freq: 10000 },
      },
    },
  },
  hparams: GEMMA3_HPARAMS,
  tensors: [...GEMMA3_BODY, ...saying([['lm_head', 'output']], 'optional')],
  tokenizer: 'gemma3',
})

export const gemmaEmbedding = defineArchitecture({
  gguf: 'gemma-embedding',
  huggingFace: ['Gemma3TextModel'],
  modelType: 'gemma3_text',
  hparams: [...GEMMA3_HPARAMS, ['attention.sliding_window', 'u32', 'sliding_window', 'required'], POOLING],
  prefixes: [
    ['model.', ''],
    ['model.', 'model.'],
  ],
  tensors: GEMMA3_BODY,
  tokenizer: 'gemma3',
})
