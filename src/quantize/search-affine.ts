/**
 * Searches for x ≈ scale * level - min, level in 0 … levels, over one group of elements.
 *
 * Law: ggml-quants.c `make_qkx2_quants` and `make_qkx3_quants` (llama.cpp 0c1e570), which do the same where there is no NaN.
 */
/* oxlint-disable typescript/no-non-null-assertion -- numeric loops */
import { nearestInt } from './block-numbers.js'

export interface AffineSearch {
  /** The highest level. */
  readonly levels: number
  /** How many steps the group's range is divided into, one try each. */
  readonly tries: Float32Array
  /** What is weighted and summed up to compare tries. */
  readonly error: 'square' | 'magnitude'
}

export interface AffineFit {
  readonly scale: number
  /** Never negative: what is subtracted. */
  readonly min: number
}

/** Tries `levels + first`, then `step` more each time, `count + 1` times. */
export function affineSearch(levels: number, error: AffineSearch['error'], first: number, step: number, count: number): AffineSearch {
  const [f32First, f32Step] = [Math.fround(first), Math.fround(step)]
  const tries = Float32Array.from({ length: count + 1 }, (_, i) => Math.fround(f32First + Math.fround(f32Step * i)) + levels)
  return { levels, tries, error }
}

/** The search that an importance matrix gets, whatever the type. */
export function importanceSearch(levels: number): AffineSearch {
  return affineSearch(levels, 'square', -0.9, 0.05, 36)
}

/**
 * Fits a line through each try's levels by weighted least squares, and keeps the try with the smallest error.
 * @param weights  one per element
 * @param levels   overwritten, one per element
 */
export function searchAffine(search: AffineSearch, x: Float32Array, weights: Float32Array, levels: Uint8Array): AffineFit {
  let [min, max, sumW] = [x[0]!, x[0]!, weights[0]!]
  let sumX = Math.fround(sumW * min)
  for (let i = 1; i < x.length; i++) {
    if (x[i]! < min) min = x[i]!
    if (x[i]! > max) max = x[i]!
    sumW = Math.fround(sumW + weights[i]!)
    sumX = Math.fround(sumX + Math.fround(weights[i]! * x[i]!))
  }
  if (min > 0) min = 0
  if (max === min) {
    levels.fill(0)
    return { scale: 0, min: -min }
  }
  const firstInverse = Math.fround(search.levels / Math.fround(max - min))
  let scale = Math.fround(1 / firstInverse)
  for (let i = 0; i < x.length; i++) levels[i] = affineLevel(Math.fround(firstInverse * Math.fround(x[i]! - min)), search.levels)
  let bestError = errorOf(search.error, x, weights, levels, scale, min)
  const trial = new Uint8Array(x.length)
  for (let attempt = 0; attempt < search.tries.length; attempt++) {
    const inverse = Math.fround(search.tries[attempt]! / Math.fround(max - min)) // from the best min so far, as the reference does
    let sumL = 0
    let sumLL = 0
    let sumXL = 0
    for (let i = 0; i < x.length; i++) {
      const level = affineLevel(Math.fround(inverse * Math.fround(x[i]! - min)), search.levels)
      trial[i] = level
      const wl = Math.fround(weights[i]! * level)
      sumL = Math.fround(sumL + wl)
      sumLL = Math.fround(sumLL + Math.fround(wl * level))
      sumXL = Math.fround(sumXL + Math.fround(wl * x[i]!))
    }
    const determinant = difference(sumW, sumLL, sumL, sumL)
    if (!(determinant > 0)) continue
    let trialScale = Math.fround(difference(sumW, sumXL, sumX, sumL) / determinant)
    let trialMin = Math.fround(difference(sumLL, sumX, sumL, sumXL) / determinant)
    if (trialMin > 0) {
      trialMin = 0
      trialScale = Math.fround(sumXL / sumLL)
    }
    const error = errorOf(search.error, x, weights, trial, trialScale, trialMin)
    if (!(error < bestError)) continue
    levels.set(trial)
    bestError = error
    scale = trialScale
    min = trialMin
  }
  return { scale, min: -min }
}

/** The nearest of 0 … highest. */
export function affineLevel(quotient: number, highest: number): number {
  const level = nearestInt(quotient)
  if (level < 0) return 0
  return level > highest ? highest : level
}

/** Sum of w * |scale * level + min - x|, or of its squares. */
function errorOf(kind: AffineSearch['error'], x: Float32Array, weights: Float32Array, levels: Uint8Array, scale: number, min: number): number {
  const squared = kind === 'square'
  let sum = 0
  for (let i = 0; i < x.length; i++) {
    const error = Math.fround(Math.fround(Math.fround(scale * levels[i]!) + min) - x[i]!)
    sum = Math.fround(sum + Math.fround(weights[i]! * (squared ? Math.fround(error * error) : Math.abs(error))))
  }
  return sum
}

/** a * b - c * d. */
function difference(a: number, b: number, c: number, d: number): number {
  return Math.fround(Math.fround(a * b) - Math.fround(c * d))
}
