/**
 * q3_k, q6_k: super-blocks of 256 with a signed scale for each 16 elements, which is quantized itself. No block is left to the twin.
 *
 * Law: ggml-quants.c quantize_row_q{3,6}_K_ref, and …_impl with importance (llama.cpp 0c1e570); twin: src/quantize/k-quants-symmetric.ts.
 */
import { halfOf, valueOfHalf } from './half-float'
import { nextImportance, sumWeights, weighByImportance } from './importance'
import { LEVELS, SCALES, SCALE_LEVELS, SCALE_WEIGHTS } from './map'
import { packOneBit, packPairs, packSixBits } from './packing'
import { searchSigned } from './search-scales'
import { searchLevels, searchSteps, weighBySquare } from './search-symmetric'
import { WEIGHT, fillLanes, groupAt, nearestInt, toLanes, writeLevels } from './sub-blocks'

const SUPER_BLOCK_BYTES: usize = 1024
const SCALE_COUNT: usize = 16
/** Elements of a sub-block. */
const GROUP: usize = 16

/** q6_k: 128 + 64 bytes of levels, 16 signed scales, f16 d. With importance, that is the weight of an error itself. */
export function encodeQ6_K(from: usize, into: usize, blocks: usize, importance: usize, cols: usize): usize {
  let weights = importance
  for (let block: usize = 0; block < blocks; block++, from += SUPER_BLOCK_BYTES, into += 210) {
    for (let g: usize = 0; g < 4; g++) {
      toLanes(groupAt(g), from + (g << 8), GROUP)
      if (importance !== 0) importanceToLanes(groupAt(g), weights + (g << 8))
      else weighBySquare(groupAt(g), GROUP)
      searchSteps(groupAt(g), GROUP, 32, SCALES + (g << 4))
    }
    weights = nextImportance(weights, SUPER_BLOCK_BYTES, importance, cols)
    const largest = largestScale()
    if (abs(largest) < f32(1e-15)) {
      memory.fill(into, 0, 210)
      continue
    }
    const inverse: f32 = f32(-128) / largest
    const d = halfOf(f32(1) / inverse)
    store<u16>(into, d, 208)
    for (let j: usize = 0; j < SCALE_COUNT; j++) {
      const at = SCALES + (j << 2)
      const scale = i32(i8(min<i32>(127, nearestInt(inverse * load<f32>(at)))))
      store<i8>(into + j, i8(scale), 192)
      store<f32>(at, valueOfHalf(d) * f32(scale))
    }
    storeLevels(-32, 31)
    packSixBits(into)
  }
  return blocks
}

/** q3_k: 32 bytes of third bits, 64 bytes of levels, 12 bytes of 6-bit scales, f16 d. */
export function encodeQ3_K(from: usize, into: usize, blocks: usize, importance: usize, cols: usize, squares: usize): usize {
  let weights = importance
  for (let block: usize = 0; block < blocks; block++, from += SUPER_BLOCK_BYTES, into += 110, squares += 4) {
    const scale = importance !== 0 ? searchWeighed(from, weights, squares) : search(from)
    weights = nextImportance(weights, SUPER_BLOCK_BYTES, importance, cols)
    const d = halfOf(scale)
    store<u16>(into, d, 108)
    memory.fill(into + 96, 0, 12)
    for (let j: usize = 0; j < SCALE_COUNT; j++) {
      const level = i32(load<u8>(SCALE_LEVELS + j))
      storeSixBits(into + 96, j, level)
      store<f32>(SCALES + (j << 2), valueOfHalf(d) * f32(level - 32))
    }
    storeLevels(-4, 3)
    packOneBit(4, into)
    packPairs(into + 32)
  }
  return blocks
}

/** Leaves levels in the groups, and the levels of the scales in SCALE_LEVELS. @returns what one step of these is worth */
function search(from: usize): f32 {
  for (let g: usize = 0; g < 4; g++) {
    toLanes(groupAt(g), from + (g << 8), GROUP)
    weighBySquare(groupAt(g), GROUP)
    searchLevels(groupAt(g), GROUP, 4, SCALES + (g << 4))
  }
  const largest = largestScale()
  memory.fill(SCALE_LEVELS, 0, SCALE_COUNT)
  if (largest === 0) return 0
  const inverse: f32 = f32(-32) / largest
  for (let j: usize = 0; j < SCALE_COUNT; j++) {
    store<u8>(SCALE_LEVELS + j, max<i32>(-32, min<i32>(31, i32(i8(nearestInt(inverse * load<f32>(SCALES + (j << 2))))))) + 32)
  }
  return f32(1) / inverse
}

/** The same with importance, of these 256 columns; the block's squares are summed at `squares`. */
function searchWeighed(from: usize, importance: usize, squares: usize): f32 {
  const meanSquare = f32x4.div(v128.load32_splat(squares), f32x4.splat(128))
  for (let g: usize = 0; g < 4; g++) {
    toLanes(groupAt(g), from + (g << 8), GROUP)
    importanceToLanes(groupAt(g), importance + (g << 8))
    weighByImportance(groupAt(g), GROUP, meanSquare)
    v128.store(SCALE_WEIGHTS + (g << 4), sumWeights(groupAt(g), GROUP))
    searchSteps(groupAt(g), GROUP, 4, SCALES + (g << 4))
  }
  return searchSigned(SCALES, SCALE_WEIGHTS, SCALE_COUNT, 32, SCALE_LEVELS)
}

function importanceToLanes(group: usize, importance: usize): void {
  fillLanes(group + WEIGHT, importance, importance + 64, importance + 128, importance + 192, GROUP)
}

/** The scale of largest magnitude, the first of those that are as large. */
function largestScale(): f32 {
  let most: f32 = 0
  let largest: f32 = 0
  for (let j: usize = 0; j < SCALE_COUNT; j++) {
    const scale = load<f32>(SCALES + (j << 2))
    if (abs(scale) > most) {
      most = abs(scale)
      largest = scale
    }
  }
  return largest
}

/** Low 4 bits of scales 0 … 7 and 8 … 15 in 8 bytes, the upper 2 bits of four scales each in 4 more. */
function storeSixBits(into: usize, j: usize, scale: i32): void {
  const low = into + (j & 7)
  const high = into + 8 + (j & 3)
  store<u8>(low, u32(load<u8>(low)) | u32((scale & 15) << (j < 8 ? 0 : 4)))
  store<u8>(high, u32(load<u8>(high)) | u32((scale >> 4) << (2 * i32(j >> 2))))
}

function storeLevels(low: i32, high: i32): void {
  const noMin = f32x4.splat(0)
  for (let g: usize = 0; g < 4; g++) writeLevels(groupAt(g), 16, v128.load(SCALES + (g << 4)), noMin, low, high, LEVELS + (g << 6))
}
