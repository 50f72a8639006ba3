/**
 * Jamba: state space in most layers, attention in every eighth, experts in every second.
 *
 * Law: conversion/jamba.py (llama.cpp 0c1e570).
 */
import { ATTENTION, feedForwardNamed, FINAL_ENDS, GATED_MLP, PRE_FF_NORMS, saying } from '../common-rows.js'
import { readUint, type Config } from '../config.js'
import { defineArchitecture } from '../define.js'
import { blockCount, optionalFloat, optionalUint } from '../dimensions.js'
import { everyNth, ofLayers, sized } from '../hybrid-hparams.js'

const hidden = sized('hidden_size', 'mamba_d_model')
const isAttention = (config: Config, block: number): boolean => everyNth(config, block, { period: 'attn_layer_period', offset: 'attn_layer_offset' })
const hasExperts = (config: Config, block: number): boolean => everyNth(config, block, { period: 'expert_layer_period', offset: 'expert_layer_offset' })

/** Mini-Jamba says `moe`; layers without experts have one that is not called so. */
function renamed(name: string, config: Config): string {
  const own = name.replace('.moe.', '.feed_forward.')
  const block = Number(/^model\.layers\.(\d{1,3})\./.exec(own)?.[1] ?? NaN)
  return Number.isNaN(block) || hasExperts(config, block) ? own : own.replace('.experts.0.', '.')
}

export const jamba = defineArchitecture({
  gguf: 'jamba',
  huggingFace: ['JambaForCausalLM'],
  modelType: 'jamba',
  defaults: {
    jamba: {
      missing: {
        ...{ num_key_value_heads: 8, rms_norm_eps: 1e-6, max_position_embeddings: 262144, num_experts_per_tok: 2, num_experts: 16 },
        ...{ expert_layer_period: 2, expert_layer_offset: 1, attn_layer_period: 8, attn_layer_offset: 4 },
        ...{ mamba_d_state: 16, mamba_d_conv: 4, mamba_expand: 2 },
      },
    },
  },
  hparams: [
    ['block_count', 'u32', blockCount],
    ['context_length', 'u32', ['max_position_embeddings', 'n_ctx'], 'required'],
    ['embedding_length', 'u32', hidden],
    ['feed_forward_length', 'u32', 'intermediate_size', 'required'],
    ['attention.head_count', 'u32', 'num_attention_heads', 'required'],
    ['attention.head_count_kv', 'i32[]', ofLayers(isAttention, sized('num_key_value_heads'))],
    ['ssm.conv_kernel', 'u32', 'mamba_d_conv', 4],
    ['ssm.inner_size', 'u32', (config: Config) => readUint(config, 'mamba_expand') * hidden(config)],
    ['ssm.state_size', 'u32', 'mamba_d_state', 16],
    [
      'ssm.time_step_rank',
      'u32',
      // `auto` is a sixteenth of the hidden state
      (config: Config) => (typeof config.values.get('mamba_dt_rank') === 'number' ? optionalUint(config, 'mamba_dt_rank') : Math.ceil(hidden(config) / 16)),
    ],
    ['attention.layer_norm_rms_epsilon', 'f32', (config: Config) => optionalFloat(config, 'layer_norm_epsilon', 'rms_norm_eps') ?? 1e-6],
    ['expert_count', 'u32', ['num_local_experts', 'num_experts'], 'required'],
    ['expert_used_count', 'u32', ['num_experts_per_tok', 'num_experts_per_token'], 'required'],
    ['general.file_type', 'u32', { given: 'fileType' }],
  ],
  layers: {
    attention: isAttention,
    mamba: (config, block) => !isAttention(config, block),
    moe: hasExperts,
    dense: (config, block) => !hasExperts(config, block),
  },
  tensors: [
    ...FINAL_ENDS,
    ...PRE_FF_NORMS,
    ...saying(ATTENTION, 'layers:attention'),
    ...saying(
      [
        ['model.layers.{block}.mamba.in_proj', 'ssmIn', 'bias?'],
        ['model.layers.{block}.mamba.conv1d', 'ssmConv1d', 'squeeze', 'bias?'],
        ['model.layers.{block}.mamba.x_proj', 'ssmX'],
        ['model.layers.{block}.mamba.dt_proj', 'ssmDt', 'bias'],
        ['model.layers.{block}.mamba.dt_layernorm', 'ssmDtNorm'],
        ['model.layers.{block}.mamba.b_layernorm', 'ssmBNorm'],
        ['model.layers.{block}.mamba.c_layernorm', 'ssmCNorm'],
        ['model.layers.{block}.mamba.A_log', 'ssmA', 'bare', 'negExp'],
        ['model.layers.{block}.mamba.D', 'ssmD', 'bare'],
        ['model.layers.{block}.mamba.out_proj', 'ssmOut', 'bias?'],
      ],
      'layers:mamba',
    ),
    ...saying(feedForwardNamed(GATED_MLP), 'layers:dense'),
    ['model.layers.{block}.feed_forward.router', 'ffnGateInp', 'layers:moe'],
    ['model.layers.{block}.feed_forward.experts.{expert}.down_proj', 'ffnDownExps', 'stackExperts', 'layers:moe'],
    ['model.layers.{block}.feed_forward.experts.{expert}.gate_proj', 'ffnGateExps', 'stackExperts', 'layers:moe'],
    ['model.layers.{block}.feed_forward.experts.{expert}.up_proj', 'ffnUpExps', 'stackExperts', 'layers:moe'],
  ],
  rename: renamed,
  tokenizer: 'jamba',
})
