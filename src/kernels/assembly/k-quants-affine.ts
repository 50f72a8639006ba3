/**
 * q2_k, q4_k, q5_k: super-blocks of 256 whose sub-blocks have a scale and a min each, which are quantized themselves. Each returns how many blocks it
 * wrote, and stops before one that it leaves to the twin.
 *
 * Law: ggml-quants.c quantize_row_q*_K_ref, and …_impl with importance (llama.cpp 0c1e570); twin: src/quantize/k-quants-affine.ts.
 */
import { halfOf, valueOfHalf } from './half-float'
import { nextImportance, sumWeights, weighByImportance } from './importance'
import { LEVELS, MINS, MIN_LEVELS, SCALES, SCALE_LEVELS, SCALE_WEIGHTS } from './map'
import { WEIGHED_START, WEIGHED_STEPS, WEIGHED_STRIDE, searchAffine } from './search-affine'
import { searchPositive } from './search-scales'
import { WEIGHT, X, fillLanes, groupAt, nearestInt, toLanes, writeLevels } from './sub-blocks'
import { packNibbles, packOneBit, packPairs } from './packing'

const SUPER_BLOCK_BYTES: usize = 1024
/** A scale's level is a byte, which may be larger than 6 bits hold; where it is cut, it is cut at them. */
const SIX_BITS: i32 = 63
const NO_CAP: i32 = 255

/** q4_k: f16 d, f16 dmin, 12 bytes of 6-bit scales and mins, 128 bytes of levels. */
export function encodeQ4_K(from: usize, into: usize, blocks: usize, importance: usize, cols: usize, squares: usize): usize {
  let weights = importance
  for (let block: usize = 0; block < blocks; block++, from += SUPER_BLOCK_BYTES, into += 144, squares += 4) {
    const isDone = importance !== 0 ? encodeEightWeighed(from, into, 15, NO_CAP, weights, squares) : encodeEight(from, into, 15, -1, 20)
    if (!isDone) return block
    weights = nextImportance(weights, SUPER_BLOCK_BYTES, importance, cols)
    packNibbles(into + 16)
  }
  return blocks
}

/** q5_k: as q4_k, with 32 bytes of fifth bits before the levels. */
export function encodeQ5_K(from: usize, into: usize, blocks: usize, importance: usize, cols: usize, squares: usize): usize {
  let weights = importance
  for (let block: usize = 0; block < blocks; block++, from += SUPER_BLOCK_BYTES, into += 176, squares += 4) {
    const isDone = importance !== 0 ? encodeEightWeighed(from, into, 31, SIX_BITS, weights, squares) : encodeEight(from, into, 31, -0.5, 15)
    if (!isDone) return block
    weights = nextImportance(weights, SUPER_BLOCK_BYTES, importance, cols)
    packOneBit(16, into + 16)
    packNibbles(into + 48)
  }
  return blocks
}

/** Eight sub-blocks of 32: writes the first 16 bytes, and the levels to LEVELS. */
function encodeEight(from: usize, into: usize, top: i32, start: f32, steps: i32): bool {
  for (let g: usize = 0; g < 2; g++) {
    toLanes(groupAt(g), from + (g << 9), 32)
    weighByMean(groupAt(g))
  }
  if (!searchAffine(groupAt(0), 32, f32(top), start, 0.1, steps, false, SCALES, MINS)) return false
  finishEight(into, top, divideByLargest(SCALES, 8, 63, SIX_BITS, SCALE_LEVELS), divideByLargest(MINS, 8, 63, SIX_BITS, MIN_LEVELS))
  return true
}

/** The same with importance, for whose 256 columns `weights` is; the block's squares are summed at `squares`. */
function encodeEightWeighed(from: usize, into: usize, top: i32, cap: i32, weights: usize, squares: usize): bool {
  const meanSquare = f32x4.div(v128.load32_splat(squares), f32x4.splat(128))
  for (let g: usize = 0; g < 2; g++) weigh(groupAt(g), from + (g << 9), weights + (g << 9), 32, meanSquare, SCALE_WEIGHTS + (g << 4))
  if (!searchAffine(groupAt(0), 32, f32(top), WEIGHED_START, WEIGHED_STRIDE, WEIGHED_STEPS, false, SCALES, MINS)) return false
  finishEight(into, top, searchLevels(SCALES, 8, 63, cap, SCALE_LEVELS), searchLevels(MINS, 8, 63, cap, MIN_LEVELS))
  return true
}

