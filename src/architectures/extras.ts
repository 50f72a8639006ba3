/**
 * Tensors that are computed from the config instead of copied from the checkpoint. They come first in the file.
 */
import { FormatError, quoted, UnsupportedError } from '../core/errors.js'
import { headDim } from './dimensions.js'
import { fullHeadDim } from './layer-overrides.js'
import { readPositiveFloat, spelling, type Config } from './config.js'
import { ropeParameters } from './rope.js'
import type { Role } from './roles.js'
import { torchPower } from './torch-power.js'

/** One computed tensor of one dimension, f32. */
export interface ExtraTensor {
  readonly role: Role
  readonly values: readonly number[]
}

/**
 * Divisors of the rotary frequencies of models that Llama 3.1's recipe stretched: short waves stay, long ones are
 * slowed by `factor`, those between are blended. None for other models.
 *
 * Law: conversion/llama.py `generate_extra_tensors`. It computes with torch f32 scalars: every operation is rounded, a
 * Python number takes part as f32, and a number divided by a tensor is the tensor's reciprocal times the number.
 */
export function ropeFactorsLlama3(config: Config, usualFactor = 8): ExtraTensor[] {
  const { full, type } = ropeParameters(config)
  if (type !== 'llama3') return []
  const number = (key: string, otherwise: number): number => (spelling(full, [key]) === undefined ? otherwise : readPositiveFloat(full, key))
  const f = Math.fround
  const factor = number('factor', usualFactor)
  const low = number('low_freq_factor', 1)
  const high = number('high_freq_factor', 4)
  const context = number('original_max_position_embeddings', 8192)
  const powers = torchPower(number('rope_theta', 10000), exponents(headDim(config)))
  const values = powers.map((power) => {
    const frequency = f(1 / power)
    const wavelength = f(f(1 / frequency) * f(2 * Math.PI))
    if (wavelength < f(context / high)) return 1
    if (wavelength > f(context / low)) return f(factor)
    const smooth = f(f(f(f(1 / wavelength) * f(context)) - f(low)) / f(high - low))
    return f(1 / f(f(f(1 - smooth) / f(factor)) + smooth))
  })
  if (!values.every((value) => Number.isFinite(value) && value > 0)) {
    throw new FormatError(`${full.path}low_freq_factor ${low} and high_freq_factor ${high} give rope factors that are no numbers.`, { file: config.file })
  }
  return [{ role: 'ropeFreqs', values }]
}

/**
 * Divisors for layers with full attention of which a share of each head rotates: the others are turned so slowly that they
 * stand still.
 *
 * Law: conversion/gemma.py `Gemma4Model.generate_extra_tensors`.
 */
export function proportionalRopeFactors(config: Config): ExtraTensor[] {
  const { full, type } = ropeParameters(config)
  if (type !== 'proportional') {
    throw new UnsupportedError(`rope scaling ${quoted(type)} of layers with full attention is not supported; supported: proportional.`, { file: config.file })
  }
  const pairs = Math.trunc(fullHeadDim(config) / 2)
  const turning = Math.trunc((fullHeadDim(config) * readPositiveFloat(full, 'partial_rotary_factor')) / 2)
  return [{ role: 'ropeFreqs', values: Array.from({ length: pairs }, (_, i) => (i < turning ? 1 : Math.fround(1e30))) }]
}

/** 0/d, 2/d, 4/d … below 1, in f32. */
function exponents(dimensions: number): number[] {
  return Array.from({ length: Math.ceil(dimensions / 2) }, (_, i) => Math.fround((2 * i) / dimensions))
}
