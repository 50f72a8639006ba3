/**
 * Granite 4 hybrid, and its forms with attention only.
 *
 * Law: conversion/granite.py `GraniteHybridModel` (llama.cpp 0c1e570). Wider here: layer types as transformers 5 names them
 * (docs/numerics.md).
 */
import { isArray } from '../../core/json.js'
import { ENDS, NORMS, ROPE_ATTENTION, saying } from '../common-rows.js'
import { ALL_HEADS } from '../config-defaults.js'
import type { Config } from '../config.js'
import { defineArchitecture, type ArchitectureDefinition, type TensorRow } from '../define.js'
import { blockCount, hiddenSize, optionalUint } from '../dimensions.js'
import type { HparamRow } from '../hparams.js'
import { everyNth, ofLayers, sized, ssmHparams } from '../hybrid-hparams.js'
import { layerTypes } from '../layer-kinds.js'
import { GRANITE_DEFAULTS, GRANITE_HPARAMS, SHARED_LENGTH } from './granite.js'
import { mamba2Mixer } from './mamba.js'

const ATTENTION_TYPES = new Set(['attention', 'full_attention'])

/** By list of types, by list of layers, or by period. */
function isAttention(config: Config, block: number): boolean {
  const types = layerTypes(config)
  if (types !== undefined) return ATTENTION_TYPES.has(types[block] ?? '')
  const listed = config.values.get('attn_layer_indices') ?? null
  return isArray(listed) && listed.length > 0 ? listed.includes(block) : everyNth(config, block, { period: 'attn_layer_period', offset: 'attn_layer_offset' })
}

const SAYS_WHICH = ['layer_types', 'attn_layer_indices', 'attn_layer_period']

function hasMamba(config: Config): boolean {
  if (!SAYS_WHICH.some((key) => (config.values.get(key) ?? null) !== null)) return true
  return Array.from({ length: blockCount(config) }, (_, block) => block).some((block) => !isAttention(config, block))
}
const hasExperts = ({ values }: Config): boolean => Number(values.get('num_local_experts') ?? 0) > 0
const hasShared = ({ values }: Config): boolean => Number(values.get('shared_intermediate_size') ?? 0) > 0

const ANY_CONTEXT = 2 ** 20

/** Metadata of both kinds of layers. @param rotates  whether attention rotates though there are other layers */
export const hybridRows = (rotates: boolean): HparamRow[] => [
  ...ssmHparams((config) => sized('expand', 'mamba_expand')(config) * hiddenSize(config)),
  ['rope.dimension_count', 'u32', (config: Config) => optionalUint(config, 'attn_rotary_emb')],
  ['attention.head_count_kv', 'i32[]', ofLayers(isAttention, sized('num_key_value_heads', 'n_head_kv'))],
  ['rope.scaling.finetuned', 'bool', (config: Config) => rotates || !hasMamba(config)],
  ['context_length', 'u32', (config: Config) => (rotates || !hasMamba(config) ? undefined : ANY_CONTEXT)],
]

/** Attention or state space, by layer. */
export const MIXERS: readonly TensorRow[] = [
  ...saying(ROPE_ATTENTION, 'layers:attention'),
  ...saying(mamba2Mixer('model.layers.{block}.mamba'), 'layers:mamba'),
]
/** Conditions of {@link MIXERS}. */
export const MIXER_KINDS = { attention: isAttention, mamba: (config: Config, block: number) => !isAttention(config, block) }
/** What transformers fills in for the state space. */
export const SSM_SIZES = { mamba_n_heads: 128, mamba_n_groups: 1, mamba_d_state: 256, mamba_d_conv: 4, mamba_expand: 2 }

const GRANITE = {
  huggingFace: ['GraniteMoeHybridForCausalLM'],
  modelType: 'granitemoehybrid',
  defaults: {
    granitemoehybrid: {
      missing: { ...GRANITE_DEFAULTS.missing, ...SSM_SIZES, num_experts_per_tok: 2, shared_intermediate_size: 1024, num_local_experts: 8 },
      derived: ALL_HEADS,
    },
  },
  hparams: [...GRANITE_HPARAMS, SHARED_LENGTH, ...hybridRows(false)],
  layers: {
    ...MIXER_KINDS,
    moe: hasExperts,
    sharedExpert: (config: Config) => hasExperts(config) && hasShared(config),
    dense: (config: Config) => !hasExperts(config),
  },
  tensors: [
    ...[...ENDS, ...NORMS, ...MIXERS],
    ['model.layers.{block}.block_sparse_moe.router.layer', 'ffnGateInp', 'layers:moe'],
    ['model.layers.{block}.block_sparse_moe.input_linear', ['ffnGateExps', 'ffnUpExps'], 'halves', 'layers:moe'],
    ['model.layers.{block}.block_sparse_moe.output_linear', 'ffnDownExps', 'layers:moe'],
    ['model.layers.{block}.shared_mlp.input_linear', ['ffnGateShexp', 'ffnUpShexp'], 'halves', 'layers:sharedExpert'],
    ['model.layers.{block}.shared_mlp.output_linear', 'ffnDownShexp', 'layers:sharedExpert'],
    ['model.layers.{block}.mlp.input_linear', ['ffnGate', 'ffnUp'], 'halves', 'layers:dense'],
    ['model.layers.{block}.mlp.output_linear', 'ffnDown', 'layers:dense'],
  ],
  // without experts, what they all share is all there is
  rename: (name: string, config: Config) => (hasExperts(config) ? name : name.replace('.shared_mlp.', '.mlp.')),
  tokenizer: 'graniteHybrid',
} as const satisfies Partial<ArchitectureDefinition>

export const graniteHybrid = defineArchitecture({ ...GRANITE, gguf: 'granitehybrid' })

export const graniteHybridDense = defineArchitecture({
  ...GRANITE,
  gguf: 'granite',
  when: (config) => !hasMamba(config) && Number(config.values.get('num_experts_per_tok') ?? 0) === 0,
})

export const graniteHybridMoe = defineArchitecture({
  ...GRANITE,
  gguf: 'granitemoe',
  when: (config) => !hasMamba(config) && Number(config.values.get('num_experts_per_tok') ?? 0) > 0,
})
