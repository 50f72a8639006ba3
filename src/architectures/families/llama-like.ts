/**
 * Families that are a Llama but for their names in GGUF, a norm, or the feed-forward part: SmolLM 3, Arcee, Apertus,
 * InternLM 3, Nanbeige, MiniCPM.
 *
 * Law: conversion/llama.py, internlm.py, nanbeige.py, minicpm.py (llama.cpp 0c1e570).
 */
import { ATTENTION, ENDS, GATED_MLP, NORMS, PLAIN_MLP, QK_NORMS, ROPE_ATTENTION } from '../common-rows.js'
import { ALL_HEADS, ATTENTION as ATTENTION_DEFAULTS } from '../config-defaults.js'
import { readFloat, readUint, type Config } from '../config.js'
import { defineArchitecture } from '../define.js'
import { blockCount, evenHeadSize, hiddenSize } from '../dimensions.js'
import { ropeFactorsLlama3 } from '../extras.js'
import { ropeFactorsLong } from '../extras-long-rope.js'
import { POOLING } from '../encoder-hparams.js'
import type { HparamRow } from '../hparams.js'
import { TEXT_HPARAMS } from '../text-hparams.js'
import { LLAMA_HPARAMS } from './llama.js'

export const smollm3 = defineArchitecture({
  gguf: 'smollm3',
  huggingFace: ['SmolLM3ForCausalLM'],
  modelType: 'smollm3',
  defaults: { smollm3: { missing: { max_position_embeddings: 32768, rms_norm_eps: 1e-6, rope_theta: 2e6, num_key_value_heads: 4 } } },
  hparams: LLAMA_HPARAMS,
  tensors: [...ENDS, ...NORMS, ...ROPE_ATTENTION, ...GATED_MLP],
  extras: [ropeFactorsLlama3],
  tokenizer: 'llama',
})

export const arcee = defineArchitecture({
  gguf: 'arcee',
  huggingFace: ['ArceeForCausalLM'],
  modelType: 'arcee',
  defaults: { arcee: { missing: { max_position_embeddings: 4096, rms_norm_eps: 1e-5, rope_theta: 10000 }, derived: ATTENTION_DEFAULTS } },
  hparams: [...LLAMA_HPARAMS, POOLING],
  tensors: [...ENDS, ...NORMS, ...ROPE_ATTENTION, ...PLAIN_MLP],
  extras: [ropeFactorsLlama3],
  tokenizer: 'llama',
})

/** A parameter of the activation, one number per layer. */
function activation(name: string): (config: Config) => readonly number[] {
  return (config) =>
    Array.from({ length: blockCount(config) }, (_, block) => config.tensors?.get(`model.layers.${block}.mlp.act_fn.${name}`)?.values?.[0] ?? NaN)
}

const ACTIVATION = ['alpha_n', 'alpha_p', 'beta', 'eps'] as const

export const apertus = defineArchitecture({
  gguf: 'apertus',
  huggingFace: ['ApertusForCausalLM'],
  modelType: 'apertus',
  defaults: {
    apertus: {
      missing: { max_position_embeddings: 65536, rms_norm_eps: 1e-5, rope_theta: 12e6 },
      derived: ALL_HEADS,
    },
  },
  hparams: LLAMA_HPARAMS,
  earlyHparams: ACTIVATION.map((name): HparamRow => [`xielu.${name}`, 'f32[]', activation(name)]),
  tensors: [
    ...[...ENDS, ...ATTENTION, ...QK_NORMS, ...PLAIN_MLP],
    ['model.layers.{block}.attention_layernorm', 'attnNorm'],
    ['model.layers.{block}.feedforward_layernorm', 'ffnNorm'],
  ],
  reads: ACTIVATION.map((name) => `model.layers.{block}.mlp.act_fn.${name}`),
  extras: [ropeFactorsLlama3],
  tokenizer: 'llama',
})

export const internlm3 = defineArchitecture({
  gguf: 'llama',
  huggingFace: ['InternLM3ForCausalLM'],
  modelType: 'internlm3',
  hparams: LLAMA_HPARAMS,
  tensors: [...ENDS, ...NORMS, ...ROPE_ATTENTION, ...GATED_MLP],
  tokenizer: 'internLm3',
})

export const nanbeige = defineArchitecture({
  gguf: 'nanbeige',
  huggingFace: ['NanbeigeForCausalLM'],
  modelType: 'nanbeige',
  hparams: [
    ...LLAMA_HPARAMS,
    ['num_loops', 'u32', (config: Config) => Math.max(1, Number(config.values.get('num_loops') ?? 1))],
    ['skip_loop_final_norm', 'bool', (config: Config) => config.values.get('skip_loop_final_norm') === true],
  ],
  tensors: [...ENDS, ...NORMS, ...ROPE_ATTENTION, ...GATED_MLP],
  extras: [ropeFactorsLlama3],
  tokenizer: 'llama',
})

export const minicpm = defineArchitecture({
  gguf: 'minicpm',
  huggingFace: ['MiniCPMForCausalLM'],
  modelType: 'minicpm',
  hparams: [
    ...TEXT_HPARAMS,
    ['embedding_scale', 'f32', 'scale_emb', 'required'],
    ['residual_scale', 'f32', (config) => readFloat(config, 'scale_depth') / Math.sqrt(readUint(config, 'num_hidden_layers'))],
    ['logit_scale', 'f32', (config) => hiddenSize(config) / readFloat(config, 'dim_model_base')],
  ],
  tensors: [...ENDS, ...NORMS, ...ROPE_ATTENTION, ...GATED_MLP],
  extras: [ropeFactorsLong(evenHeadSize)],
  tokenizer: 'sentencePiece',
})
