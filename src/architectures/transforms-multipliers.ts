/**
 * Words about factors that a config has between the parts of a model, and llama.cpp wants inside its matrices: Falcon-H1, Jais.
 *
 * Law: conversion/falcon_h1.py, jais.py `modify_tensors` (llama.cpp 0c1e570).
 */
import { FormatError } from '../core/errors.js'
import { readFloats, readNumber, readUint, spelling, type Config } from './config.js'
import { each, rowsFrom, type TensorProgram, type Transform } from './transform.js'

/** A file does not say what its matrices were multiplied with. */
const NOT_TOLD = 'changesValues'

export const MULTIPLIER_TRANSFORMS = {
  'times:embedding': each((tensor, { config }) => times(tensor, factor(config, 'embedding_multiplier')), NOT_TOLD),
  'times:lmHead': each((tensor, { config }) => times(tensor, factor(config, 'lm_head_multiplier')), NOT_TOLD),
  'times:attentionIn': each((tensor, { config }) => times(tensor, factor(config, 'attention_in_multiplier')), NOT_TOLD),
  'times:attentionOut': each((tensor, { config }) => times(tensor, factor(config, 'attention_out_multiplier')), NOT_TOLD),
  'times:key': each((tensor, { config }) => times(tensor, factor(config, 'key_multiplier')), NOT_TOLD),
  'times:gate': each((tensor, { config }) => times(tensor, listed(config, 'mlp_multipliers', 2)[0]), NOT_TOLD),
  'times:down': each((tensor, { config }) => times(tensor, listed(config, 'mlp_multipliers', 2)[1]), NOT_TOLD),
  'times:ssmIn': each((tensor, { config }) => times(tensor, factor(config, 'ssm_in_multiplier')), NOT_TOLD),
  'times:ssmOut': each((tensor, { config }) => times(tensor, factor(config, 'ssm_out_multiplier')), NOT_TOLD),
  'times:jaisEmbedding': each((tensor, { config }) => times(tensor, firstFactor(config, ['mup_embeddings_scale', 'embeddings_scale'])), NOT_TOLD),
  'times:jaisOutput': each((tensor, { config }) => times(tensor, jaisWidth(config)), NOT_TOLD),
  /** Rows of gates, inputs, B, C and steps, each with its own. */
  'times:ssmParts': each((tensor, { config }) => {
    const inner = readUint(config, 'mamba_d_ssm')
    const states = readUint(config, 'mamba_n_groups') * readUint(config, 'mamba_d_state')
    const [rows = 0] = tensor.shape
    const steps = rows - 2 * inner - 2 * states
    if (steps <= 0) throw new FormatError(`has ${rows} rows; more than 2 x ${inner} + 2 x ${states} are wanted (${config.file}).`, { tensor: tensor.source })
    const factors = listed(config, 'ssm_multipliers', 5)
    if (factors.every((one) => one === 1)) return tensor
    let first = 0
    const parts = [inner, inner, states, states, steps].map((size, i) => {
      const part = times(rowsFrom(tensor, first, size), factors[i])
      first += size
      return part.program
    })
    return { ...tensor, program: { op: 'stack', parts } }
  }, NOT_TOLD),
} as const satisfies Record<string, Transform>

/** In f32, as torch multiplies a tensor by a Python number. */
export function times(tensor: TensorProgram, by = 1): TensorProgram {
  return by === 1 ? tensor : { source: tensor.source, shape: tensor.shape, program: { op: 'scale', input: tensor.program, factor: Math.fround(by) } }
}

function factor(config: Config, key: string): number {
  return spelling(config, [key]) === undefined ? 1 : readNumber(config, key)
}

/** @throws FormatError when none is there */
function firstFactor(config: Config, keys: readonly string[]): number {
  return readNumber(config, spelling(config, keys) ?? keys[0] ?? '')
}

function jaisWidth(config: Config): number {
  return config.values.has('mup_output_alpha')
    ? readNumber(config, 'mup_output_alpha') * readNumber(config, 'mup_width_scale')
    : readNumber(config, 'width_scale')
}

function listed(config: Config, key: string, count: number): readonly number[] {
  if (spelling(config, [key]) === undefined) return Array.from({ length: count }, () => 1)
  const factors = readFloats(config, key, count)
  if (factors.length === count) return factors
  throw new FormatError(`${key} has ${factors.length} numbers; ${count} are wanted.`, { file: config.file })
}
