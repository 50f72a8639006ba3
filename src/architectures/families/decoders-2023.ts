/**
 * Smaller families of decoders: Orion, XVERSE, CodeShell, Refact, Qwen 1, PLM, openPangu, Maincoder, Jais 2, MiniCPM 3.
 *
 * Law: conversion/{orion,xverse,codeshell,refact,qwen,plm,pangu,maincoder,jais,minicpm}.py (llama.cpp 0c1e570).
 */
import { ATTENTION, ENDS, GATED_MLP, NORMS, PLAIN_MLP, QK_NORMS, ROPE_ATTENTION } from '../common-rows.js'
import { readUint, type Config } from '../config.js'
import { defineArchitecture, withRow, type TensorRow } from '../define.js'
import { blockCount, headCount, headDim, hiddenSize, kvHeadCount, optionalUint } from '../dimensions.js'
import { ropeFactorsLong } from '../extras-long-rope.js'
import type { HparamRow } from '../hparams.js'
import { TEXT_HPARAMS } from '../text-hparams.js'
import { LATENT_ATTENTION } from './deepseek.js'

const META_LAYOUT: HparamRow = ['tensor_data_layout', 'string', { always: 'Meta AI original pth' }]
const headSize = (config: Config): number => Math.floor(hiddenSize(config) / headCount(config))
const biased = (rows: readonly TensorRow[]): TensorRow[] => rows.map(([source, role, ...words]) => [source, role, ...words, 'bias?'])

export const orion = defineArchitecture({
  gguf: 'orion',
  huggingFace: ['OrionForCausalLM'],
  modelType: 'orion',
  hparams: [
    ['general.file_type', 'u32', { given: 'fileType' }],
    META_LAYOUT,
    ['context_length', 'u32', ['max_sequence_length', 'max_position_embeddings', 'model_max_length'], 'required'],
    ['embedding_length', 'u32', 'hidden_size', 'required'],
    ['block_count', 'u32', blockCount],
    ['feed_forward_length', 'u32', 'intermediate_size', 'required'],
    ['attention.head_count', 'u32', headCount],
    ['attention.head_count_kv', 'u32', kvHeadCount],
    ['attention.layer_norm_epsilon', 'f32', 'rms_norm_eps', 'required'], // config.json calls it so; the norm is a LayerNorm
  ],
  tensors: [
    ...biased([['model.norm', 'outputNorm'], ...NORMS]),
    ['model.embed_tokens', 'tokenEmbd'],
    ['lm_head', 'output', 'tied'],
    ...ATTENTION,
    ...GATED_MLP,
  ],
  tokenizer: 'sentencePiece',
})

export const xverse = defineArchitecture({
  gguf: 'xverse',
  huggingFace: ['XverseForCausalLM'],
  modelType: 'xverse',
  hparams: [...TEXT_HPARAMS, META_LAYOUT, ['rope.dimension_count', 'u32', headSize]],
  tensors: [...ENDS, ...NORMS, ...ROPE_ATTENTION, ...GATED_MLP],
  tokenizer: 'xverse',
})

export const codeshell = defineArchitecture({
  gguf: 'codeshell',
  huggingFace: ['CodeShellForCausalLM'],
  modelType: 'codeshell',
  hparams: [
    ['context_length', 'u32', 'n_positions', 'required'],
    ['embedding_length', 'u32', 'n_embd', 'required'],
    ['feed_forward_length', 'u32', (config) => 4 * hiddenSize(config)],
    ['block_count', 'u32', blockCount],
    ['attention.head_count', 'u32', 'n_head', 'required'],
    ['attention.head_count_kv', 'u32', 'num_query_groups', 'required'],
    ['attention.layer_norm_epsilon', 'f32', 'layer_norm_epsilon', 'required'],
    ['general.file_type', 'u32', { given: 'fileType' }],
    ['rope.freq_base', 'f32', { always: 10000 }],
    ['rope.scaling.type', 'string', { always: 'linear' }],
    ['rope.scaling.factor', 'f32', { always: 1 }],
  ],
  tensors: [
    ['transformer.wte', 'tokenEmbd'],
    ['transformer.ln_f', 'outputNorm', 'bias'],
    ['lm_head', 'output', 'tied'],
    ['transformer.h.{block}.ln_1', 'attnNorm', 'bias'],
    ['transformer.h.{block}.attn.c_attn', 'attnQkv', 'bias'],
    ['transformer.h.{block}.attn.c_proj', 'attnOutput', 'bias'],
    ['transformer.h.{block}.ln_2', 'ffnNorm', 'bias'],
    ['transformer.h.{block}.mlp.c_fc', 'ffnUp', 'bias'],
    ['transformer.h.{block}.mlp.c_proj', 'ffnDown', 'bias'],
  ],
  leftOut: ['transformer.h.{block}.attn.rotary_emb.inv_freq'],
  tokenizer: 'byteLevel',
})

