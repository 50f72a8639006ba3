/**
 * The attention part of RWKV 7 under the names of its author, of flash-linear-attention, and of ARWKV 7.
 *
 * Law: conversion/rwkv.py `Rwkv7Model` (llama.cpp 0c1e570).
 */
import type { Config } from '../config.js'
import type { TensorRow } from '../define.js'
import type { Role } from '../roles.js'

/** Whether outputs are gated. */
export const hasGate = ({ values }: Config): boolean => values.get('wkv_has_gate') !== false

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
export function unifiedNames(given: string, config: Config): string | undefined {
  const plain = given.includes('self_attn') || !given.includes('attn') ? given : given.replace('attn', 'attention')
  const name = PARTS.reduce((text, [from, to]) => text.replace(from, to), plain)
  if (/^model\.layers\.0\.attention\.v[012](?:\.weight)?$/.test(name)) return undefined
  if (/^model\.layers\.0\.attention\.a[012](?:\.weight)?$/.test(name)) return name.replace('.attention.a', '.attention.first_a')
  return hasGate(config) ? name : name.replace('.attention.x_', '.attention.ungated_x_')
}

/** Path of the attention part. */
export const RWKV7_ATTENTION = 'model.layers.{block}.attention'

type Rate = readonly [zero: Role | undefined, one: Role, two: Role]

/** Two small matrices and a bias: the author's lie the other way round, and are no modules. */
function rates(letter: string, [zero, one, two]: Rate, where: readonly ('layers:later' | 'layers:gated')[] = []): TensorRow[] {
  return [
    ...(zero === undefined
      ? []
      : ([
          [`${RWKV7_ATTENTION}.${letter}0`, zero, 'squeeze', ...where],
          [`${RWKV7_ATTENTION}.${letter}0`, zero, 'squeeze', 'exact', ...where],
        ] as const)),
    ...([
      [`${RWKV7_ATTENTION}.${letter}1`, one, ...where],
      [`${RWKV7_ATTENTION}.${letter}1`, one, 'transpose', 'exact', ...where],
      [`${RWKV7_ATTENTION}.${letter}2`, two, ...where],
      [`${RWKV7_ATTENTION}.${letter}2`, two, 'transpose', 'exact', ...where],
    ] as const),
  ]
}

const FIRST_RATES: readonly TensorRow[] = [
  [`${RWKV7_ATTENTION}.first_a0`, ['timeMixV0', 'timeMixA0'], 'squeeze', 'twice', 'layers:first'],
  [`${RWKV7_ATTENTION}.first_a0`, ['timeMixV0', 'timeMixA0'], 'squeeze', 'twice', 'exact', 'layers:first'],
  [`${RWKV7_ATTENTION}.first_a1`, ['timeMixV1', 'timeMixA1'], 'twice', 'layers:first'],
  [`${RWKV7_ATTENTION}.first_a1`, ['timeMixV1', 'timeMixA1'], 'transpose', 'twice', 'exact', 'layers:first'],
  [`${RWKV7_ATTENTION}.first_a2`, ['timeMixV2', 'timeMixA2'], 'twice', 'layers:first'],
  [`${RWKV7_ATTENTION}.first_a2`, ['timeMixV2', 'timeMixA2'], 'transpose', 'twice', 'exact', 'layers:first'],
]

const lerps = (prefix: string, letters: string): string[] => [...letters].map((letter) => `${RWKV7_ATTENTION}.${prefix}_${letter}`)

/** The attention part, but for its norm. */
export const RWKV7_TIME_MIX: readonly TensorRow[] = [
  [lerps('x', 'rwkvag'), 'timeMixLerpFused', 'stackLerps', 'exact'],
  [lerps('ungated_x', 'rwkva'), 'timeMixLerpFused', 'stackLerps', 'exact'],
  [`${RWKV7_ATTENTION}.x_x`, 'timeMixLerpFused', 'asLerps', 'exact'],
  [`${RWKV7_ATTENTION}.ungated_x_x`, 'timeMixLerpFused', 'asLerps', 'exact'],
  ...rates('w', ['timeMixW0', 'timeMixW1', 'timeMixW2']),
  ...rates('a', ['timeMixA0', 'timeMixA1', 'timeMixA2'], ['layers:later']),
  ...rates('v', ['timeMixV0', 'timeMixV1', 'timeMixV2'], ['layers:later']),
  ...rates('g', [undefined, 'timeMixG1', 'timeMixG2'], ['layers:gated']),
  ...FIRST_RATES,
  [`${RWKV7_ATTENTION}.k_k`, 'timeMixKK', 'squeeze', 'exact'],
  [`${RWKV7_ATTENTION}.k_a`, 'timeMixKA', 'squeeze', 'exact'],
  [`${RWKV7_ATTENTION}.r_k`, 'timeMixRK', 'flatten', 'exact'],
  [`${RWKV7_ATTENTION}.receptance`, 'timeMixReceptance', 'bias?'],
  [`${RWKV7_ATTENTION}.key`, 'timeMixKey', 'bias?'],
  [`${RWKV7_ATTENTION}.value`, 'timeMixValue', 'bias?'],
  [`${RWKV7_ATTENTION}.output`, 'timeMixOutput', 'bias?'],
]

/** Conditions of {@link RWKV7_TIME_MIX}. */
export const RWKV7_LAYERS = { first: (_: Config, block: number) => block === 0, later: (_: Config, block: number) => block > 0, gated: hasGate }
