/**
 * Rope factors of models whose positions were stretched by a list of factors (longrope): two computed tensors, and the
 * attention factor that goes with them.
 *
 * Law: conversion/phi.py `Phi3MiniModel.generate_extra_tensors` (llama.cpp 0c1e570).
 */
import { FormatError, UnsupportedError, quoted } from '../core/errors.js'
import { isArray } from '../core/json.js'
import { readFloats, readUint, type Config } from './config.js'
import { optionalUint } from './dimensions.js'
import type { ExtraTensor } from './extras.js'
import { ropeParameters } from './rope.js'

const MAX_PAIRS = 4096

/** `rope_factors_long`, `rope_factors_short`; none for models without them. @param dimensions  elements of a head that rotate */
export function ropeFactorsLong(dimensions: (config: Config) => number): (config: Config) => ExtraTensor[] {
  return (config) => {
    const { full } = ropeParameters(config)
    if (!hasFactors(full)) return []
    const [long, short] = [readFloats(full, 'long_factor', MAX_PAIRS), readFloats(full, 'short_factor', MAX_PAIRS)]
    const pairs = dimensions(config) / 2
    if (long.length !== pairs || short.length !== pairs) {
      throw new FormatError(`${full.path}long_factor has ${long.length} numbers, short_factor ${short.length}; ${pairs} are wanted.`, { file: config.file })
    }
    return [
      { role: 'ropeFactorsLong', values: long.map(Math.fround) },
      { role: 'ropeFactorsShort', values: short.map(Math.fround) },
    ]
  }
}

/** How much attention is sharpened for the stretched context; undefined for models without factors. */
export function longRopeAttentionFactor(config: Config): number | undefined {
  const { full, type } = ropeParameters(config)
  if (!hasFactors(full)) return undefined
  const original = readUint(full, 'original_max_position_embeddings')
  const scale = (optionalUint(config, 'n_positions', 'max_position_embeddings') ?? original) / original
  if (type === 'su' || type === 'longrope') return scale > 1 ? Math.sqrt(1 + Math.log(scale) / Math.log(original)) : 1
  if (type === 'yarn') return scale > 1 ? 0.1 * Math.log(scale) + 1 : 1
  throw new UnsupportedError(`rope scaling ${quoted(type)} with long_factor is not supported; supported: longrope, yarn.`, { file: config.file })
}

function hasFactors({ values }: Config): boolean {
  const factors = values.get('long_factor') ?? null
  return isArray(factors) && factors.length > 0
}
