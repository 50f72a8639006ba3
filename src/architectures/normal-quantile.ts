/**
 * Quantiles of the normal distribution: Gemma 3n keeps the share of activations that stay zero, and the file the threshold
 * in standard deviations.
 *
 * Law: conversion/gemma.py `Gemma3NModel.set_gguf_parameters`: torch `Normal.icdf`, whose inverse error function is rounded
 * to f32 before it is multiplied with the root of 2.
 */
import { readFloats, type Config } from './config.js'

const MAX_LAYERS = 512
const LARGEST_FINITE = 5.9 // beyond it erf is 1 in f64

/** One threshold per layer. */
export function sparsityScales(config: Config): readonly number[] {
  return readFloats(config, 'activation_sparsity_pattern', MAX_LAYERS).map((share) => normalQuantile(Math.fround(share)))
}

/** The value below which a share `p` lies. f32 in, f32 out; infinite at 0 and 1, NaN outside. */
export function normalQuantile(p: number): number {
  const y = Math.fround(Math.fround(2 * p) - 1)
  if (!(Math.abs(y) < 1)) return Math.abs(y) === 1 ? y * Infinity : NaN
  return Math.fround(Math.fround(inverseErrorFunction(y)) * Math.fround(Math.SQRT2))
}

/** By halving: erf rises steadily. */
function inverseErrorFunction(y: number): number {
  let [low, high] = [-LARGEST_FINITE, LARGEST_FINITE]
  for (let middle = 0; low < middle || middle < high;) {
    middle = (low + high) / 2
    if (middle === low || middle === high) return middle
    if (errorFunction(middle) < y) low = middle
    else high = middle
  }
  return low
}

/** Its power series with only positive terms: e^(-x^2) 2x / sqrt(pi) (1 + 2x^2/3 + (2x^2)^2/15 + …). */
function errorFunction(x: number): number {
  let term = x
  let sum = x
  for (let n = 1; Math.abs(term) > 1e-17 * Math.abs(sum); n++) {
    term *= (2 * x * x) / (2 * n + 1)
    sum += term
  }
  return (2 / Math.sqrt(Math.PI)) * Math.exp(-x * x) * sum
}
