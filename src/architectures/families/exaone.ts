/**
 * EXAONE 3 to 4.
 *
 * Law: conversion/exaone.py `ExaoneModel`, `Exaone4Model` (llama.cpp 0c1e570).
 */
import { ATTENTION, ENDS, GATED_MLP, POST_NORMS, QK_NORMS } from '../common-rows.js'
import { spelling, type Config } from '../config.js'
import { defineArchitecture, withRow } from '../define.js'
import { blockCount, evenHeadSize, optionalUint } from '../dimensions.js'
import { ropeFactorsLlama3 } from '../extras.js'
import { slidingLayers } from '../layer-kinds.js'
import { rotaryDimensions, TEXT_HPARAMS } from '../text-hparams.js'

export const exaone = defineArchitecture({
  gguf: 'exaone',
  huggingFace: ['ExaoneForCausalLM'],
  modelType: 'exaone',
  hparams: [
    ...withRow(TEXT_HPARAMS, ['attention.layer_norm_rms_epsilon', 'f32', ['rms_norm_eps', 'layer_norm_epsilon'], 'required']),
    ['rope.dimension_count', 'u32', rotaryDimensions(1, evenHeadSize)],
  ],
  tensors: [
    ['transformer.wte', 'tokenEmbd'],
    ['transformer.ln_f', 'outputNorm'],
    ['lm_head', 'output', 'tied'],
    ['transformer.h.{block}.ln_1', 'attnNorm'],
    ['transformer.h.{block}.attn.attention.q_proj', 'attnQ'],
    ['transformer.h.{block}.attn.attention.k_proj', 'attnK'],
    ['transformer.h.{block}.attn.attention.v_proj', 'attnV'],
    ['transformer.h.{block}.attn.attention.out_proj', 'attnOutput'],
    ['transformer.h.{block}.ln_2', 'ffnNorm'],
    ['transformer.h.{block}.mlp.c_fc_0', 'ffnGate'],
    ['transformer.h.{block}.mlp.c_fc_1', 'ffnUp'],
    ['transformer.h.{block}.mlp.c_proj', 'ffnDown'],
  ],
  extras: [ropeFactorsLlama3],
  tokenizer: 'byteLevel',
})

/** Which layers have a window: by list, by letters (`LLLG`), or by period; only where there is a window. */
export function slidingPattern(config: Config): readonly boolean[] | undefined {
  if (spelling(config, ['sliding_window']) === undefined) return undefined
  const pattern = config.values.get('sliding_window_pattern') ?? null
  const blocks = Array.from({ length: blockCount(config) }, (_, i) => i)
  const listed = slidingLayers(config)
  if (listed !== undefined) return listed
  if (typeof pattern === 'string' && pattern !== '') return blocks.map((i) => pattern[i % pattern.length] === 'L')
  return typeof pattern === 'number' ? blocks.map((i) => (i + 1) % pattern !== 0) : undefined
}

export const exaone4 = defineArchitecture({
  gguf: 'exaone4',
  huggingFace: ['Exaone4ForCausalLM'],
  modelType: 'exaone4',
  defaults: {
    exaone4: {
      missing: {
        max_position_embeddings: 2048,
        rms_norm_eps: 1e-5,
        rope_theta: 10000,
        num_key_value_heads: 32,
        sliding_window: 4096,
        sliding_window_pattern: 4,
      },
    },
  },
  hparams: [
    ...TEXT_HPARAMS,
    ['vocab_size', 'u32', 'vocab_size', 'required'],
    ['attention.sliding_window', 'u32', (config) => optionalUint(config, 'sliding_window')],
    ['attention.sliding_window_pattern', 'bool[]', slidingPattern],
  ],
  tensors: [...ENDS, ...POST_NORMS, ...ATTENTION, ...QK_NORMS, ...GATED_MLP],
  extras: [(config) => ropeFactorsLlama3(config, 16)],
  tokenizer: 'byteLevel',
})
