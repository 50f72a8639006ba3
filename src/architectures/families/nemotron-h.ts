/**
 * Nemotron-H and Nemotron 3: layers of state space, attention, or feed-forward alone, one after the other.
 *
 * Law: conversion/nemotron.py `NemotronHModel` (llama.cpp 0c1e570). Wider here: whether there are
 * experts is what the list of layers says, not whether the config has a number for them (docs/numerics.md). Narrower: the
 * layers that predict further tokens are left out.
 */
import { isArray, isObject, type Json } from '../../core/json.js'
import { saying } from '../common-rows.js'
import { readUint, type Config } from '../config.js'
import { defineArchitecture, withoutKeys, withRow, type ArchitectureDefinition, type TensorRow } from '../define.js'
import { blockCount, evenHeadSize, optionalUint } from '../dimensions.js'
import type { HparamRow } from '../hparams.js'
import { ofLayers, sized, ssmHparams, type Kind } from '../hybrid-hparams.js'
import { GRANITE_HPARAMS } from './granite.js'
import { mamba2Mixer } from './mamba.js'

const KIND_OF: ReadonlyMap<string, string> = new Map([
  ...[['M'], ['mamba'], ['linear_attention']].map(([name = '']): [string, string] => [name, 'mamba']),
  ...[['*'], ['attention'], ['full_attention']].map(([name = '']): [string, string] => [name, 'attention']),
  ...[['E'], ['moe']].map(([name = '']): [string, string] => [name, 'moe']),
  ...[['-'], ['mlp']].map(([name = '']): [string, string] => [name, 'mlp']),
])

/** Of each layer, by letters, by a list of names, or by one of objects. */
function kinds(config: Config): readonly (string | undefined)[] {
  const { values } = config
  const listed: Json =
    [values.get('hybrid_override_pattern'), values.get('layers_block_type'), values.get('block_configs')].find((one) => (one ?? '') !== '') ?? ''
  const names = typeof listed === 'string' ? [...listed] : isArray(listed) ? listed.map((one) => (isObject(one) ? one.get('block_type') : one)) : []
  return names.map((name) => KIND_OF.get(typeof name === 'string' ? name : ''))
}

const is =
  (kind: string): Kind =>
  (config, block) =>
    kinds(config)[block] === kind
const isMoe = (config: Config): boolean => kinds(config).includes('moe')
const layerCount = (config: Config): number => kinds(config).length || blockCount(config)
const headSize = sized('head_dim', 'attention_head_dim')
const keyValueHeads = sized('num_key_value_heads', 'n_head_kv')

/** Their metadata. @param rest  what comes behind the state-space part */
export const nemotronHparams = (...rest: readonly HparamRow[]): HparamRow[] => [
  ...withRow(withRow(withoutKeys(GRANITE_HPARAMS, 'attention.key_length', 'attention.value_length'), ['rope.dimension_count', 'u32', evenHeadSize]), [
    'block_count',
    'u32',
    layerCount,
  ]),
  ...ssmHparams((config) => readUint(config, 'mamba_num_heads') * readUint(config, 'mamba_head_dim')),
  ['attention.head_count_kv', 'i32[]', ofLayers(is('attention'), keyValueHeads, layerCount)],
  ['rope.scaling.finetuned', 'bool', { always: false }],
  ['context_length', 'u32', { always: 2 ** 20 }],
  ['attention.key_length', 'u32', headSize],
  ['attention.value_length', 'u32', headSize],
  ...rest,
]

/** Behind the lengths of the experts. */
export const NEMOTRON_MOE_HPARAMS: readonly HparamRow[] = [
  ['expert_shared_feed_forward_length', 'u32', 'moe_shared_expert_intermediate_size', 'required'],
  ['expert_shared_count', 'count', 'n_shared_experts', 'required'],
  ['expert_weights_norm', 'bool', 'norm_topk_prob', 'required'],
  ['expert_weights_scale', 'f32', 'routed_scaling_factor', 'required'],
  ['moe_latent_size', 'u32', (config: Config) => optionalUint(config, 'moe_latent_size')],
]

const ATTENTION: readonly TensorRow[] = [
  ['backbone.layers.{block}.mixer.q_proj', 'attnQ', 'unpermuteRope:heads', 'bias?'],
  ['backbone.layers.{block}.mixer.k_proj', 'attnK', 'unpermuteRope:kvHeads', 'bias?'],
  ['backbone.layers.{block}.mixer.v_proj', 'attnV', 'bias?'],
  ['backbone.layers.{block}.mixer.o_proj', 'attnOutput', 'bias?'],
]

