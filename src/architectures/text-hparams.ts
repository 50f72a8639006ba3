/**
 * The metadata that the reference writes for every text model, in its order, and the functions that compute some of it.
 * Families begin with these rows, or leave some out (`withoutKeys`), and add their own.
 *
 * Law: conversion/base.py `TextModel.set_gguf_parameters` (llama.cpp 0c1e570).
 */
import { UnsupportedError, quoted } from '../core/errors.js'
import { readCounts, readPositiveFloat, readString, readUint, spelling, type Config } from './config.js'
import { blockCount, EMBEDDING_LENGTH, headCount, headDim, HEADS, hiddenSize, optionalFloat } from './dimensions.js'
import type { Derived, HparamRow } from './hparams.js'
import { ropeParameters } from './rope.js'

const GATING = ['score_function', 'scoring_func', 'score_func', 'moe_router_activation', 'moe_router_activation_func', 'expert_selection_fn']
const GATING_IDS: ReadonlyMap<string, number> = new Map([
  ['softmax', 1],
  ['sigmoid', 2],
  ['sqrtsoftplus', 4],
  ['noaux_tc', 2], // what dots.llm1's config calls a sigmoid with a correction
]) // gguf-py `ExpertGatingFuncType`

/** Sizes by GPT's names, which families of its kind write first. */
export function gptSizes(feedForwardLength: (config: Config) => number = (config) => 4 * hiddenSize(config)): HparamRow[] {
  return [
    ['context_length', 'u32', 'n_positions', 'required'],
    ['embedding_length', 'u32', 'n_embd', 'required'],
    ['feed_forward_length', 'u32', feedForwardLength],
    ['block_count', 'u32', blockCount],
    ['attention.head_count', 'u32', 'n_head', 'required'],
  ]
}

/** The block that the reference writes for every text model, in its order. */
export const TEXT_HPARAMS: readonly HparamRow[] = [
  ['block_count', 'u32', blockCount],
  ['context_length', 'u32', ['max_position_embeddings', 'n_ctx', 'n_positions', 'max_length', 'max_sequence_length', 'model_max_length']],
  ['embedding_length', 'u32', EMBEDDING_LENGTH],
  ['feed_forward_length', 'u32', ['prefix_dense_intermediate_size', 'dense_intermediate_size', 'intermediate_size', 'n_inner', 'hidden_dim']],
  ['attention.head_count', 'u32', HEADS],
  ['attention.head_count_kv', 'u32', ['num_key_value_heads', 'n_kv_heads']],
  ['attention.causal', 'bool', notCausal],
  ['rope.scaling.type', 'string', ropeScalingType],
  ['rope.scaling.factor', 'f32', ropeScalingFactor],
  ['rope.scaling.original_context_length', 'u32', ropeOriginalContext],
  ['rope.scaling.yarn_ext_factor', 'f32', yarn('extrapolation_factor')],
  ['rope.scaling.yarn_attn_factor', 'f32', yarn('attention_factor', 'attn_factor')],
  ['rope.scaling.yarn_beta_fast', 'f32', yarn('beta_fast')],
  ['rope.scaling.yarn_beta_slow', 'f32', yarn('beta_slow')],
  ['rope.dimension_sections', 'i32[]', ropeSections],
  ['rope.freq_base', 'f32', ropeFreqBase],
  ['rope.freq_base_swa', 'f32', ropeFreqBaseSliding],
  ['attention.layer_norm_rms_epsilon', 'f32', ['rms_norm_eps', 'norm_eps']],
  ['attention.layer_norm_epsilon', 'f32', ['layer_norm_eps', 'layer_norm_epsilon', 'norm_epsilon']],
  ['expert_count', 'count', ['num_local_experts', 'num_experts', 'n_routed_experts']],
  ['expert_used_count', 'count', ['num_experts_per_tok', 'num_experts_per_token', 'top_k_experts']],
  ['expert_group_count', 'count', 'n_group'],
  ['expert_group_used_count', 'count', 'topk_group'],
  ['expert_gating_func', 'u32', expertGating],
  ['attention.key_length', 'u32', 'head_dim'],
  ['attention.value_length', 'u32', 'head_dim'],
  ['general.file_type', 'u32', { given: 'fileType' }],
]

/** Elements of a head that rotate: a share of the head, `partial_rotary_factor` or what the family takes for it. */
export function rotaryDimensions(otherwise: number, size: (config: Config) => number = headDim): Derived {
  return (config) => Math.trunc(size(config) * (optionalFloat(ropeParameters(config).full, 'partial_rotary_factor') ?? otherwise))
}

/** The same share taken of the hidden state, and then of one head. */
export function rotaryShareOfHidden(otherwise: number): (config: Config) => number {
  return (config) => {
    const share = optionalFloat(ropeParameters(config).full, 'partial_rotary_factor') ?? otherwise
    return Math.floor(Math.trunc(share * hiddenSize(config)) / headCount(config))
  }
}

function notCausal(config: Config): boolean | undefined {
  return config.values.get('is_causal') === false ? false : undefined
}

function ropeScalingType(config: Config): string | undefined {
  return scaled(config, ['linear', 'yarn', 'su', 'longrope'], (_rope, type) => (type === 'su' ? 'longrope' : type))
}

function ropeScalingFactor(config: Config): number | undefined {
  return scaled(config, ['linear', 'yarn'], (rope) => optionalFloat(rope, 'factor'))
}

function ropeOriginalContext(config: Config): number | undefined {
  return scaled(config, ['yarn'], (rope) => readUint(rope, 'original_max_position_embeddings'))
}

function yarn(...spellings: readonly string[]): Derived {
  return (config) => scaled(config, ['yarn'], (rope) => optionalFloat(rope, ...spellings))
}

/** Base of the rotary frequencies. */
export function ropeFreqBase(config: Config): number | undefined {
  return ropeTheta(ropeParameters(config).full)
}

function ropeFreqBaseSliding(config: Config): number | undefined {
  return ropeTheta(ropeParameters(config).sliding)
}

/** Rope scaling says anything only with a factor, or when its factors are tensors (longrope). */
function scaled<T>(config: Config, types: readonly string[], read: (rope: Config, type: string) => T): T | undefined {
  const { full, type } = ropeParameters(config)
  const factorless = type === 'su' || type === 'longrope'
  return types.includes(type) && (factorless || spelling(full, ['factor']) !== undefined) ? read(full, type) : undefined
}

function ropeTheta(rope: Config | undefined): number | undefined {
  return rope !== undefined && spelling(rope, ['rope_theta']) !== undefined ? readPositiveFloat(rope, 'rope_theta') : undefined
}

/** Rotary sections: time, height, width and one more; always four numbers in the file. */
export function ropeSections(config: Config): readonly number[] | undefined {
  const { section } = ropeParameters(config)
  if (!section.values.has('mrope_section')) return undefined
  const sections = readCounts(section, 'mrope_section', 4)
  return [...sections, 0, 0, 0, 0].slice(0, 4)
}

/** Id of how the router's scores become weights. */
export function expertGating(config: Config): number | undefined {
  const key = spelling(config, GATING)
  if (key === undefined) return undefined
  const id = GATING_IDS.get(readString(config, key))
  if (id !== undefined) return id
  throw new UnsupportedError(`${key} ${quoted(readString(config, key))} is not supported; supported: ${[...GATING_IDS.keys()].join(', ')}.`, {
    file: config.file,
  })
}
