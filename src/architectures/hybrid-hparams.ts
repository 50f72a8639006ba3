/**
 * What models with state-space and attention layers say about them, under the names of several families.
 *
 * Law: conversion/granite.py `GraniteHybridModel` (llama.cpp 0c1e570).
 */
import { readCount, readUint, spelling, type Config } from './config.js'
import { blockCount } from './dimensions.js'
import type { Derived, HparamRow } from './hparams.js'

export type Kind = (config: Config, block: number) => boolean

/** A size under the first of its names. @throws FormatError when there is none */
export function sized(...spellings: readonly string[]): (config: Config) => number {
  return (config) => readUint(config, spelling(config, spellings) ?? spellings[0] ?? '')
}

/** One number per layer: of those of a kind the config's, of others 0. */
export function ofLayers(isOne: Kind, value: (config: Config) => number, count = blockCount): Derived {
  return (config) => Array.from({ length: count(config) }, (_, block) => (isOne(config, block) ? value(config) : 0))
}

/** Every `period`th layer from `offset` on. */
export function everyNth(config: Config, block: number, { period, offset }: { period: string; offset: string }): boolean {
  const first = readCount(config, offset)
  return block >= first && (block - first) % readUint(config, period) === 0
}

/** The state-space part. @param innerSize  elements of its state */
export function ssmHparams(innerSize: (config: Config) => number): HparamRow[] {
  return [
    ['ssm.conv_kernel', 'u32', sized('conv_kernel', 'd_conv', 'mamba_conv_kernel', 'mamba_d_conv')],
    ['ssm.state_size', 'u32', sized('state_size', 'd_state', 'state_dim', 'ssm_state_size', 'mamba_d_state')],
    ['ssm.group_count', 'u32', sized('n_groups', 'num_groups', 'mamba_n_groups')],
    ['ssm.inner_size', 'u32', innerSize],
    ['ssm.time_step_rank', 'u32', sized('n_heads', 'num_heads', 'mamba_n_heads', 'mamba_num_heads')],
  ]
}
