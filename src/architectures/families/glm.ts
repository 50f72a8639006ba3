/**
 * ChatGLM 2 to 4, GLM-4 and GLM-4.5 with experts.
 *
 * Law: conversion/chatglm.py `ChatGLMModel`, glm.py `Glm4Model`, `Glm4MoeModel` (llama.cpp 0c1e570). Wider here: the context
 * length of GlmForCausalLM is its config's, not the hidden size (docs/numerics.md).
 */
import { ATTENTION, ENDS, EXPERTS, GATED_MLP, NORMS, saying, SHARED_EXPERTS } from '../common-rows.js'
import type { Config } from '../config.js'
import { defineArchitecture, type TensorRow } from '../define.js'
import { blockCount, evenHeadSize, headCount, headDim, hiddenSize, optionalFloat, optionalUint } from '../dimensions.js'
import type { HparamRow } from '../hparams.js'
import { afterDenseLayers } from '../layer-kinds.js'
import { withPredictors } from '../next-tokens.js'
import { rotaryDimensions, TEXT_HPARAMS } from '../text-hparams.js'

const CHATGLM_HPARAMS: readonly HparamRow[] = [
  ['context_length', 'u32', (config) => optionalUint(config, 'seq_length', 'max_position_embeddings') ?? hiddenSize(config)],
  ['embedding_length', 'u32', hiddenSize],
  ['feed_forward_length', 'u32', (config) => optionalUint(config, 'ffn_hidden_size', 'intermediate_size') ?? 4 * hiddenSize(config)],
  ['block_count', 'u32', blockCount],
  ['attention.head_count', 'u32', headCount],
  ['attention.head_count_kv', 'u32', (config) => optionalUint(config, 'multi_query_group_num', 'num_key_value_heads') ?? headCount(config)],
  ['attention.layer_norm_rms_epsilon', 'f32', (config) => optionalFloat(config, 'layernorm_epsilon') ?? 1e-5],
  ['general.file_type', 'u32', { given: 'fileType' }],
  ['rope.dimension_count', 'u32', rotaryDimensions(0.5, (config) => optionalUint(config, 'attention_dim') ?? evenHeadSize(config))],
  ['tokenizer.ggml.add_bos_token', 'bool', { always: false }],
  ['rope.freq_base', 'f32', (config) => 10000 * (optionalFloat(config, 'rope_ratio') ?? 1)],
]

export const chatglm = defineArchitecture({
  gguf: 'chatglm',
  huggingFace: ['GlmForCausalLM'],
  modelType: 'glm',
  defaults: { glm: { missing: { max_position_embeddings: 131072, num_key_value_heads: 2, partial_rotary_factor: 0.5 } } },
  hparams: CHATGLM_HPARAMS,
  tensors: [...[...ENDS, ...NORMS, ...ATTENTION], ['model.layers.{block}.mlp.gate_up_proj', 'ffnUp'], ['model.layers.{block}.mlp.down_proj', 'ffnDown']],
  tokenizer: 'chatGlm',
})

/** The same from THUDM's own classes. */
export const chatglmOwn = defineArchitecture({
  gguf: 'chatglm',
  huggingFace: ['ChatGLMModel', 'ChatGLMForConditionalGeneration'],
  modelType: 'chatglm',
  hparams: CHATGLM_HPARAMS,
  prefixes: [
    ['transformer.', 'transformer.'],
    ['transformer.', ''],
  ],
  tensors: [
    ['transformer.embedding.word_embeddings', 'tokenEmbd'],
    ['transformer.encoder.final_layernorm', 'outputNorm'],
    ['transformer.output_layer', 'output', 'tied'],
    ['transformer.encoder.layers.{block}.input_layernorm', 'attnNorm'],
    ['transformer.encoder.layers.{block}.self_attention.query_key_value', 'attnQkv', 'bias?'],
    ['transformer.encoder.layers.{block}.self_attention.dense', 'attnOutput', 'bias?'],
    ['transformer.encoder.layers.{block}.post_attention_layernorm', 'ffnNorm'],
    ['transformer.encoder.layers.{block}.mlp.dense_h_to_4h', 'ffnUp', 'bias?'],
    ['transformer.encoder.layers.{block}.mlp.dense_4h_to_h', 'ffnDown', 'bias?'],
  ],
  leftOut: ['transformer.rotary_pos_emb.inv_freq'],
  tokenizer: 'chatGlm',
})

