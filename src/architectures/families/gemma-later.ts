/**
 * Gemma 3n and 4: their norms are stored as they are, and layers have inputs of their own.
 *
 * Law: conversion/gemma.py `Gemma3NModel`, `Gemma4Model` (llama.cpp 0c1e570).
 */
import { GATED_MLP } from '../common-rows.js'
import { readCounts, readUint, type Config } from '../config.js'
import { defineArchitecture, withRow, type TensorRow } from '../define.js'
import { blockCount, MAX_BLOCKS, optionalFloat, optionalUint } from '../dimensions.js'
import { proportionalRopeFactors } from '../extras.js'
import type { HparamRow } from '../hparams.js'
import { slidingLayers } from '../layer-kinds.js'
import { fullHeadDim, fullKeyValueHeads } from '../layer-overrides.js'
import { sparsityScales } from '../normal-quantile.js'
import { ropeParameters } from '../rope.js'
import { GEMMA3_HPARAMS } from './gemma.js'

const BODY: readonly TensorRow[] = [
  ['model.norm', 'outputNorm'],
  ['lm_head', 'output', 'optional'],
  ...GATED_MLP,
  ['model.layers.{block}.self_attn.q_proj', 'attnQ', 'bias?'],
  ['model.layers.{block}.self_attn.k_proj', 'attnK', 'bias?', 'layers:ownKeys'],
  ['model.layers.{block}.self_attn.v_proj', 'attnV', 'bias?', 'optional'], // where keys are values too, there is none
  ['model.layers.{block}.self_attn.o_proj', 'attnOutput', 'bias?'],
  ['model.layers.{block}.self_attn.q_norm', 'attnQNorm'],
  ['model.layers.{block}.self_attn.k_norm', 'attnKNorm', 'layers:ownKeys'],
  ['model.layers.{block}.input_layernorm', 'attnNorm'],
  ['model.layers.{block}.post_attention_layernorm', 'postAttentionNorm'],
  ['model.layers.{block}.pre_feedforward_layernorm', 'ffnNorm'],
  ['model.layers.{block}.post_feedforward_layernorm', 'postFfwNorm'],
]

/** Embeddings that every layer adds again. */
const PER_LAYER_INPUTS: readonly TensorRow[] = [
  ['model.per_layer_model_projection', 'perLayerModelProj', 'layers:perLayer'],
  ['model.per_layer_projection_norm', 'perLayerProjNorm', 'layers:perLayer'],
  ['model.layers.{block}.per_layer_input_gate', 'inpGate', 'layers:perLayer'],
  ['model.layers.{block}.per_layer_projection', 'proj', 'layers:perLayer'],
  ['model.layers.{block}.post_per_layer_input_norm', 'postNorm', 'layers:perLayer'],
]

const hasPerLayerInputs = ({ values }: Config): boolean =>
  typeof values.get('hidden_size_per_layer_input') === 'number' && values.get('hidden_size_per_layer_input') !== 0

/** The last layers take keys and values of earlier ones. */
function hasOwnKeys(config: Config, block: number): boolean {
  const shared = config.values.get('num_kv_shared_layers')
  return block < blockCount(config) - (typeof shared === 'number' ? shared : 0)
}

/** One number for all layers, or a list. */
function lengthsPerLayer(config: Config): readonly number[] {
  return typeof config.values.get('intermediate_size') === 'number'
    ? Array.from({ length: blockCount(config) }, () => readUint(config, 'intermediate_size'))
    : readCounts(config, 'intermediate_size', MAX_BLOCKS)
}

export const gemma3n = defineArchitecture({
  gguf: 'gemma3n',
  huggingFace: ['Gemma3nForCausalLM', 'Gemma3nForConditionalGeneration'],
  modelType: 'gemma3n_text',
  defaults: {
    gemma3n_text: {
      missing: {
        ...{ max_position_embeddings: 32768, rms_norm_eps: 1e-6, num_key_value_heads: 2, head_dim: 256, rope_theta: 1e6, rope_local_base_freq: 10000 },
        ...{ sliding_window: 512, final_logit_softcapping: 30, hidden_size_per_layer_input: 256 },
        ...{ altup_active_idx: 0, altup_num_inputs: 4, num_kv_shared_layers: 15 },
      },
    },
  },
  hparams: [
    ...withRow(GEMMA3_HPARAMS, ['feed_forward_length', 'i32[]', lengthsPerLayer]),
    ['altup.active_idx', 'count', 'altup_active_idx', 'required'],
    ['altup.num_inputs', 'u32', 'altup_num_inputs', 'required'],
    ['embedding_length_per_layer_input', 'u32', 'hidden_size_per_layer_input', 'required'],
    ['attention.shared_kv_layers', 'count', 'num_kv_shared_layers', 'required'],
    ['activation_sparsity_scale', 'f32[]', sparsityScales],
    ['attention.sliding_window_pattern', 'bool[]', slidingLayers],
  ],
  layers: { perLayer: () => true, ownKeys: hasOwnKeys },
  tensors: [
    ['model.embed_tokens', 'tokenEmbd', 'padToVocabulary'],
    ['model.embed_tokens_per_layer', 'perLayerTokenEmbd', 'padToVocabulary'],
    ...[...BODY, ...PER_LAYER_INPUTS],
    ['model.altup_projections.{expert}', 'altupProj', 'stackAltup'],
    ['model.altup_unembed_projections.{expert}', 'altupUnembdProj', 'stackAltup'],
    ['model.layers.{block}.altup.correct_output_scale', 'altupCorrectScale', 'exact'],
    ['model.layers.{block}.altup.correction_coefs', 'altupCorrectCoef'],
    ['model.layers.{block}.altup.prediction_coefs', 'altupPredictCoef'],
    ['model.layers.{block}.altup.modality_router', 'altupRouter'],
    ['model.layers.{block}.altup.router_norm', 'altupRouterNorm'],
    ['model.layers.{block}.laurel.linear_left', 'laurelL'],
    ['model.layers.{block}.laurel.linear_right', 'laurelR'],
    ['model.layers.{block}.laurel.post_laurel_norm', 'laurelPostNorm'],
  ],
  tokenizer: 'gemma3',
})

