/**
 * q2_k, q4_k, q5_k: blocks of 256 elements in groups of 16 or 32, value = scale * level - min, where the scales and mins
 * of the groups are themselves levels of an f16 `d` and an f16 `dmin`.
 *
 * Each group is searched by itself; its scale and min are rounded to levels; then each element takes the level nearest to
 * it on the scale that is really stored. With importance the groups' scales are searched too.
 *
 * Law: ggml-quants.c `quantize_row_q{2,4,5}_K_ref`, and `…_impl` with importance (llama.cpp 0c1e570).
 */
/* oxlint-disable typescript/no-non-null-assertion -- numeric loops */
import { BLOCK_FORMATS, FIELDS, LEVEL_PLANES, packLevels } from './block-formats.js'
import { nearestInt, writeHalf } from './block-numbers.js'
import { encoderOfBlocks, groupsOf, type BlockEncoder } from './blocks.js'
import { affineLevel, affineSearch, importanceSearch, searchAffine, type AffineSearch } from './search-affine.js'
import { searchPositive } from './search-positive.js'
import { sumOf, sumOfSquares, weighByImportance, weighByMagnitude, weighByMagnitudeAndMean } from './weights.js'

const ELEMENTS = 256
const NO_CAP = 255

interface AffineKQuant {
  readonly type: 'q2_k' | 'q4_k' | 'q5_k'
  readonly groupElements: number
  /** Highest level of an element. */
  readonly highest: number
  /** Highest level of a scale or min. */
  readonly highestScale: number
  /** What the reference cuts scale levels at: matters only where its arithmetic makes one negative, which wraps around in its byte. */
  readonly cap: { readonly plain: number; readonly importance: number }
  readonly search: AffineSearch
  readonly weigh: (x: Float32Array, weights: Float32Array) => void
  /** With importance, the block's sum of squares is divided by this. */
  readonly squares: number
  readonly fields: { readonly d: number; readonly dmin: number; readonly scales: number }
  readonly packScales: (scales: Uint8Array, mins: Uint8Array, into: Uint8Array, at: number) => void
}

export const encodeQ2K = affineEncoder({
  type: 'q2_k',
  groupElements: 16,
  highest: 3,
  highestScale: 15,
  cap: { plain: NO_CAP, importance: NO_CAP },
  search: affineSearch(3, 'magnitude', -0.5, 0.1, 15),
  weigh: weighByMagnitude,
  squares: ELEMENTS,
  fields: FIELDS.q2_k,
  packScales: packFourBits,
})

export const encodeQ4K = affineEncoder({
  type: 'q4_k',
  groupElements: 32,
  highest: 15,
  highestScale: 63,
  cap: { plain: 63, importance: NO_CAP },
  search: affineSearch(15, 'square', -1, 0.1, 20),
  weigh: weighByMagnitudeAndMean,
  squares: ELEMENTS / 2,
  fields: FIELDS.q45_k,
  packScales: packSixBits,
})

export const encodeQ5K = affineEncoder({
  type: 'q5_k',
  groupElements: 32,
  highest: 31,
  highestScale: 63,
  cap: { plain: 63, importance: 63 },
  search: affineSearch(31, 'square', -0.5, 0.1, 15),
  weigh: weighByMagnitudeAndMean,
  squares: ELEMENTS / 2,
  fields: FIELDS.q45_k,
  packScales: packSixBits,
})

function affineEncoder(quant: AffineKQuant): BlockEncoder {
  const { type, groupElements, highestScale, cap, fields } = quant
  const { readScales } = BLOCK_FORMATS[type]
  const withImportance = importanceSearch(quant.highest)
  const count = ELEMENTS / groupElements
  const levels = new Uint8Array(ELEMENTS)
  const weights = new Float32Array(ELEMENTS)
  const [levelGroups, weightGroups] = [groupsOf(levels, groupElements), groupsOf(weights, groupElements)]
  const [scales, mins, sums] = [new Float32Array(count), new Float32Array(count), new Float32Array(count)]
  const [scaleLevels, minLevels] = [new Uint8Array(count), new Uint8Array(count)]

  return encoderOfBlocks(type, (x, into, at, importance) => {
    const xGroups = groupsOf(x, groupElements)
    if (importance !== undefined) weighByImportance(x, importance, Math.fround(sumOfSquares(x) / quant.squares), weights)
    for (let g = 0; g < count; g++) {
      if (importance === undefined) quant.weigh(xGroups[g]!, weightGroups[g]!)
      const fit = searchAffine(importance === undefined ? quant.search : withImportance, xGroups[g]!, weightGroups[g]!, levelGroups[g]!)
      scales[g] = fit.scale
      mins[g] = fit.min
    }
    if (importance === undefined) {
      writeHalf(into, at + fields.d, divideByLargest(scales, highestScale, cap.plain, scaleLevels))
      writeHalf(into, at + fields.dmin, divideByLargest(mins, highestScale, cap.plain, minLevels))
    } else {
      for (let g = 0; g < count; g++) sums[g] = sumOf(weightGroups[g]!)
      writeHalf(into, at + fields.d, searchPositive(scales, highestScale, sums, scaleLevels))
      writeHalf(into, at + fields.dmin, searchPositive(mins, highestScale, sums, minLevels))
      capLevels(scaleLevels, cap.importance)
      capLevels(minLevels, cap.importance)
    }
    quant.packScales(scaleLevels, minLevels, into, at + fields.scales)
    readScales(into, at, scales, mins)
    for (let g = 0; g < count; g++) takeNearest(xGroups[g]!, scales[g]!, mins[g]!, quant.highest, levelGroups[g]!)
    packLevels(LEVEL_PLANES[type], levels, into, at)
  })
}

/** Levels of the largest value, without search; @returns what one step is worth. */
function divideByLargest(values: Float32Array, highest: number, cap: number, levels: Uint8Array): number {
  let largest = 0
  for (let i = 0; i < values.length; i++) if (values[i]! > largest) largest = values[i]!
  const inverse = largest > 0 ? Math.fround(highest / largest) : 0
  for (let i = 0; i < values.length; i++) levels[i] = nearestInt(Math.fround(inverse * values[i]!))
  capLevels(levels, cap)
  return Math.fround(largest / highest)
}

function capLevels(levels: Uint8Array, cap: number): void {
  for (let i = 0; i < levels.length; i++) if (levels[i]! > cap) levels[i] = cap
}

/** Rounds each element on its group's stored scale; a group whose scale was rounded to zero keeps the levels of its search. */
function takeNearest(x: Float32Array, scale: number, min: number, highest: number, levels: Uint8Array): void {
  if (scale === 0) return
  for (let i = 0; i < x.length; i++) levels[i] = affineLevel(Math.fround(Math.fround(x[i]! + min) / scale), highest)
}

function packFourBits(scales: Uint8Array, mins: Uint8Array, into: Uint8Array, at: number): void {
  for (let g = 0; g < scales.length; g++) into[at + g] = scales[g]! | (mins[g]! << 4)
}

/** Layout: block-formats.ts, `q45kScales`. */
function packSixBits(scales: Uint8Array, mins: Uint8Array, into: Uint8Array, at: number): void {
  for (let g = 0; g < 4; g++) {
    const [scale, min] = [scales[g + 4]!, mins[g + 4]!]
    into[at + g] = scales[g]! | ((scale >>> 4) << 6)
    into[at + 4 + g] = mins[g]! | ((min >>> 4) << 6)
    into[at + 8 + g] = (scale & 15) | ((min & 15) << 4)
  }
}
