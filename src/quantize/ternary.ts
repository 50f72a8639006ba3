/**
 * tq1_0 (trits) and tq2_0 (2 bits): blocks of 256 elements of {-1, 0, 1} times their largest magnitude, for models trained so.
 *
 * Law: ggml-quants.c `quantize_row_tq{1,2}_0_ref` (llama.cpp 0c1e570); importance is ignored.
 */
/* oxlint-disable typescript/no-non-null-assertion -- numeric loops */
import { FIELDS, LEVEL_PLANES, packLevels } from './block-formats.js'
import { inverseOf, largestByMagnitude, roundHalfAway, writeHalf } from './block-numbers.js'
import { encoderOfBlocks } from './blocks.js'
import { writeTrits } from './trits.js'

const levels = new Uint8Array(256)

export const encodeTq1_0 = encoderOfBlocks('tq1_0', (x, into, at) => {
  writeHalf(into, at + FIELDS.tq1_0.d, roundTernary(x))
  writeTrits(levels, into, at)
})

export const encodeTq2_0 = encoderOfBlocks('tq2_0', (x, into, at) => {
  writeHalf(into, at + FIELDS.tq2_0.d, roundTernary(x))
  packLevels(LEVEL_PLANES.tq2_0, levels, into, at)
})

/** Fills `levels`; @returns the scale. */
function roundTernary(x: Float32Array): number {
  const d = Math.abs(largestByMagnitude(x))
  const inverse = inverseOf(d)
  for (let i = 0; i < levels.length; i++) levels[i] = roundHalfAway(Math.fround(x[i]! * inverse)) + 1
  return d
}