const MLP: readonly TensorRow[] = [
  ['backbone.layers.{block}.mixer.up_proj', 'ffnUp', 'bias?'],
  ['backbone.layers.{block}.mixer.down_proj', 'ffnDown', 'bias?'],
]

/** Layers of experts. */
export const NEMOTRON_EXPERTS: readonly TensorRow[] = [
  ['backbone.layers.{block}.mixer.experts.{expert}.down_proj', 'ffnDownExps', 'stackExperts', 'layers:moe'],
  ['backbone.layers.{block}.mixer.experts.{expert}.up_proj', 'ffnUpExps', 'stackExperts', 'layers:moe'],
  ['backbone.layers.{block}.mixer.gate', 'ffnGateInp', 'layers:moe'],
  ['backbone.layers.{block}.mixer.gate.e_score_correction_bias', 'expProbsB', 'exactBias', 'layers:moe'],
  ['backbone.layers.{block}.mixer.gate.e_score_correction', 'expProbsB', 'noWeight', 'bias', 'layers:moe'],
  ['backbone.layers.{block}.mixer.shared_experts.up_proj', 'ffnUpShexp', 'layers:moe'],
  ['backbone.layers.{block}.mixer.shared_experts.down_proj', 'ffnDownShexp', 'layers:moe'],
  ['backbone.layers.{block}.mixer.fc1_latent_proj', 'ffnLatentDown', 'layers:latent'],
  ['backbone.layers.{block}.mixer.fc2_latent_proj', 'ffnLatentUp', 'layers:latent'],
]

/** What all of them have. */
export const NEMOTRON = {
  modelType: 'nemotron_h',
  defaults: {
    nemotron_h: {
      missing: {
        ...{ num_key_value_heads: 8, max_position_embeddings: 4096, layer_norm_epsilon: 1e-5, ssm_state_size: 128, mamba_num_heads: 128 },
        ...{ mamba_head_dim: 64, n_groups: 8, conv_kernel: 4, n_shared_experts: 1, num_experts_per_tok: 2, routed_scaling_factor: 1, n_group: 1 },
        ...{ topk_group: 1, norm_topk_prob: true },
      },
    },
  },
  prefixes: [
    ['backbone.', 'backbone.'],
    ['backbone.', 'model.'],
  ],
  blockCount: layerCount,
  layers: {
    ...{ mamba: is('mamba'), attention: is('attention'), mlp: is('mlp'), moe: is('moe') },
    latent: (config: Config, block: number) => is('moe')(config, block) && optionalUint(config, 'moe_latent_size') !== undefined,
  },
  tensors: [
    ['backbone.embeddings', 'tokenEmbd'],
    ['backbone.norm_f', 'outputNorm'],
    ['lm_head', 'output', 'tied'],
    ['backbone.layers.{block}.norm', 'attnNorm'],
    ...saying(mamba2Mixer('backbone.layers.{block}.mixer'), 'layers:mamba'),
    ...saying(ATTENTION, 'layers:attention'),
    ...saying(MLP, 'layers:mlp'),
  ],
  rename: (name: string) => (name.startsWith('mtp.') ? undefined : name),
  tokenizer: 'nemotronH',
} as const satisfies Partial<ArchitectureDefinition>

export const nemotronH = defineArchitecture({
  ...NEMOTRON,
  gguf: 'nemotron_h',
  huggingFace: ['NemotronHForCausalLM'],
  hparams: withoutKeys(
    nemotronHparams(['feed_forward_length', 'i32[]', ofLayers(is('mlp'), sized('intermediate_size', 'n_inner', 'hidden_dim'), layerCount)]),
    ...['expert_count', 'expert_used_count', 'expert_group_count', 'expert_group_used_count'],
  ),
})

export const nemotronHMoe = defineArchitecture({
  ...NEMOTRON,
  gguf: 'nemotron_h_moe',
  huggingFace: ['NemotronHForCausalLM'],
  when: isMoe,
  hparams: nemotronHparams(
    ['feed_forward_length', 'i32[]', ofLayers(is('moe'), sized('moe_intermediate_size'), layerCount)],
    ['expert_feed_forward_length', 'u32', 'moe_intermediate_size', 'required'],
    ...NEMOTRON_MOE_HPARAMS,
  ),
  tensors: [...NEMOTRON.tensors, ...NEMOTRON_EXPERTS],
})
