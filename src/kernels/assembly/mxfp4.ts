/**
 * mxfp4: blocks of 32 E2M1 floats with an E8M0 exponent. Importance changes nothing. Returns how many blocks it wrote, and stops before one whose largest
 * element is below 2^-124, where the reference's exponent is about to wrap around in its byte.
 *
 * Law: ggml-quants.c quantize_row_mxfp4_ref (llama.cpp 0c1e570); twin: src/quantize/mxfp4.ts.
 */
import { packSmall } from './packing'
import { magnitudes } from './small-blocks'

const BLOCK_BYTES: usize = 128
const LEAST_EXPONENT: u32 = 3
/** Of the format's largest value, 6. */
const LARGEST_EXPONENT: u32 = 2

/** u8 exponent, 16 bytes of levels. */
export function encodeMxfp4(from: usize, into: usize, blocks: usize): usize {
  for (let block: usize = 0; block < blocks; block++, from += BLOCK_BYTES, into += 17) {
    const most = magnitudes(from)
    const half = f32x4.pmax(most, v128.shuffle<u32>(most, most, 2, 3, 0, 1))
    const largest = reinterpret<u32>(f32x4.extract_lane(f32x4.pmax(half, v128.shuffle<u32>(half, half, 1, 0, 3, 2)), 0))
    if (largest === 0) {
      memory.fill(into, 0, 17)
      continue
    }
    const exponent = exponentOf(largest)
    if (exponent < LEAST_EXPONENT) return block
    store<u8>(into, exponent - LARGEST_EXPONENT)
    // 2^(exponent - 130), half of what the stored exponent means; the lowest one is subnormal
    const scale = reinterpret<f32>(exponent === LEAST_EXPONENT ? 1 << 22 : (exponent - LEAST_EXPONENT) << 23)
    packSmall(levels(from, scale), levels(from + 64, scale), 4, into + 1)
  }
  return blocks
}

/**
 * The biased exponent of ⌊log2⌋, where the logarithm is rounded to f32 first: so numbers a few ulps below a power of two belong to it. Near 2^k, with
 * 2^m ≤ |k| < 2^(m+1) (for positive k, 2^m < k ≤ 2^(m+1)), an f32 logarithm has steps of 2^(m-23), and half a step of it is 2^m · ln 2 ulps of the number.
 */
function exponentOf(bits: u32): u32 {
  const next = i32(bits >> 23) + 1 - 127
  if (next === 0) return bits >> 23
  const m = 31 - clz<i32>(next > 0 ? next - 1 : -next)
  if (m < 0) return bits >> 23 // just below 1 the logarithm has finer steps than the number
  const ulps = (45426 << m) >> 16 // ⌊2^m · ln 2⌋
  return (bits + ulps) >> 23
}

/** 16 levels: the magnitude's place among 0, 1, 2, 3, 4, 6, 8, 12 times the scale, the lower one of two that are as near, and 8 for a negative sign. */
function levels(from: usize, scale: f32): v128 {
  return i8x16.narrow_i16x8_u(
    i16x8.narrow_i32x4_s(levelsOf(v128.load(from), scale), levelsOf(v128.load(from, 16), scale)),
    i16x8.narrow_i32x4_s(levelsOf(v128.load(from, 32), scale), levelsOf(v128.load(from, 48), scale)),
  )
}

function levelsOf(x: v128, scale: f32): v128 {
  const magnitude = f32x4.abs(x)
  // each comparison that holds is -1
  let level = f32x4.gt(magnitude, f32x4.splat(scale * f32(0.5)))
  level = i32x4.add(level, f32x4.gt(magnitude, f32x4.splat(scale * f32(1.5))))
  level = i32x4.add(level, f32x4.gt(magnitude, f32x4.splat(scale * f32(2.5))))
  level = i32x4.add(level, f32x4.gt(magnitude, f32x4.splat(scale * f32(3.5))))
  level = i32x4.add(level, f32x4.gt(magnitude, f32x4.splat(scale * f32(5))))
  level = i32x4.add(level, f32x4.gt(magnitude, f32x4.splat(scale * f32(7))))
  level = i32x4.add(level, f32x4.gt(magnitude, f32x4.splat(scale * f32(10))))
  const isNegative = v128.and(f32x4.lt(x, f32x4.splat(0)), level)
  return i32x4.sub(v128.and(i32x4.ne(isNegative, i32x4.splat(0)), i32x4.splat(8)), level)
}
