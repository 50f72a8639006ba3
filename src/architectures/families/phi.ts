/**
 * Phi 1.5 to 4.
 *
 * Law: conversion/phi.py `Phi2Model`, `Phi3MiniModel`, `PhiMoeModel` (llama.cpp 0c1e570).
 */
import { ATTENTION, ENDS, NORMS } from '../common-rows.js'
import { ALL_HEADS } from '../config-defaults.js'
import { readUint, type Config } from '../config.js'
import { defineArchitecture, type TensorRow } from '../define.js'
import { blockCount, headCount, hiddenSize, optionalUint } from '../dimensions.js'
import { longRopeAttentionFactor, ropeFactorsLong } from '../extras-long-rope.js'
import type { HparamRow } from '../hparams.js'
import { ropeParameters } from '../rope.js'
import { ropeFreqBase, rotaryShareOfHidden } from '../text-hparams.js'

export const phi2 = defineArchitecture({
  gguf: 'phi2',
  huggingFace: ['PhiForCausalLM'],
  modelType: 'phi',
  defaults: { phi: { missing: { max_position_embeddings: 2048, layer_norm_eps: 1e-5, partial_rotary_factor: 0.5 } } },
  hparams: [
    ['context_length', 'u32', ['n_positions', 'max_position_embeddings'], 'required'],
    ['embedding_length', 'u32', ['hidden_size', 'n_embd'], 'required'],
    ['feed_forward_length', 'u32', (config: Config) => 4 * hiddenSize(config)],
    ['block_count', 'u32', blockCount],
    ['attention.head_count', 'u32', headCount],
    ['attention.head_count_kv', 'u32', headCount],
    ['attention.layer_norm_epsilon', 'f32', ['layer_norm_epsilon', 'layer_norm_eps'], 'required'],
    ['rope.dimension_count', 'u32', rotaryShareOfHidden(0.5)],
    ['general.file_type', 'u32', { given: 'fileType' }],
    ['tokenizer.ggml.add_bos_token', 'bool', { always: false }],
  ],
  tensors: [
    ['model.embed_tokens', 'tokenEmbd'],
    ['model.final_layernorm', 'outputNorm', 'bias'],
    ['lm_head', 'output', 'bias'],
    ['model.layers.{block}.input_layernorm', 'attnNorm', 'bias'],
    ['model.layers.{block}.self_attn.q_proj', 'attnQ', 'bias'],
    ['model.layers.{block}.self_attn.k_proj', 'attnK', 'bias'],
    ['model.layers.{block}.self_attn.v_proj', 'attnV', 'bias'],
    ['model.layers.{block}.self_attn.dense', 'attnOutput', 'bias'],
    ['model.layers.{block}.mlp.fc1', 'ffnUp', 'bias'],
    ['model.layers.{block}.mlp.fc2', 'ffnDown', 'bias'],
  ],
  tokenizer: 'byteLevel',
})

const PHI3_HPARAMS: readonly HparamRow[] = [
  ['context_length', 'u32', ['n_positions', 'max_position_embeddings'], 'required'],
  ['rope.scaling.original_context_length', 'u32', (config: Config) => readUint(ropeParameters(config).full, 'original_max_position_embeddings')],
  ['embedding_length', 'u32', ['hidden_size', 'n_embd'], 'required'],
  ['feed_forward_length', 'u32', 'intermediate_size', 'required'],
  ['block_count', 'u32', blockCount],
  ['attention.head_count', 'u32', headCount],
  ['attention.head_count_kv', 'u32', ['num_key_value_heads', 'n_head_kv'], 'required'],
  ['attention.layer_norm_rms_epsilon', 'f32', 'rms_norm_eps', 'required'],
  ['rope.dimension_count', 'u32', rotaryShareOfHidden(1)],
  ['rope.freq_base', 'f32', ropeFreqBase],
  ['general.file_type', 'u32', { given: 'fileType' }],
  ['attention.sliding_window', 'count', (config: Config) => optionalUint(config, 'sliding_window') ?? 0], // 0 tells Phi-4 from Phi-3
]

const PHI3_BODY: readonly TensorRow[] = [...ENDS, ...NORMS]

export const phi3 = defineArchitecture({
  gguf: 'phi3',
  huggingFace: ['Phi3ForCausalLM', 'Phi4ForCausalLMV'],
  modelType: 'phi3',
  defaults: {
    phi3: {
      missing: { max_position_embeddings: 4096, original_max_position_embeddings: 4096, rms_norm_eps: 1e-5, rope_theta: 10000 },
      derived: ALL_HEADS,
    },
  },
  hparams: PHI3_HPARAMS,
  earlyHparams: [['rope.scaling.attn_factor', 'f32', longRopeAttentionFactor]],
  tensors: [
    ...PHI3_BODY,
    ['model.layers.{block}.self_attn.qkv_proj', 'attnQkv'],
    ['model.layers.{block}.self_attn.o_proj', 'attnOutput'],
    ['model.layers.{block}.mlp.gate_up_proj', 'ffnUp'],
    ['model.layers.{block}.mlp.down_proj', 'ffnDown'],
  ],
  extras: [ropeFactorsLong(rotaryShareOfHidden(1))],
  tokenizer: 'phi3',
})

export const phimoe = defineArchitecture({
  gguf: 'phimoe',
  huggingFace: ['PhiMoEForCausalLM'],
  modelType: 'phimoe',
  defaults: { phimoe: { missing: { max_position_embeddings: 131072, rms_norm_eps: 1e-5, rope_theta: 1e6, num_key_value_heads: 8, num_experts_per_tok: 2 } } },
  hparams: [
    ...PHI3_HPARAMS,
    ['expert_used_count', 'u32', ['num_experts_per_tok', 'num_experts_per_token'], 'required'],
    ['expert_count', 'u32', ['num_local_experts', 'num_experts'], 'required'],
  ],
  earlyHparams: [['rope.scaling.attn_factor', 'f32', longRopeAttentionFactor]],
  tensors: [
    ['model.embed_tokens', 'tokenEmbd'],
    ['model.norm', 'outputNorm', 'bias?'],
    ['lm_head', 'output', 'tied', 'bias?'],
    ['model.layers.{block}.input_layernorm', 'attnNorm', 'bias?'],
    ['model.layers.{block}.post_attention_layernorm', 'ffnNorm', 'bias?'],
    ...ATTENTION,
    ['model.layers.{block}.block_sparse_moe.gate', 'ffnGateInp'],
    ['model.layers.{block}.block_sparse_moe.experts.{expert}.w1', 'ffnGateExps', 'stackExperts'],
    ['model.layers.{block}.block_sparse_moe.experts.{expert}.w2', 'ffnDownExps', 'stackExperts'],
    ['model.layers.{block}.block_sparse_moe.experts.{expert}.w3', 'ffnUpExps', 'stackExperts'],
  ],
  extras: [ropeFactorsLong(rotaryShareOfHidden(1))],
  tokenizer: 'phi3',
})
