/**
 * q4_0, q4_1, q5_0, q5_1: blocks of 32 elements with an f16 scale, and with an f16 minimum (the _1 types).
 *
 * Law: ggml-quants.c `quantize_row_q{4,5}_{0,1}_ref`, and `…_impl` with importance (llama.cpp 0c1e570).
 */
/* oxlint-disable typescript/no-non-null-assertion -- numeric loops */
import { LEVEL_PLANES, packLevels } from './block-formats.js'
import { inverseOf, largestByMagnitude, writeHalf } from './block-numbers.js'
import { encoderOfRows, type BlockEncoder } from './blocks.js'
import { importanceSearch, searchAffine } from './search-affine.js'
import { searchSymmetric } from './search-symmetric.js'
import { sumOfSquares, weighByImportance } from './weights.js'

const ELEMENTS = 32

export const encodeQ4_0 = symmetricEncoder('q4_0', 8)
export const encodeQ5_0 = symmetricEncoder('q5_0', 16)
export const encodeQ4_1 = affineEncoder('q4_1', 15)
export const encodeQ5_1 = affineEncoder('q5_1', 31)

/** value = d * (level - half) */
function symmetricEncoder(type: 'q4_0' | 'q5_0', half: number): BlockEncoder {
  const levels = new Uint8Array(ELEMENTS)
  const weights = new Float32Array(ELEMENTS)
  return encoderOfRows(type, (row) => {
    const meanSquare = lazyMeanSquare(row)
    return (x, into, at, importance) => {
      if (importance === undefined) writeHalf(into, at, divideByLargest(x, half, levels))
      else {
        weighByImportance(x, importance, meanSquare(), weights)
        writeHalf(into, at, searchSymmetric(x, half, weights, levels))
      }
      packLevels(LEVEL_PLANES[type], levels, into, at)
    }
  })
}

/** value = d * level + minimum */
function affineEncoder(type: 'q4_1' | 'q5_1', highest: number): BlockEncoder {
  const levels = new Uint8Array(ELEMENTS)
  const weights = new Float32Array(ELEMENTS)
  const search = importanceSearch(highest)
  return encoderOfRows(type, (row) => {
    const meanSquare = lazyMeanSquare(row)
    return (x, into, at, importance) => {
      let fit
      if (importance === undefined) fit = divideRange(x, highest, levels)
      else {
        weighByImportance(x, importance, meanSquare(), weights)
        fit = searchAffine(search, x, weights, levels)
      }
      writeHalf(into, at, fit.scale)
      writeHalf(into, at + 2, -fit.min)
      packLevels(LEVEL_PLANES[type], levels, into, at)
    }
  })
}

/** The element of largest magnitude gets level 0: its side reaches one step further. */
function divideByLargest(x: Float32Array, half: number, levels: Uint8Array): number {
  const d = Math.fround(largestByMagnitude(x) / -half)
  const inverse = inverseOf(d)
  const highest = 2 * half - 1
  // `| 0` truncates as C's cast does; the infinities of a subnormal d become level 0 there too
  for (let i = 0; i < ELEMENTS; i++) levels[i] = Math.min(highest, Math.fround(Math.fround(x[i]! * inverse) + (half + 0.5)) | 0)
  return d
}

function divideRange(x: Float32Array, highest: number, levels: Uint8Array): { scale: number; min: number } {
  let [min, max] = [x[0]!, x[0]!]
  for (let i = 1; i < ELEMENTS; i++) {
    if (x[i]! < min) min = x[i]!
    if (x[i]! > max) max = x[i]!
  }
  const d = Math.fround(Math.fround(max - min) / highest)
  const inverse = inverseOf(d)
  for (let i = 0; i < ELEMENTS; i++) levels[i] = Math.min(highest, Math.fround(Math.fround(Math.fround(x[i]! - min) * inverse) + 0.5) | 0)
  return { scale: d, min: -min }
}

/** Mean of the squares of a row, worked out when first asked for. */
function lazyMeanSquare(row: Float32Array): () => number {
  let mean: number | undefined
  return () => (mean ??= Math.fround(sumOfSquares(row) / Math.fround(row.length)))
}
