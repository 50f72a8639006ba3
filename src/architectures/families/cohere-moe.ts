/**
 * Command with experts.
 *
 * Law: conversion/command_r.py `Cohere2MoeModel` (llama.cpp 0c1e570).
 */
import { UnsupportedError } from '../../core/errors.js'
import { EXPERTS, SHARED_EXPERTS, withZeroBiases } from '../common-rows.js'
import { readUint, type Config } from '../config.js'
import { defineArchitecture } from '../define.js'
import { blockCount } from '../dimensions.js'
import { listedSparse, slidingLayers } from '../layer-kinds.js'
import { allBlocks, PREDICTOR_ROWS, predictorCount } from '../next-tokens.js'
import { TEXT_HPARAMS } from '../text-hparams.js'

const shared = ({ values }: Config): number => Number(values.get('num_shared_experts') ?? 0)

/** How many layers there are before the first with experts. */
function leadingDense(config: Config): number {
  const first = Array.from({ length: blockCount(config) }, (_, block) => block).findIndex((block) => listedSparse(config, block))
  return first < 0 ? blockCount(config) : first
}

function sharedCount(config: Config): number | undefined {
  if (shared(config) === 0) return undefined
  if ((config.values.get('shared_expert_combination_strategy') ?? 'average') === 'average') return shared(config)
  throw new UnsupportedError('shared_expert_combination_strategy is not average; llama.cpp computes no other.', { file: config.file })
}

export const cohere2Moe = defineArchitecture({
  gguf: 'cohere2moe',
  huggingFace: ['Cohere2MoeForCausalLM'],
  modelType: 'cohere2_moe',
  defaults: {
    cohere2_moe: {
      missing: {
        ...{ logit_scale: 0.0625, num_key_value_heads: 64, head_dim: 128, max_position_embeddings: 8192, layer_norm_eps: 1e-5, rope_theta: 10000 },
        ...{ sliding_window: 4096, num_experts_per_tok: 2, num_shared_experts: 0, expert_selection_fn: 'softmax', norm_topk_prob: true },
      },
    },
  },
  hparams: [
    ...TEXT_HPARAMS,
    ['block_count', 'u32', allBlocks],
    ['logit_scale', 'f32', 'logit_scale', 'required'],
    ['attention.sliding_window', 'u32', 'sliding_window', 'required'],
    ['attention.sliding_window_pattern', 'bool[]', slidingLayers],
    ['vocab_size', 'u32', 'vocab_size', 'required'],
    ['expert_feed_forward_length', 'u32', 'intermediate_size', 'required'],
    ['leading_dense_block_count', 'count', leadingDense],
    ['expert_weights_norm', 'bool', (config) => config.values.get('norm_topk_prob') === true],
    ['expert_shared_count', 'u32', sharedCount],
    ['expert_shared_feed_forward_length', 'u32', (config) => (shared(config) === 0 ? undefined : readUint(config, 'intermediate_size') * shared(config))],
    ['nextn_predict_layers', 'u32', (config) => predictorCount(config) || undefined],
    ['rope.dimension_count', 'u32', 'head_dim', 'required'],
    ['rope.scaling.type', 'string', { always: 'none' }],
  ],
  blockCount: allBlocks,
  requiredBlocks: blockCount,
  laterBlocks: 'leftOut',
  layers: {
    moe: listedSparse,
    dense: (config, block) => !listedSparse(config, block),
    sharedExpert: (config, block) => listedSparse(config, block) && shared(config) > 0,
  },
  tensors: [
    ...EXPERTS,
    ...SHARED_EXPERTS.map(([source, role]) => [source, role, role === 'ffnGateInp' ? 'layers:moe' : 'layers:sharedExpert'] as const),
    ...withZeroBiases([
      ['model.norm', 'outputNorm'],
      ['model.layers.{block}.input_layernorm', 'attnNorm'],
      ['model.layers.{block}.self_attn.q_proj', 'attnQ'],
      ['model.layers.{block}.self_attn.k_proj', 'attnK'],
      ['model.layers.{block}.self_attn.v_proj', 'attnV'],
      ['model.layers.{block}.self_attn.o_proj', 'attnOutput'],
      ['model.layers.{block}.mlp.gate_proj', 'ffnGate', 'layers:dense'],
      ['model.layers.{block}.mlp.up_proj', 'ffnUp', 'layers:dense'],
      ['model.layers.{block}.mlp.down_proj', 'ffnDown', 'layers:dense'],
    ]),
    ['model.embed_tokens', 'tokenEmbd'],
    ['lm_head', 'output', 'tied'],
    ...PREDICTOR_ROWS,
  ],
  tokenizer: 'byteLevel',
})