/** The last 4-lane sub-blocks with their importance; how much each weighs goes to `sums`. */
function weigh(group: usize, from: usize, importance: usize, size: usize, meanSquare: v128, sums: usize): void {
  const bytes = size << 2
  toLanes(group, from, size)
  fillLanes(group + WEIGHT, importance, importance + bytes, importance + 2 * bytes, importance + 3 * bytes, size)
  weighByImportance(group, size, meanSquare)
  v128.store(sums, sumWeights(group, size))
}

/** Writes scales and mins as they are stored, and the levels of the elements for these. */
function finishEight(into: usize, top: i32, scale: f32, smallest: f32): void {
  const d = halfOf(scale)
  const dmin = halfOf(smallest)
  store<u16>(into, d)
  store<u16>(into, dmin, 2)
  storeSixBits(into + 4)
  loadSixBits(into + 4, valueOfHalf(d), valueOfHalf(dmin))
  for (let g: usize = 0; g < 2; g++) {
    writeLevels(groupAt(g), 32, v128.load(SCALES + (g << 4)), v128.load(MINS + (g << 4)), 0, top, LEVELS + (g << 7))
  }
}

/** An error counts by the size of its element, and of the elements of its sub-block of 32 on average. */
function weighByMean(group: usize): void {
  const end = group + 512
  let squares = f32x4.splat(0)
  for (let at = group; at < end; at += 16) {
    const x = v128.load(at, X)
    squares = f32x4.add(squares, f32x4.mul(x, x))
  }
  const mean = f32x4.sqrt(f32x4.div(squares, f32x4.splat(32)))
  for (let at = group; at < end; at += 16) v128.store(at, f32x4.add(mean, f32x4.abs(v128.load(at, X))), WEIGHT)
}

/** Levels 0 … top of some values by their largest, one byte each. @returns what one step is worth */
function divideByLargest(values: usize, count: usize, top: i32, cap: i32, levels: usize): f32 {
  let most: f32 = 0
  for (let i: usize = 0; i < count; i++) {
    const value = load<f32>(values + (i << 2))
    if (value > most) most = value
  }
  const inverse: f32 = most > 0 ? f32(top) / most : 0
  for (let i: usize = 0; i < count; i++) store<u8>(levels + i, min<i32>(nearestInt(inverse * load<f32>(values + (i << 2))) & 255, cap))
  return most / f32(top)
}

function searchLevels(values: usize, count: usize, top: i32, cap: i32, levels: usize): f32 {
  const scale = searchPositive(values, SCALE_WEIGHTS, count, top, levels)
  for (let i: usize = 0; i < count; i++) store<u8>(levels + i, min<i32>(load<u8>(levels + i), cap))
  return scale
}

/** Scales and mins in 6 bits: the first four of each in the low bits of 8 bytes, the last four in 4 more and in the upper bits of those. */
function storeSixBits(into: usize): void {
  for (let j: usize = 0; j < 4; j++, into++) {
    const scale = u32(load<u8>(SCALE_LEVELS + j, 4))
    const smallest = u32(load<u8>(MIN_LEVELS + j, 4))
    store<u8>(into, u32(load<u8>(SCALE_LEVELS + j)) | ((scale >> 4) << 6))
    store<u8>(into, u32(load<u8>(MIN_LEVELS + j)) | ((smallest >> 4) << 6), 4)
    store<u8>(into, (scale & 15) | ((smallest & 15) << 4), 8)
  }
}

