/**
 * QRWKV 6: RWKV 6's attention with Qwen 2's feed-forward part.
 *
 * Law: conversion/rwkv.py `RWKV6Qwen2Model` (llama.cpp 0c1e570).
 */
import { ENDS, GATED_MLP, NORMS } from '../common-rows.js'
import { readUint } from '../config.js'
import { defineArchitecture } from '../define.js'
import { evenHeadSize, hiddenSize, optionalUint } from '../dimensions.js'
import { NO_HEADS, RWKV_FIRST, timeMix } from './rwkv6.js'

export const rwkv6qwen2 = defineArchitecture({
  gguf: 'rwkv6qwen2',
  huggingFace: ['RWKV6Qwen2ForCausalLM'],
  modelType: 'rwkv6qwen2',
  hparams: [
    ...RWKV_FIRST,
    ['wkv.head_size', 'u32', evenHeadSize],
    ['time_mix_extra_dim', 'u32', (config) => optionalUint(config, 'lora_rank_tokenshift') ?? (hiddenSize(config) >= 4096 ? 64 : 32)],
    ['time_decay_extra_dim', 'u32', (config) => optionalUint(config, 'lora_rank_decay') ?? (hiddenSize(config) >= 4096 ? 128 : 64)],
    ['feed_forward_length', 'u32', (config) => readUint(config, 'intermediate_size')],
    ['general.file_type', 'u32', { given: 'fileType' }],
    ['attention.layer_norm_rms_epsilon', 'f32', 'rms_norm_eps', 'required'],
    ['token_shift_count', 'u32', { always: 1 }],
    ['attention.head_count_kv', 'u32', 'num_key_value_heads', 'required'],
    NO_HEADS,
  ],
  tensors: [
    ...ENDS,
    ...NORMS,
    ...timeMix('model.layers.{block}.self_attn', ['orderRkvwg']),
    ['model.layers.{block}.self_attn.q_proj', 'timeMixReceptance', 'bias?'],
    ['model.layers.{block}.self_attn.k_proj', 'timeMixKey', 'bias?'],
    ['model.layers.{block}.self_attn.v_proj', 'timeMixValue', 'bias?'],
    ['model.layers.{block}.self_attn.gate', 'timeMixGate', 'bias?'],
    ['model.layers.{block}.self_attn.o_proj', 'timeMixOutput', 'bias?'],
    ...GATED_MLP,
  ],
  tokenizer: 'sentencePieceOrByteLevel',
})