const GEMMA4_HPARAMS: readonly HparamRow[] = [
  ...GEMMA3_HPARAMS,
  ['attention.shared_kv_layers', 'count', 'num_kv_shared_layers', 'required'],
  ['embedding_length_per_layer_input', 'count', (config) => (hasPerLayerInputs(config) ? readUint(config, 'hidden_size_per_layer_input') : 0)],
  ['attention.sliding_window_pattern', 'bool[]', slidingLayers],
  ['attention.key_length', 'u32', fullHeadDim],
  ['attention.value_length', 'u32', fullHeadDim],
  ['attention.key_length_swa', 'u32', 'head_dim', 'required'],
  ['attention.value_length_swa', 'u32', 'head_dim', 'required'],
  ['expert_feed_forward_length', 'u32', ['expert_intermediate_size', 'moe_intermediate_size']],
  ['feed_forward_length', 'i32[]', doubleWideLengths],
  ['attention.head_count_kv', 'i32[]', keyValueHeads],
  ['rope.dimension_count', 'u32', fullHeadDim],
  [
    'rope.dimension_count_swa',
    'u32',
    (config) => Math.trunc(readUint(config, 'head_dim') * (optionalFloat(ropeParameters(config).section, 'partial_rotary_factor') ?? 1)),
  ],
]

/** Layers that share keys and values of others may be twice as wide. */
function doubleWideLengths(config: Config): readonly number[] | undefined {
  if (config.values.get('use_double_wide_mlp') !== true) return undefined
  const [blocks, length] = [blockCount(config), readUint(config, 'intermediate_size')]
  const firstShared = blocks - (optionalUint(config, 'num_kv_shared_layers') ?? 0)
  return Array.from({ length: blocks }, (_, block) => (block < firstShared ? length : 2 * length))
}

function keyValueHeads(config: Config): readonly number[] | undefined {
  const [full, sliding] = [fullKeyValueHeads(config), optionalUint(config, 'num_key_value_heads')]
  return full === undefined || sliding === undefined ? undefined : slidingLayers(config)?.map((slides) => (slides ? sliding : full))
}

export const gemma4 = defineArchitecture({
  gguf: 'gemma4',
  huggingFace: ['Gemma4ForCausalLM', 'Gemma4ForConditionalGeneration', 'Gemma4UnifiedForConditionalGeneration'],
  modelType: 'gemma4_text',
  defaults: {
    gemma4_text: {
      missing: {
        ...{ max_position_embeddings: 131072, rms_norm_eps: 1e-6, num_key_value_heads: 4, head_dim: 256, sliding_window: 512, num_kv_shared_layers: 0 },
        ...{ hidden_size_per_layer_input: 256 },
      },
    },
  },
  hparams: GEMMA4_HPARAMS,
  layers: { perLayer: hasPerLayerInputs, ownKeys: hasOwnKeys, moe: ({ values }) => values.get('enable_moe_block') === true },
  tensors: [
    ['model.embed_tokens', 'tokenEmbd', 'cropToTokens'],
    ['model.embed_tokens_per_layer', 'perLayerTokenEmbd', 'layers:perLayer'],
    ...[...BODY, ...PER_LAYER_INPUTS],
    ['model.layers.{block}.layer_scalar', 'layerOutputScale', 'exact'],
    ['model.layers.{block}.post_feedforward_layernorm_1', 'postFfwNorm1', 'layers:moe'],
    ['model.layers.{block}.post_feedforward_layernorm_2', 'postFfwNorm2', 'layers:moe'],
    ['model.layers.{block}.pre_feedforward_layernorm_2', 'preFfwNorm2', 'layers:moe'],
    ['model.layers.{block}.router.proj', 'ffnGateInp', 'layers:moe'],
    ['model.layers.{block}.router.scale', 'ffnGateInp', 'exactScale', 'layers:moe'],
    ['model.layers.{block}.router.per_expert_scale', 'ffnDownExps', 'exactScale', 'layers:moe'],
    ['model.layers.{block}.experts.gate_up_proj', 'ffnGateUpExps', 'exact', 'layers:moe'],
    ['model.layers.{block}.experts.down_proj', 'ffnDownExps', 'exact', 'layers:moe'],
  ],
  extras: [proportionalRopeFactors],
  tokenizer: 'gemma4',
})
