/**
 * Activations by transformers' names, in f64: the caller rounds. Only what is defined by a formula; e^x and tanh are the machine's own, within an ulp of f64.
 *
 * Law: transformers activations.py `ACT2CLS`.
 */
import type { Activation } from '../core/activations.js'

export const ACTIVATION_FUNCTIONS: { readonly [A in Activation]: (x: number) => number } = {
  relu: (x) => Math.max(x, 0),
  relu2: (x) => Math.max(x, 0) ** 2,
  relu6: (x) => Math.min(Math.max(x, 0), 6),
  leaky_relu: (x) => (x < 0 ? 0.01 * x : x),
  gelu: (x) => 0.5 * x * (1 + erf(x * Math.SQRT1_2)),
  gelu_new: tanhGelu,
  gelu_fast: tanhGelu,
  gelu_pytorch_tanh: tanhGelu,
  quick_gelu: (x) => x / (1 + Math.exp(-1.702 * x)),
  silu,
  swish: silu,
  mish: (x) => x * Math.tanh(Math.log1p(Math.exp(x))),
  tanh: (x) => Math.tanh(x),
  sigmoid: (x) => 1 / (1 + Math.exp(-x)),
  linear: (x) => x,
}

function silu(x: number): number {
  return x / (1 + Math.exp(-x))
}

function tanhGelu(x: number): number {
  return 0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3)))
}

/** The error function: its series, whose terms are all positive, or 1 minus its continued fraction. */
export function erf(x: number): number {
  const size = Math.abs(x)
  if (size > 6) return Math.sign(x)
  if (size > 2.5) {
    let fraction = size
    for (let n = 60; n > 0; n--) fraction = size + n / 2 / fraction
    return Math.sign(x) * (1 - Math.exp(-size * size) / (Math.sqrt(Math.PI) * fraction))
  }
  let [term, sum] = [size, size]
  for (let n = 1; term > sum * 1e-17; n++) sum += term *= (2 * size * size) / (2 * n + 1)
  return Math.sign(x) * (2 / Math.sqrt(Math.PI)) * Math.exp(-size * size) * sum
}
