/**
 * Ling and Ring, 1 and 2.
 *
 * Law: conversion/bailingmoe.py `BailingMoeModel`, `BailingMoeV2Model` (llama.cpp 0c1e570). Narrower here: an output that is normalised by
 * columns (`norm_head`) is refused.
 */
import { EXPERTS, GATED_MLP, NORMS, saying, SHARED_EXPERTS } from '../common-rows.js'
import { readUint, type Config } from '../config.js'
import { defineArchitecture, type TensorRow } from '../define.js'
import { headDim, optionalUint } from '../dimensions.js'
import type { HparamRow } from '../hparams.js'
import { afterDenseLayers } from '../layer-kinds.js'
import { withPredictors } from '../next-tokens.js'
import { rotaryDimensions, TEXT_HPARAMS } from '../text-hparams.js'

const BODY: readonly TensorRow[] = [
  ['model.word_embeddings', 'tokenEmbd'],
  ['model.norm', 'outputNorm'],
  ['lm_head', 'output', 'tied'],
  ['model.layers.{block}.attention.dense', 'attnOutput', 'bias?'],
  ...[...NORMS, ...EXPERTS, ...SHARED_EXPERTS, ...saying(GATED_MLP, 'layers:dense')],
]

const KINDS = { moe: afterDenseLayers, dense: (config: Config, block: number) => !afterDenseLayers(config, block) }

const FIRST: readonly HparamRow[] = [
  ['leading_dense_block_count', 'count', 'first_k_dense_replace', 'required'],
  ['vocab_size', 'u32', 'vocab_size', 'required'],
  ['expert_feed_forward_length', 'u32', 'moe_intermediate_size', 'required'],
]

const LAST: readonly HparamRow[] = [
  ['expert_shared_count', 'count', 'num_shared_experts', 'required'],
  ['expert_weights_norm', 'bool', 'norm_topk_prob', 'required'],
]

export const bailing = defineArchitecture({
  gguf: 'bailingmoe',
  huggingFace: ['BailingMoeForCausalLM'],
  when: (config) => config.values.get('norm_head') !== true,
  modelType: 'bailing_moe',
  hparams: [...TEXT_HPARAMS, ['rope.dimension_count', 'u32', headDim], ...FIRST, ['expert_weights_scale', 'f32', { always: 1 }], ...LAST],
  layers: KINDS,
  tensors: [...BODY, ['model.layers.{block}.attention.query_key_value', ['attnQ', 'attnK', 'attnV'], 'splitQkvRowsRope']],
  tokenizer: 'byteLevel',
})

const sharedLength = (config: Config): number =>
  optionalUint(config, 'moe_shared_expert_intermediate_size') ?? readUint(config, 'moe_intermediate_size') * readUint(config, 'num_shared_experts')

export const bailing2 = defineArchitecture(
  withPredictors({
    gguf: 'bailingmoe2',
    huggingFace: ['BailingMoeV2ForCausalLM'],
    modelType: 'bailing_moe',
    hparams: [
      ...TEXT_HPARAMS,
      ['rope.dimension_count', 'u32', rotaryDimensions(0.5)],
      ...FIRST,
      ['expert_shared_feed_forward_length', 'u32', sharedLength],
      ['expert_weights_scale', 'f32', 'routed_scaling_factor', 'required'],
      ...LAST,
    ],
    layers: { ...KINDS, normed: (config) => config.values.get('use_qk_norm') === true },
    tensors: [
      ...BODY,
      ['model.layers.{block}.attention.query_key_value', 'attnQkv', 'bias?'],
      ['model.layers.{block}.attention.query_layernorm', 'attnQNorm', 'layers:normed'],
      ['model.layers.{block}.attention.key_layernorm', 'attnKNorm', 'layers:normed'],
      ['model.layers.{block}.mlp.gate.expert_bias', 'expProbsB', 'exactBias', 'optional'],
      ['model.layers.{block}.final_layernorm', 'layerOutputNorm', 'optional'],
    ],
    tokenizer: 'byteLevel',
  }),
)
