/**
 * q3_k, q6_k: super-blocks of 256 with a signed scale for each 16 elements, which is quantized itself. No block is left to the twin.
 *
 * Law: ggml-quants.c quantize_row_q3_K_ref, quantize_row_q6_K_ref (llama.cpp 0c1e570); twin: src/quantize/k-quants-symmetric.ts.
 */
import { halfOf, valueOfHalf } from './half-float'
import { LEVELS, SCALES } from './map'
import { packOneBit, packPairs, packSixBits } from './packing'
import { searchLevels, searchSteps } from './search-symmetric'
import { groupAt, nearestInt, toLanes, writeLevels } from './sub-blocks'

const SUPER_BLOCK_BYTES: usize = 1024
const SCALE_COUNT: usize = 16

/** q6_k: 128 + 64 bytes of levels, 16 signed scales, f16 d. */
export function encodeQ6_K(from: usize, into: usize, blocks: usize): usize {
  for (let block: usize = 0; block < blocks; block++, from += SUPER_BLOCK_BYTES, into += 210) {
    for (let g: usize = 0; g < 4; g++) {
      toLanes(groupAt(g), from + (g << 8), 16)
      searchSteps(groupAt(g), 32, SCALES + (g << 4))
    }
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
export function encodeQ3_K(from: usize, into: usize, blocks: usize): usize {
  for (let block: usize = 0; block < blocks; block++, from += SUPER_BLOCK_BYTES, into += 110) {
    for (let g: usize = 0; g < 4; g++) {
      toLanes(groupAt(g), from + (g << 8), 16)
      searchLevels(groupAt(g), 4, SCALES + (g << 4))
    }
    const largest = largestScale()
    const inverse: f32 = largest !== 0 ? f32(-32) / largest : 0
    const d = largest !== 0 ? halfOf(f32(1) / inverse) : 0
    store<u16>(into, d, 108)
    memory.fill(into + 96, 0, 12)
    for (let j: usize = 0; j < SCALE_COUNT; j++) {
      const at = SCALES + (j << 2)
      const scale = largest !== 0 ? max<i32>(-32, min<i32>(31, i32(i8(nearestInt(inverse * load<f32>(at)))))) : -32
      if (largest !== 0) storeSixBits(into + 96, j, scale + 32)
      store<f32>(at, valueOfHalf(d) * f32(scale))
    }
    storeLevels(-4, 3)
    packOneBit(4, into)
    packPairs(into + 32)
  }
  return blocks
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
