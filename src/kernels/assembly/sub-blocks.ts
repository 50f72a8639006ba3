/**
 * The lane trick, which all searches share.
 *
 * ggml searches the scale of each sub-block (16 or 32 elements) by sums in a fixed order, and f32 sums in another order give other bytes. So a sum is
 * never split over lanes. Instead FOUR sub-blocks are searched at once, one per lane: vector i holds element i of each of them, and every lane makes
 * exactly the sums of the scalar program, in its order. What is a branch there is a mask here.
 *
 * A group is four sub-blocks in this form, with what a search knows about them; its fields are offsets from the group's address.
 */
import { MAGIC, constant } from './constants'
import { GROUPS, GROUP_BYTES } from './map'

/** One vector per element: the elements … */
export const X: usize = 0
/** … the weights of their errors … */
export const WEIGHT: usize = 512
/** … the best levels so far, as f32 … */
export const BEST: usize = 1024
/** … and what is tried, or weight · element. */
export const TRIAL: usize = 1536
/** One value per lane, named by the searches. */
export const LANES: usize = 2048

/** The address of a group. */
export function groupAt(index: usize): usize {
  return GROUPS + index * GROUP_BYTES
}

/** Fills the elements of a group from four sub-blocks of `size` that follow one another. */
export function toLanes(group: usize, from: usize, size: usize): void {
  const bytes = size << 2
  fillLanes(group + X, from, from + bytes, from + 2 * bytes, from + 3 * bytes, size)
}

/** `size` vectors at `into`: vector i is element i of each of four arrays. */
export function fillLanes(into: usize, from0: usize, from1: usize, from2: usize, from3: usize, size: usize): void {
  for (const end = into + (size << 4); into < end; into += 64, from0 += 16, from1 += 16, from2 += 16, from3 += 16) {
    const a = v128.load(from0)
    const b = v128.load(from1)
    const c = v128.load(from2)
    const d = v128.load(from3)
    const ab01 = v128.shuffle<u32>(a, b, 0, 4, 1, 5)
    const ab23 = v128.shuffle<u32>(a, b, 2, 6, 3, 7)
    const cd01 = v128.shuffle<u32>(c, d, 0, 4, 1, 5)
    const cd23 = v128.shuffle<u32>(c, d, 2, 6, 3, 7)
    v128.store(into, v128.shuffle<u64>(ab01, cd01, 0, 2))
    v128.store(into, v128.shuffle<u64>(ab01, cd01, 1, 3), 16)
    v128.store(into, v128.shuffle<u64>(ab23, cd23, 0, 2), 32)
    v128.store(into, v128.shuffle<u64>(ab23, cd23, 1, 3), 48)
  }
}

/**
 * The final levels, with scales (and minimums) as they are stored: clamp(round((x + min) / scale)) - low, one byte per element, in their order, at
 * `into`. Where the scale is zero the levels of the search stay.
 */
export function writeLevels(group: usize, size: usize, scale: v128, min: v128, low: i32, high: i32, into: usize): void {
  const lowest = i32x4.splat(low)
  const highest = i32x4.splat(high)
  const isZero = f32x4.eq(scale, f32x4.splat(0))
  const keeps = v128.any_true(isZero)
  for (let i: usize = 0; i < size; i += 4) {
    const at = group + (i << 4)
    let a = levelsOf(v128.load(at, X), scale, min, lowest, highest)
    let b = levelsOf(v128.load(at, X + 16), scale, min, lowest, highest)
    let c = levelsOf(v128.load(at, X + 32), scale, min, lowest, highest)
    let d = levelsOf(v128.load(at, X + 48), scale, min, lowest, highest)
    if (keeps) {
      a = v128.bitselect(i32x4.trunc_sat_f32x4_s(v128.load(at, BEST)), a, isZero)
      b = v128.bitselect(i32x4.trunc_sat_f32x4_s(v128.load(at, BEST + 16)), b, isZero)
      c = v128.bitselect(i32x4.trunc_sat_f32x4_s(v128.load(at, BEST + 32)), c, isZero)
      d = v128.bitselect(i32x4.trunc_sat_f32x4_s(v128.load(at, BEST + 48)), d, isZero)
    }
    storeBytes(a, b, c, d, into + i, size)
  }
}

function levelsOf(x: v128, scale: v128, min: v128, lowest: v128, highest: v128): v128 {
  const level = nearestInts(f32x4.div(f32x4.add(x, min), scale))
  return i32x4.sub(i32x4.max_s(i32x4.min_s(level, highest), lowest), lowest)
}

/** The levels that a search has left in BEST, one byte per element, in their order, at `into`. */
export function storeBest(group: usize, size: usize, into: usize): void {
  for (let i: usize = 0; i < size; i += 4) {
    const at = group + (i << 4)
    const a = i32x4.trunc_sat_f32x4_s(v128.load(at, BEST))
    const b = i32x4.trunc_sat_f32x4_s(v128.load(at, BEST + 16))
    const c = i32x4.trunc_sat_f32x4_s(v128.load(at, BEST + 32))
    const d = i32x4.trunc_sat_f32x4_s(v128.load(at, BEST + 48))
    storeBytes(a, b, c, d, into + i, size)
  }
}

/** Four small integers of each of four sub-blocks, from vectors of lanes to four bytes at `into` in each sub-block of `size`. */
export function storeBytes(a: v128, b: v128, c: v128, d: v128, into: usize, size: usize): void {
  const byElement = i8x16.narrow_i16x8_u(i16x8.narrow_i32x4_s(a, b), i16x8.narrow_i32x4_s(c, d))
  const bySubBlock = v128.shuffle<u8>(byElement, byElement, 0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15)
  v128.store32_lane(into, bySubBlock, 0)
  v128.store32_lane(into + size, bySubBlock, 1)
  v128.store32_lane(into + 2 * size, bySubBlock, 2)
  v128.store32_lane(into + 3 * size, bySubBlock, 3)
}

/** ggml's nearest_int, whatever the value: beyond ±2^22 it gives what the low bits of the sum happen to be, and so does this. */
export function nearestInts(value: v128): v128 {
  const sum = f32x4.add(value, constant(MAGIC))
  return i32x4.sub(v128.and(sum, i32x4.splat(0x7f_ffff)), i32x4.splat(0x40_0000))
}

export function nearestInt(value: f32): i32 {
  return (reinterpret<i32>(value + f32(12582912)) & 0x7f_ffff) - 0x40_0000
}