/** Two thirds of four times the hidden size, rounded up to 256. */
const refactLength = (config: Config): number => 256 * Math.floor((Math.trunc((8 * hiddenSize(config)) / 3) + 255) / 256)

export const refact = defineArchitecture({
  gguf: 'refact',
  huggingFace: ['GPTRefactForCausalLM'],
  modelType: 'gpt_refact',
  hparams: [
    ['context_length', 'u32', 'n_positions', 'required'],
    ['embedding_length', 'u32', 'n_embd', 'required'],
    ['feed_forward_length', 'u32', refactLength],
    ['block_count', 'u32', blockCount],
    ['attention.head_count', 'u32', 'n_head', 'required'],
    ['attention.head_count_kv', 'u32', { always: 1 }],
    ['attention.layer_norm_rms_epsilon', 'f32', 'layer_norm_epsilon', 'required'],
    ['general.file_type', 'u32', { given: 'fileType' }],
  ],
  tensors: [
    ['transformer.wte', 'tokenEmbd'],
    ['transformer.ln_f', 'outputNorm'],
    ['lm_head', 'output', 'tied'],
    ['transformer.h.{block}.ln_1', 'attnNorm'],
    ['transformer.h.{block}.attn.q', 'attnQ'],
    ['transformer.h.{block}.attn.kv', ['attnK', 'attnV'], 'halves'],
    ['transformer.h.{block}.attn.c_proj', 'attnOutput'],
    ['transformer.h.{block}.ln_2', 'ffnNorm'],
    ['transformer.h.{block}.mlp.gate_up_proj', ['ffnGate', 'ffnUp'], 'halves'],
    ['transformer.h.{block}.mlp.c_proj', 'ffnDown'],
  ],
  tokenizer: 'refact',
})

export const qwen = defineArchitecture({
  gguf: 'qwen',
  huggingFace: ['QWenLMHeadModel'],
  modelType: 'qwen',
  hparams: withRow(TEXT_HPARAMS, ['attention.layer_norm_rms_epsilon', 'f32', ['rms_norm_eps', 'layer_norm_epsilon'], 'required']),
  tensors: [
    ['transformer.wte', 'tokenEmbd'],
    ['transformer.ln_f', 'outputNorm'],
    ['lm_head', 'output'],
    ['transformer.h.{block}.ln_1', 'attnNorm'],
    ['transformer.h.{block}.attn.c_attn', 'attnQkv', 'bias?'],
    ['transformer.h.{block}.attn.c_proj', 'attnOutput', 'bias?'],
    ['transformer.h.{block}.ln_2', 'ffnNorm'],
    ['transformer.h.{block}.mlp.w2', 'ffnGate'],
    ['transformer.h.{block}.mlp.w1', 'ffnUp'],
    ['transformer.h.{block}.mlp.c_proj', 'ffnDown'],
  ],
  tokenizer: 'qwen',
})