const GLM4_BODY: readonly TensorRow[] = [
  ...ENDS,
  ['model.layers.{block}.self_attn.q_proj', 'attnQ', 'pairsApart', 'bias?'],
  ['model.layers.{block}.self_attn.k_proj', 'attnK', 'pairsApart', 'bias?'],
  ...ATTENTION.slice(2),
  ['model.layers.{block}.input_layernorm', 'attnNorm'],
  ['model.layers.{block}.post_attention_layernorm', 'ffnNorm'],
  ['model.layers.{block}.post_self_attn_layernorm', 'postAttentionNorm'],
  ['model.layers.{block}.post_mlp_layernorm', 'postFfwNorm'],
  ['model.layers.{block}.mlp.gate_up_proj', 'ffnUp'],
  ['model.layers.{block}.mlp.down_proj', 'ffnDown'],
]

export const glm4 = defineArchitecture({
  gguf: 'glm4',
  huggingFace: ['Glm4ForCausalLM', 'Glm4vForConditionalGeneration'],
  modelType: 'glm4',
  defaults: {
    glm4: {
      missing: {
        max_position_embeddings: 131072,
        rms_norm_eps: 1.5625e-7,
        rope_theta: 10000,
        num_key_value_heads: 2,
        head_dim: 128,
        partial_rotary_factor: 0.5,
      },
    },
    glm4v_text: { missing: { max_position_embeddings: 32768, rms_norm_eps: 1e-5, rope_theta: 10000, num_key_value_heads: 2 } },
  },
  hparams: [...TEXT_HPARAMS, ['rope.dimension_count', 'u32', rotaryDimensions(0.5)]],
  tensors: GLM4_BODY,
  tokenizer: 'glm4',
})

export const glm4moe = defineArchitecture(
  withPredictors({
    gguf: 'glm4moe',
    huggingFace: ['Glm4MoeForCausalLM', 'Glm4vMoeForConditionalGeneration'],
    modelType: 'glm4_moe',
    defaults: {
      glm4_moe: {
        missing: {
          ...{ max_position_embeddings: 131072, rms_norm_eps: 1e-5, rope_theta: 10000, num_key_value_heads: 8, partial_rotary_factor: 0.5 },
          ...{ num_experts_per_tok: 8, moe_intermediate_size: 1408, n_shared_experts: 1, routed_scaling_factor: 1, n_group: 1, topk_group: 1 },
          ...{ first_k_dense_replace: 1, norm_topk_prob: true },
        },
      },
    },
    hparams: [
      ...TEXT_HPARAMS,
      ['rope.dimension_count', 'u32', rotaryDimensions(0.5, headDim)],
      ['expert_count', 'u32', 'n_routed_experts'],
      ['expert_feed_forward_length', 'u32', 'moe_intermediate_size'],
      ['expert_shared_count', 'u32', 'n_shared_experts'],
      ['leading_dense_block_count', 'count', 'first_k_dense_replace'],
      ['expert_gating_func', 'u32', { always: 2 }],
      ['expert_weights_scale', 'f32', 'routed_scaling_factor'],
      ['expert_weights_norm', 'bool', 'norm_topk_prob'],
    ],
    layers: {
      moe: afterDenseLayers,
      dense: (config: Config, block: number) => !afterDenseLayers(config, block),
      normed: (config: Config) => config.values.get('use_qk_norm') === true,
    },
    tensors: [
      ...[...ENDS, ...ATTENTION, ...EXPERTS],
      ['model.layers.{block}.input_layernorm', 'attnNorm'],
      ['model.layers.{block}.post_attention_layernorm', 'postAttentionNorm'],
      ['model.layers.{block}.self_attn.q_norm', 'attnQNorm', 'layers:normed'],
      ['model.layers.{block}.self_attn.k_norm', 'attnKNorm', 'layers:normed'],
      ...saying(GATED_MLP, 'layers:dense'),
      ...SHARED_EXPERTS,
      ['model.layers.{block}.mlp.gate.e_score_correction_bias', 'expProbsB', 'exactBias', 'layers:moe'],
    ],
    tokenizer: 'glm4Moe',
  }),
)
