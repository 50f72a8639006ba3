/**
 * iq4_nl (blocks of 32) and iq4_xs (256 in groups of 32, with 6-bit scales): 4 bits that choose one of sixteen uneven steps.
 *
 * Law: ggml-quants.c `quantize_row_iq4_nl_impl` with ntry 7, which is what `ggml_quantize_chunk` runs (llama.cpp 0c1e570).
 */
/* oxlint-disable typescript/no-non-null-assertion -- numeric loops */
import { IQ4_VALUES, LEVEL_PLANES, packLevels, SCALE_PLANES } from './block-formats.js'
import { inverseOf, largestByMagnitude, writeHalf } from './block-numbers.js'
import { encoderOfBlocks, groupsOf, type BlockEncoder } from './blocks.js'
import { SMALLEST_GROUP, symmetricLevel } from './search-symmetric.js'
import { sumOfSquares, weighByImportance, weighBySquare } from './weights.js'

const GROUP = 32
const LOWEST = IQ4_VALUES[0]!
const HIGHEST = IQ4_VALUES[15]!
const TRIES = 7
const SCALE_HALF = 32

export const encodeIq4Nl = makeIq4Nl()
export const encodeIq4Xs = makeIq4Xs()

function makeIq4Nl(): BlockEncoder {
  const weights = new Float32Array(GROUP)
  const levels = new Uint8Array(GROUP)
  return encoderOfBlocks('iq4_nl', (x, into, at, importance) => {
    weigh(x, importance, weights)
    const scale = searchScale(x, weights)
    writeHalf(into, at, scale)
    takeNearest(x, inverseOf(scale), levels)
    packLevels(LEVEL_PLANES.iq4_nl, levels, into, at)
  })
}

function makeIq4Xs(): BlockEncoder {
  const [weights, levels] = [new Float32Array(256), new Uint8Array(256)]
  const [weightGroups, levelGroups] = [groupsOf(weights, GROUP), groupsOf(levels, GROUP)]
  const scales = new Float32Array(levelGroups.length)
  const scaleLevels = new Uint8Array(levelGroups.length)
  return encoderOfBlocks('iq4_xs', (x, into, at, importance) => {
    const xGroups = groupsOf(x, GROUP)
    weigh(x, importance, weights)
    for (let g = 0; g < scales.length; g++) scales[g] = searchScale(xGroups[g]!, weightGroups[g]!)
    const d = Math.fround(-largestByMagnitude(scales) / SCALE_HALF)
    const inverse = inverseOf(d)
    for (let g = 0; g < scales.length; g++) {
      const level = symmetricLevel(Math.fround(inverse * scales[g]!), SCALE_HALF)
      scaleLevels[g] = level + SCALE_HALF
      takeNearest(xGroups[g]!, inverseOf(Math.fround(d * level)), levelGroups[g]!) // the f32 d, not the f16 one that is stored
    }
    writeHalf(into, at, d)
    packLevels(SCALE_PLANES.iq4_xs, scaleLevels, into, at)
    packLevels(LEVEL_PLANES.iq4_xs, levels, into, at)
  })
}

function weigh(x: Float32Array, importance: Float32Array | undefined, weights: Float32Array): void {
  if (importance === undefined) weighBySquare(x, weights)
  else weighByImportance(x, importance, Math.fround(sumOfSquares(x) * (2 / x.length)), weights)
}

/** Puts the element of largest magnitude on the lowest step, then seven values around it; keeps the best fit by weighted least squares. */
function searchScale(x: Float32Array, weights: Float32Array): number {
  const max = largestByMagnitude(x)
  if (Math.abs(max) < SMALLEST_GROUP) return 0
  let [scale, best] = [0, 0]
  for (let attempt = -TRIES - 1; attempt <= TRIES; attempt++) {
    const isFirst = attempt < -TRIES
    const inverse = isFirst ? Math.fround(1 / Math.fround(-max / LOWEST)) : Math.fround((attempt + LOWEST) / max)
    let sumQX = 0
    let sumQQ = 0
    for (let i = 0; i < x.length; i++) {
      const q = IQ4_VALUES[nearestLevel(Math.fround(inverse * x[i]!))]!
      const wq = Math.fround(weights[i]! * q)
      sumQX = Math.fround(sumQX + Math.fround(wq * x[i]!))
      sumQQ = Math.fround(sumQQ + Math.fround(wq * q))
    }
    const isBetter = sumQQ > 0 && (isFirst || Math.fround(sumQX * sumQX) > Math.fround(best * sumQQ))
    if (!isBetter) continue
    scale = Math.fround(sumQX / sumQQ)
    best = Math.fround(scale * sumQX)
  }
  return scale
}

function takeNearest(x: Float32Array, inverse: number, levels: Uint8Array): void {
  for (let i = 0; i < x.length; i++) levels[i] = nearestLevel(Math.fround(inverse * x[i]!))
}

/** The level whose value is nearest, the higher one of two; NaN gets the highest, as in the reference. */
function nearestLevel(quotient: number): number {
  if (quotient <= LOWEST) return 0
  if (quotient >= HIGHEST) return 15
  let below = 0
  let above = 15
  while (above - below > 1) {
    const middle = (below + above) >>> 1
    if (quotient < IQ4_VALUES[middle]!) above = middle
    else below = middle
  }
  return Math.fround(quotient - IQ4_VALUES[above - 1]!) < Math.fround(IQ4_VALUES[above]! - quotient) ? above - 1 : above
}
