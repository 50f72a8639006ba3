/**
 * How much the error of each element counts in a search.
 *
 * Law: the `weight[l] = …` lines of ggml-quants.c (llama.cpp 0c1e570).
 */
/* oxlint-disable typescript/no-non-null-assertion -- numeric loops */

/** Sum of squares, from the first to the last. */
export function sumOfSquares(x: Float32Array): number {
  let sum = 0
  for (let i = 0; i < x.length; i++) sum = Math.fround(sum + Math.fround(x[i]! * x[i]!))
  return sum
}

/** Importance times the root of (mean square of the neighbourhood + own square): large values count more, small ones still do. */
export function weighByImportance(x: Float32Array, importance: Float32Array, meanSquare: number, weights: Float32Array): void {
  for (let i = 0; i < x.length; i++) {
    const sum = Math.fround(meanSquare + Math.fround(x[i]! * x[i]!))
    weights[i] = importance[i]! * Math.fround(Math.sqrt(sum))
  }
}

export function weighBySquare(x: Float32Array, weights: Float32Array): void {
  for (let i = 0; i < x.length; i++) weights[i] = x[i]! * x[i]!
}

export function weighByMagnitude(x: Float32Array, weights: Float32Array): void {
  for (let i = 0; i < x.length; i++) weights[i] = Math.abs(x[i]!)
}

/** Root mean square of the group + own magnitude. */
export function weighByMagnitudeAndMean(x: Float32Array, weights: Float32Array): void {
  const mean = Math.fround(Math.sqrt(Math.fround(sumOfSquares(x) / x.length)))
  for (let i = 0; i < x.length; i++) weights[i] = mean + Math.abs(x[i]!)
}

/** Sum of weights, from the first to the last. */
export function sumOf(weights: Float32Array): number {
  let sum = 0
  for (let i = 0; i < weights.length; i++) sum = Math.fround(sum + weights[i]!)
  return sum
}