/** The scales and mins that a reader will find. */
export function loadSixBits(from: usize, d: f32, dmin: f32): void {
  const first = load<u32>(from)
  const second = load<u32>(from, 4)
  const third = load<u32>(from, 8)
  const scales = f32x4.splat(d)
  const mins = f32x4.splat(dmin)
  v128.store(SCALES, f32x4.mul(fourBytes(first & 0x3f3f_3f3f), scales))
  v128.store(SCALES, f32x4.mul(fourBytes((third & 0x0f0f_0f0f) | ((first >> 2) & 0x3030_3030)), scales), 16)
  v128.store(MINS, f32x4.mul(fourBytes(second & 0x3f3f_3f3f), mins))
  v128.store(MINS, f32x4.mul(fourBytes(((third >> 4) & 0x0f0f_0f0f) | ((second >> 2) & 0x3030_3030)), mins), 16)
}

function fourBytes(bytes: u32): v128 {
  return f32x4.convert_i32x4_s(i32x4.extend_low_i16x8_u(i16x8.extend_low_i8x16_u(i32x4.splat(i32(bytes)))))
}

/** q2_k: 16 bytes of 4-bit scales and mins, 64 bytes of levels, f16 d, f16 dmin; sub-blocks of 16. */
export function encodeQ2_K(from: usize, into: usize, blocks: usize, importance: usize, cols: usize, squares: usize): usize {
  let weights = importance
  for (let block: usize = 0; block < blocks; block++, from += SUPER_BLOCK_BYTES, into += 84, squares += 4) {
    const isDone = importance !== 0 ? searchSixteenWeighed(from, weights, squares) : searchSixteen(from)
    if (!isDone) return block
    weights = nextImportance(weights, SUPER_BLOCK_BYTES, importance, cols)
    const scale = importance !== 0 ? searchLevels(SCALES, 16, 15, NO_CAP, SCALE_LEVELS) : divideByLargest(SCALES, 16, 15, NO_CAP, SCALE_LEVELS)
    const smallest = importance !== 0 ? searchLevels(MINS, 16, 15, NO_CAP, MIN_LEVELS) : divideByLargest(MINS, 16, 15, NO_CAP, MIN_LEVELS)
    const d = halfOf(scale)
    const dmin = halfOf(smallest)
    store<u16>(into, d, 80)
    store<u16>(into, dmin, 82)
    for (let j: usize = 0; j < 16; j++) {
      const both = (u32(load<u8>(SCALE_LEVELS + j)) | (u32(load<u8>(MIN_LEVELS + j)) << 4)) & 255
      store<u8>(into + j, both)
      store<f32>(SCALES + (j << 2), valueOfHalf(d) * f32(both & 15))
      store<f32>(MINS + (j << 2), valueOfHalf(dmin) * f32(both >> 4))
    }
    for (let g: usize = 0; g < 4; g++) {
      writeLevels(groupAt(g), 16, v128.load(SCALES + (g << 4)), v128.load(MINS + (g << 4)), 0, 3, LEVELS + (g << 6))
    }
    packPairs(into + 16)
  }
  return blocks
}

function searchSixteen(from: usize): bool {
  for (let g: usize = 0; g < 4; g++) {
    toLanes(groupAt(g), from + (g << 8), 16)
    weighByMagnitude(groupAt(g))
  }
  for (let g: usize = 0; g < 4; g += 2) {
    if (!searchAffine(groupAt(g), 16, 3, -0.5, 0.1, 15, true, SCALES + (g << 4), MINS + (g << 4))) return false
  }
  return true
}

function searchSixteenWeighed(from: usize, weights: usize, squares: usize): bool {
  const meanSquare = f32x4.div(v128.load32_splat(squares), f32x4.splat(256))
  for (let g: usize = 0; g < 4; g++) weigh(groupAt(g), from + (g << 8), weights + (g << 8), 16, meanSquare, SCALE_WEIGHTS + (g << 4))
  for (let g: usize = 0; g < 4; g += 2) {
    if (!searchAffine(groupAt(g), 16, 3, WEIGHED_START, WEIGHED_STRIDE, WEIGHED_STEPS, false, SCALES + (g << 4), MINS + (g << 4))) return false
  }
  return true
}

function weighByMagnitude(group: usize): void {
  const end = group + 256
  for (let at = group; at < end; at += 16) v128.store(at, f32x4.abs(v128.load(at, X)), WEIGHT)
}