export const plm = defineArchitecture({
  gguf: 'plm',
  huggingFace: ['PLMForCausalLM'],
  modelType: 'plm',
  hparams: [
    ...TEXT_HPARAMS,
    ['vocab_size', 'u32', 'vocab_size', 'required'],
    ['attention.kv_lora_rank', 'u32', 'kv_lora_rank', 'required'],
    ['attention.key_length', 'u32', (config) => readUint(config, 'qk_nope_head_dim') + readUint(config, 'qk_rope_head_dim')],
    ['attention.value_length', 'u32', 'v_head_dim', 'required'],
    ['rope.dimension_count', 'u32', 'qk_rope_head_dim', 'required'],
  ],
  layers: { plainQueries: () => true, latentQueries: () => false },
  tensors: [
    ...ENDS,
    ...NORMS,
    ...LATENT_ATTENTION.filter(([, roles]) => typeof roles === 'string'),
    ['model.layers.{block}.self_attn.kv_b_proj', 'attnKvB'],
    ...PLAIN_MLP,
  ],
  tokenizer: 'byteLevel',
})

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
  tensors: [...ENDS, ...NORMS, ...ATTENTION, ...QK_NORMS, ...saying(GATED_MLP)],
  tokenizer: 'byteLevel',
})

function saying(rows: readonly TensorRow[]): TensorRow[] {
  return rows.map(([source, role, ...words]) => [String(source).replace('.mlp.', '.feed_forward.'), role, ...words])
}

export const jais2 = defineArchitecture({
  gguf: 'jais2',
  huggingFace: ['Jais2ForCausalLM'],
  modelType: 'jais2',
  defaults: {
    jais2: {
      missing: { max_position_embeddings: 8192, layer_norm_eps: 1e-5, rope_theta: 500000 },
      derived: { num_key_value_heads: { same: 'num_attention_heads' } },
    },
  },
  hparams: [...TEXT_HPARAMS, ['rope.dimension_count', 'u32', headDim]],
  tensors: [
    ...biased([['model.norm', 'outputNorm'], ...NORMS]),
    ['model.embed_tokens', 'tokenEmbd'],
    ['lm_head', 'output', 'tied'],
    ...ATTENTION,
    ...PLAIN_MLP,
  ],
  tokenizer: 'byteLevel',
})

export const minicpm3 = defineArchitecture({
  gguf: 'minicpm3',
  huggingFace: ['MiniCPM3ForCausalLM'],
  modelType: 'minicpm3',
  hparams: [
    ['general.file_type', 'u32', { given: 'fileType' }],
    ['context_length', 'u32', 'max_position_embeddings', 'required'],
    ['embedding_length', 'u32', 'hidden_size', 'required'],
    ['block_count', 'u32', blockCount],
    ['feed_forward_length', 'u32', 'intermediate_size', 'required'],
    ['attention.head_count', 'u32', headCount],
    ['attention.head_count_kv', 'u32', 'num_key_value_heads', 'required'],
    ['attention.layer_norm_rms_epsilon', 'f32', 'rms_norm_eps', 'required'],
    ['vocab_size', 'u32', 'vocab_size', 'required'],
    ['attention.q_lora_rank', 'u32', 'q_lora_rank'],
    ['attention.kv_lora_rank', 'u32', 'kv_lora_rank', 'required'],
    ['attention.key_length', 'u32', (config) => readUint(config, 'qk_nope_head_dim') + readUint(config, 'qk_rope_head_dim')],
    ['rope.dimension_count', 'u32', 'qk_rope_head_dim', 'required'],
  ],
  layers: {
    plainQueries: (config) => optionalUint(config, 'q_lora_rank') === undefined,
    latentQueries: (config) => optionalUint(config, 'q_lora_rank') !== undefined,
  },
  tensors: [
    ...[...ENDS, ...NORMS, ...GATED_MLP],
    ...LATENT_ATTENTION.filter(([, roles]) => typeof roles === 'string'),
    ['model.layers.{block}.self_attn.kv_b_proj', 'attnKvB'],
  ],
  extras: [ropeFactorsLong((config) => readUint(config, 'qk_rope_head_dim'))],
  tokenizer: 'sentencePiece',
})
