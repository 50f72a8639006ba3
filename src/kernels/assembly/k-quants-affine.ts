/**
 * q2_k, q4_k, q5_k: super-blocks of 256 whose sub-blocks have a scale and a min each, which are quantized themselves. Each returns how many blocks it
 * wrote, and stops before one that it leaves to the twin.
 *
 * Law: ggml-quants.c quantize_row_q*_K_ref (llama.cpp 0c1e570); twin: src/quantize/k-quants-affine.ts.
 */
import { halfOf, valueOfHalf } from './half-float'
import { LEVELS, MINS, SCALES } from './map'
import { searchAffine } from './search-affine'
import { WEIGHT, X, groupAt, nearestInt, toLanes, writeLevels } from './sub-blocks'
import { packNibbles, packOneBit, packPairs } from './packing'

const SUPER_BLOCK_BYTES: usize = 1024

/** q4_k: f16 d, f16 dmin, 12 bytes of 6-bit scales and mins, 128 bytes of levels. */
export function encodeQ4_K(from: usize, into: usize, blocks: usize): usize {
  for (let block: usize = 0; block < blocks; block++, from += SUPER_BLOCK_BYTES, into += 144) {
    if (!encodeEight(from, into, 15, -1, 20)) return block
    packNibbles(into + 16)
  }
  return blocks
}

/** q5_k: as q4_k, with 32 bytes of fifth bits before the levels. */
export function encodeQ5_K(from: usize, into: usize, blocks: usize): usize {
  for (let block: usize = 0; block < blocks; block++, from += SUPER_BLOCK_BYTES, into += 176) {
    if (!encodeEight(from, into, 31, -0.5, 15)) return block
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
  if (!searchAffine(groupAt(0), 32, f32(top), start, steps, false, SCALES, MINS)) return false
  const largestScale = largest(SCALES, 8)
  const largestMin = largest(MINS, 8)
  const scales = into + 4
  storeSixBits(scales, largestScale > 0 ? f32(63) / largestScale : 0, largestMin > 0 ? f32(63) / largestMin : 0)
  const d = halfOf(largestScale / 63)
  const dmin = halfOf(largestMin / 63)
  store<u16>(into, d)
  store<u16>(into, dmin, 2)
  loadSixBits(scales, valueOfHalf(d), valueOfHalf(dmin))
  for (let g: usize = 0; g < 2; g++) {
    writeLevels(groupAt(g), 32, v128.load(SCALES + (g << 4)), v128.load(MINS + (g << 4)), 0, top, LEVELS + (g << 7))
  }
  return true
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

/** The largest of some f32, at least zero. */
function largest(values: usize, count: usize): f32 {
  let most: f32 = 0
  for (let i: usize = 0; i < count; i++) {
    const value = load<f32>(values + (i << 2))
    if (value > most) most = value
  }
  return most
}

/** Scales and mins in 6 bits: the first four of each in the low bits of 8 bytes, the last four in 4 more and in the upper bits of those. */
function storeSixBits(into: usize, inverseScale: f32, inverseMin: f32): void {
  for (let j: usize = 0; j < 8; j++) {
    const scale = min<u32>(nearestInt(inverseScale * load<f32>(SCALES + (j << 2))) & 255, 63)
    const smallest = min<u32>(nearestInt(inverseMin * load<f32>(MINS + (j << 2))) & 255, 63)
    const at = into + j
    if (j < 4) {
      store<u8>(at, scale)
      store<u8>(at, smallest, 4)
    } else {
      store<u8>(at, (scale & 15) | ((smallest & 15) << 4), 4)
      store<u8>(at - 4, load<u8>(at - 4) | ((scale >> 4) << 6))
      store<u8>(at, load<u8>(at) | ((smallest >> 4) << 6))
    }
  }
}

/** The scales and mins that a reader will find. */
export function loadSixBits(from: usize, d: f32, dmin: f32): void {
  for (let j: usize = 0; j < 8; j++) {
    const at = from + j
    let scale = u32(load<u8>(at)) & 63
    let smallest = u32(load<u8>(at, 4)) & 63
    if (j >= 4) {
      const low = u32(load<u8>(at, 4))
      scale = (low & 15) | ((u32(load<u8>(at - 4)) >> 6) << 4)
      smallest = (low >> 4) | ((u32(load<u8>(at)) >> 6) << 4)
    }
    store<f32>(SCALES + (j << 2), d * f32(scale))
    store<f32>(MINS + (j << 2), dmin * f32(smallest))
  }
}

/** q2_k: 16 bytes of 4-bit scales and mins, 64 bytes of levels, f16 d, f16 dmin; sub-blocks of 16. */
export function encodeQ2_K(from: usize, into: usize, blocks: usize): usize {
  for (let block: usize = 0; block < blocks; block++, from += SUPER_BLOCK_BYTES, into += 84) {
    for (let g: usize = 0; g < 4; g++) {
      toLanes(groupAt(g), from + (g << 8), 16)
      weighByMagnitude(groupAt(g))
    }
    for (let g: usize = 0; g < 4; g += 2) {
      if (!searchAffine(groupAt(g), 16, 3, -0.5, 15, true, SCALES + (g << 4), MINS + (g << 4))) return block
    }
    const largestScale = largest(SCALES, 16)
    const largestMin = largest(MINS, 16)
    const inverseScale: f32 = largestScale > 0 ? f32(15) / largestScale : 0
    const inverseMin: f32 = largestMin > 0 ? f32(15) / largestMin : 0
    const d = halfOf(largestScale / 15)
    const dmin = halfOf(largestMin / 15)
    store<u16>(into, d, 80)
    store<u16>(into, dmin, 82)
    for (let j: usize = 0; j < 16; j++) {
      const scale = nearestInt(inverseScale * load<f32>(SCALES + (j << 2)))
      const smallest = nearestInt(inverseMin * load<f32>(MINS + (j << 2)))
      const both = u32(scale | (smallest << 4)) & 255
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

function weighByMagnitude(group: usize): void {
  const end = group + 256
  for (let at = group; at < end; at += 16) v128.store(at, f32x4.abs(v128.load(at, X)), WEIGHT)
}
