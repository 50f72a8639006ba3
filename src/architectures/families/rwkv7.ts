/**
 * RWKV 7 under the names of its author and of flash-linear-attention, and with Qwen 2's feed-forward part (ARWKV 7).
 *
 * Law: conversion/rwkv.py `Rwkv7Model`, `ARwkv7Model` (llama.cpp 0c1e570).
 */
import { UnsupportedError } from '../../core/errors.js'
import { GATED_MLP } from '../common-rows.js'
import { readUint, spelling, type Config } from '../config.js'
import { defineArchitecture, type TensorRow } from '../define.js'
import { hiddenSize, optionalFloat, optionalUint } from '../dimensions.js'
import { sized } from '../hybrid-hparams.js'
import type { Role } from '../roles.js'
import { NO_HEADS, RWKV_FIRST } from './rwkv6.js'

const hasGate = ({ values }: Config): boolean => values.get('wkv_has_gate') !== false

const PARTS: readonly (readonly [from: string, to: string])[] = [
  ...([
    ['blocks', 'layers'],
    ['ffn', 'feed_forward'],
    ['self_attn', 'attention'],
  ] as const),
  ...([
    ['time_mixer.', ''],
    ['feed_forward_norm', 'ln2'],
    ['g_norm', 'ln_x'],
    ['_lora.lora.0.weight', '1.weight'],
    ['_lora.lora.2.weight', '2.weight'],
    ['_lora.lora.2.bias', '0.weight'],
  ] as const),
  ...['k_proj:key', 'v_proj:value', 'r_proj:receptance', 'o_proj:output'].map((pair): [string, string] => {
    const [from = '', to = ''] = pair.split(':')
    return [`.attention.${from}.`, `.attention.${to}.`]
  }),
]

/**
 * All spellings as one. The first layer has nothing to mix values with: what it may have for it is left out, and its
 * in-context learning rates stand in both places.
 */
function unified(given: string, config: Config): string | undefined {
  const plain = given.includes('self_attn') || !given.includes('attn') ? given : given.replace('attn', 'attention')
  const name = PARTS.reduce((text, [from, to]) => text.replace(from, to), plain)
  if (/^model\.layers\.0\.attention\.v[012](?:\.weight)?$/.test(name)) return undefined
  if (/^model\.layers\.0\.attention\.a[012](?:\.weight)?$/.test(name)) return name.replace('.attention.a', '.attention.first_a')
  return hasGate(config) ? name : name.replace('.attention.x_', '.attention.ungated_x_')
}

const ATTENTION = 'model.layers.{block}.attention'

type Rate = readonly [zero: Role | undefined, one: Role, two: Role]

/** Two small matrices and a bias: the author's lie the other way round, and are no modules. */
function rates(letter: string, [zero, one, two]: Rate, where: readonly ('layers:later' | 'layers:gated')[] = []): TensorRow[] {
  return [
    ...(zero === undefined
      ? []
      : ([
          [`${ATTENTION}.${letter}0`, zero, 'squeeze', ...where],
          [`${ATTENTION}.${letter}0`, zero, 'squeeze', 'exact', ...where],
        ] as const)),
    ...([
      [`${ATTENTION}.${letter}1`, one, ...where],
      [`${ATTENTION}.${letter}1`, one, 'transpose', 'exact', ...where],
      [`${ATTENTION}.${letter}2`, two, ...where],
      [`${ATTENTION}.${letter}2`, two, 'transpose', 'exact', ...where],
    ] as const),
  ]
}

const FIRST_RATES: readonly TensorRow[] = [
  [`${ATTENTION}.first_a0`, ['timeMixV0', 'timeMixA0'], 'squeeze', 'twice', 'layers:first'],
  [`${ATTENTION}.first_a0`, ['timeMixV0', 'timeMixA0'], 'squeeze', 'twice', 'exact', 'layers:first'],
  [`${ATTENTION}.first_a1`, ['timeMixV1', 'timeMixA1'], 'twice', 'layers:first'],
  [`${ATTENTION}.first_a1`, ['timeMixV1', 'timeMixA1'], 'transpose', 'twice', 'exact', 'layers:first'],
  [`${ATTENTION}.first_a2`, ['timeMixV2', 'timeMixA2'], 'twice', 'layers:first'],
  [`${ATTENTION}.first_a2`, ['timeMixV2', 'timeMixA2'], 'transpose', 'twice', 'exact', 'layers:first'],
]

const lerps = (prefix: string, letters: string): string[] => [...letters].map((letter) => `${ATTENTION}.${prefix}_${letter}`)

const TIME_MIX: readonly TensorRow[] = [
  [lerps('x', 'rwkvag'), 'timeMixLerpFused', 'stackLerps', 'exact'],
  [lerps('ungated_x', 'rwkva'), 'timeMixLerpFused', 'stackLerps', 'exact'],
  [`${ATTENTION}.x_x`, 'timeMixLerpFused', 'asLerps', 'exact'],
  [`${ATTENTION}.ungated_x_x`, 'timeMixLerpFused', 'asLerps', 'exact'],
  ...rates('w', ['timeMixW0', 'timeMixW1', 'timeMixW2']),
  ...rates('a', ['timeMixA0', 'timeMixA1', 'timeMixA2'], ['layers:later']),
  ...rates('v', ['timeMixV0', 'timeMixV1', 'timeMixV2'], ['layers:later']),
  ...rates('g', [undefined, 'timeMixG1', 'timeMixG2'], ['layers:gated']),
  ...FIRST_RATES,
  [`${ATTENTION}.k_k`, 'timeMixKK', 'squeeze', 'exact'],
  [`${ATTENTION}.k_a`, 'timeMixKA', 'squeeze', 'exact'],
  [`${ATTENTION}.r_k`, 'timeMixRK', 'flatten', 'exact'],
  [`${ATTENTION}.receptance`, 'timeMixReceptance', 'bias?'],
  [`${ATTENTION}.key`, 'timeMixKey', 'bias?'],
  [`${ATTENTION}.value`, 'timeMixValue', 'bias?'],
  [`${ATTENTION}.output`, 'timeMixOutput', 'bias?'],
]

