/**
 * ARWKV 7: RWKV 7's attention with Qwen 2's feed-forward part.
 *
 * Law: conversion/rwkv.py `ARwkv7Model` (llama.cpp 0c1e570).
 */
import { UnsupportedError } from '../../core/errors.js'
import { ENDS, GATED_MLP, NORMS } from '../common-rows.js'
import { readUint, type Config } from '../config.js'
import { defineArchitecture } from '../define.js'
import { optionalFloat } from '../dimensions.js'
import { NO_HEADS, RWKV_FIRST } from './rwkv6.js'
import { hasGate, RWKV7_ATTENTION, RWKV7_LAYERS, RWKV7_TIME_MIX, unifiedNames } from './rwkv7-time-mix.js'

/** @throws UnsupportedError for another version */
function ofVersion7(config: Config): number {
  if (config.values.get('wkv_version') === 7) return readUint(config, 'hidden_size')
  throw new UnsupportedError('wkv_version is not 7; llama.cpp computes no other.', { file: config.file })
}

export const arwkv7 = defineArchitecture({
  gguf: 'arwkv7',
  huggingFace: ['RwkvHybridForCausalLM'],
  modelType: 'rwkv_hybrid',
  hparams: [
    ...RWKV_FIRST,
    ['embedding_length', 'u32', ofVersion7],
    ['attention.layer_norm_rms_epsilon', 'f32', (config) => optionalFloat(config, 'rms_norm_eps')],
    ['wkv.head_size', 'u32', 'head_size', 'required'],
    ['attention.decay_lora_rank', 'u32', { always: 64 }],
    ['attention.iclr_lora_rank', 'u32', { always: 64 }],
    ['attention.value_residual_mix_lora_rank', 'u32', { always: 32 }],
    ['attention.gate_lora_rank', 'count', (config) => (hasGate(config) ? 128 : 0)],
    ['feed_forward_length', 'u32', 'intermediate_size', 'required'],
    ['general.file_type', 'u32', { given: 'fileType' }],
    ['token_shift_count', 'u32', { always: 1 }],
    NO_HEADS,
  ],
  layers: { ...RWKV7_LAYERS, normed: (config) => config.values.get('wkv_has_group_norm') === true },
  tensors: [...ENDS, ...NORMS, ...RWKV7_TIME_MIX, [`${RWKV7_ATTENTION}.ln_x`, 'timeMixLn', 'bias?', 'layers:normed'], ...GATED_MLP],
  rename: unifiedNames,
  tokenizer: 'sentencePieceOrByteLevel',
})
