/**
 * tq1_0, tq2_0: super-blocks of 256 levels {-1, 0, 1} times their largest magnitude. Importance changes nothing. Each returns how many blocks it wrote,
 * and stops before an odd one, whose scale is so small that its inverse is infinite.
 *
 * Law: ggml-quants.c quantize_row_tq{1,2}_0_ref (llama.cpp 0c1e570); twin: src/quantize/ternary.ts.
 */
import { BELOW_HALF, MAGIC, MAGIC_BITS, SIGN, constant } from './constants'
import { halfOf } from './half-float'
import { LEVELS } from './map'
import { packPairs, packTrits } from './packing'
import { magnitudes, sixteenBytes } from './small-blocks'

const SUPER_BLOCK_BYTES: usize = 1024

/** tq1_0: 52 bytes of trits, f16 d. */
export function encodeTq1_0(from: usize, into: usize, blocks: usize): usize {
  for (let block: usize = 0; block < blocks; block++, from += SUPER_BLOCK_BYTES, into += 54) {
    const d = roundTernary(from)
    if (d < 0) return block
    packTrits(into)
    store<u16>(into, halfOf(d), 52)
  }
  return blocks
}

/** tq2_0: 64 bytes of 2 bits, f16 d. */
export function encodeTq2_0(from: usize, into: usize, blocks: usize): usize {
  for (let block: usize = 0; block < blocks; block++, from += SUPER_BLOCK_BYTES, into += 66) {
    const d = roundTernary(from)
    if (d < 0) return block
    packPairs(into)
    store<u16>(into, halfOf(d), 64)
  }
  return blocks
}

/** Levels 0, 1, 2 to LEVELS. @returns the scale, or -1 for an odd block */
function roundTernary(from: usize): f32 {
  let largest = f32x4.splat(0)
  for (let at = from; at < from + SUPER_BLOCK_BYTES; at += 128) largest = f32x4.pmax(largest, magnitudes(at))
  largest = f32x4.pmax(largest, v128.shuffle<u32>(largest, largest, 2, 3, 0, 1))
  const d = f32x4.extract_lane(f32x4.pmax(largest, v128.shuffle<u32>(largest, largest, 1, 0, 3, 2)), 0)
  const inverse: f32 = d !== 0 ? f32(1) / d : 0
  if (inverse === f32(Infinity)) return -1
  const factor = f32x4.splat(inverse)
  const sign = constant(SIGN)
  const half = constant(BELOW_HALF)
  const magic = constant(MAGIC)
  const magicBits = constant(MAGIC_BITS)
  const one = i8x16.splat(1)
  for (let i: usize = 0; i < 256; i += 16) v128.store(LEVELS + i, i8x16.add(sixteenBytes(from + (i << 2), factor, sign, half, magic, magicBits), one))
  return d
}