const LAYERS = { first: (_: Config, block: number) => block === 0, later: (_: Config, block: number) => block > 0, gated: hasGate }

/** A rank as the config says it, else as RWKV chooses it. */
function rank(spellings: readonly string[], exponent: number, multiplier: number): (config: Config) => number {
  return (config) => {
    const key = spelling(config, spellings)
    return key === undefined ? Math.max(1, Math.round((hiddenSize(config) ** exponent * multiplier) / 32)) * 32 : readUint(config, key)
  }
}

export const rwkv7 = defineArchitecture({
  gguf: 'rwkv7',
  huggingFace: ['RWKV7ForCausalLM', 'Rwkv7ForCausalLM'],
  modelType: 'rwkv7',
  hparams: [
    ...RWKV_FIRST,
    ['attention.layer_norm_epsilon', 'f32', ['layer_norm_epsilon', 'norm_eps'], 'required'],
    ['wkv.head_size', 'u32', sized('head_size', 'head_dim')],
    ['attention.decay_lora_rank', 'u32', rank(['lora_rank_decay', 'decay_low_rank_dim'], 0.5, 1.8)],
    ['attention.iclr_lora_rank', 'u32', rank(['lora_rank_iclr', 'a_low_rank_dim'], 0.5, 1.8)],
    ['attention.value_residual_mix_lora_rank', 'u32', rank(['lora_rank_value_residual_mix', 'v_low_rank_dim'], 0.5, 1.3)],
    ['attention.gate_lora_rank', 'u32', rank(['lora_rank_gate', 'gate_low_rank_dim'], 0.8, 0.6)],
    ['feed_forward_length', 'u32', (config) => optionalUint(config, 'intermediate_size') ?? 4 * hiddenSize(config)],
    ['general.file_type', 'u32', { given: 'fileType' }],
    NO_HEADS,
  ],
  layers: LAYERS,
  tensors: [
    ['model.embeddings', 'tokenEmbd'],
    ['model.pre_ln', 'tokenEmbdNorm', 'bias'],
    ['model.layers.0.pre_norm', 'tokenEmbdNorm', 'bias'],
    ['model.ln_out', 'outputNorm', 'bias'],
    ['model.norm', 'outputNorm', 'bias'],
    ['head', 'output', 'tied'],
    ['lm_head', 'output', 'tied'],
    ['model.layers.{block}.ln1', 'attnNorm', 'bias'],
    ['model.layers.{block}.attention_norm', 'attnNorm', 'bias'],
    ['model.layers.{block}.ln2', 'attnNorm2', 'bias'],
    ...TIME_MIX,
    [`${ATTENTION}.ln_x`, 'timeMixLn', 'bias'],
    ['model.layers.{block}.feed_forward.x_k', 'channelMixLerpK', 'squeeze', 'exact'],
    ['model.layers.{block}.feed_forward.key', 'channelMixKey'],
    ['model.layers.{block}.feed_forward.value', 'channelMixValue'],
  ],
  rename: unified,
  tokenizer: 'rwkvWorld',
})

/** @throws UnsupportedError for another version */
function ofVersion7(config: Config): number {
  if (config.values.get('wkv_version') === 7) return readUint(config, 'hidden_size')
  throw new UnsupportedError('wkv_version is not 7; llama.cpp computes no other.', { file: config.file })
}

export const arwkv7 = defineArchitecture({
  gguf: 'arwkv7',
  huggingFace: ['RwkvHybridForCausalLM'],
  modelType: 'rwkv_hybrid',
  hparams: [
    ...RWKV_FIRST,
    ['embedding_length', 'u32', ofVersion7],
    ['attention.layer_norm_rms_epsilon', 'f32', (config) => optionalFloat(config, 'rms_norm_eps')],
    ['wkv.head_size', 'u32', 'head_size', 'required'],
    ['attention.decay_lora_rank', 'u32', { always: 64 }],
    ['attention.iclr_lora_rank', 'u32', { always: 64 }],
    ['attention.value_residual_mix_lora_rank', 'u32', { always: 32 }],
    ['attention.gate_lora_rank', 'count', (config) => (hasGate(config) ? 128 : 0)],
    ['feed_forward_length', 'u32', 'intermediate_size', 'required'],
    ['general.file_type', 'u32', { given: 'fileType' }],
    ['token_shift_count', 'u32', { always: 1 }],
    NO_HEADS,
  ],
  layers: { ...LAYERS, normed: (config) => config.values.get('wkv_has_group_norm') === true },
  tensors: [
    ['model.embed_tokens', 'tokenEmbd'],
    ['model.norm', 'outputNorm'],
    ['lm_head', 'output', 'tied'],
    ['model.layers.{block}.input_layernorm', 'attnNorm'],
    ['model.layers.{block}.post_attention_layernorm', 'ffnNorm'],
    ...TIME_MIX,
    [`${ATTENTION}.ln_x`, 'timeMixLn', 'bias?', 'layers:normed'],
    ...GATED_MLP,
  ],
  rename: unified,
  tokenizer: 'sentencePieceOrByteLevel',
})
