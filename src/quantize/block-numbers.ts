/**
 * The few ways in which block quantizers turn numbers into integers and halves.
 *
 * Law: ggml-quants.c `nearest_int`, ggml-impl.h GGML_FP32_TO_FP16 and back, C's roundf (llama.cpp 0c1e570), as compiled for x86-64.
 */
/* oxlint-disable typescript/no-non-null-assertion -- numeric loops */
import { narrowF16, widenF16 } from '../core/float16.js'

const ROUNDER = 12_582_912 // 1.5 * 2^23: an f32 near it has no room for a fraction
const NAN_HALF = 0xfe00 // what inf - inf and 0 * inf are on x86, as f16

const float = new Float32Array(1)
const floatBits = new Uint32Array(float.buffer)

/** Half to even, by adding 1.5 * 2^23. What is beyond 2^22 or no number becomes what the reference's reading of the bits makes of it. */
export function nearestInt(value: number): number {
  const sum = Math.fround(value + ROUNDER)
  if (sum >= 0x80_0000 && sum < 0x100_0000) return sum - ROUNDER
  float[0] = sum
  return (floatBits[0]! & 0x7f_ffff) - 0x40_0000
}

/** C's roundf, halves away from zero, for magnitudes below 2^23; the infinities and NaN of a subnormal scale's inverse give 0, as the reference's casts do. */
export function roundHalfAway(value: number): number {
  if (!Number.isFinite(value)) return 0
  return value < 0 ? -Math.floor(0.5 - value) : Math.floor(value + 0.5)
}

/** 1 / value in f32; 0 for 0. */
export function inverseOf(value: number): number {
  return value === 0 ? 0 : Math.fround(1 / value)
}

/** The f16 at a byte offset. */
export function readHalf(bytes: Uint8Array, at: number): number {
  floatBits[0] = widenF16(bytes[at]! | (bytes[at + 1]! << 8))
  return float[0]!
}

/** Stores an f32 as the nearest f16. */
export function writeHalf(into: Uint8Array, at: number, value: number): void {
  float[0] = value
  const half = Number.isNaN(value) ? NAN_HALF : narrowF16(floatBits[0]!)
  into[at] = half & 0xff
  into[at + 1] = half >>> 8
}

/** The value whose magnitude is largest, the first one of equals; +0 when there is none. */
export function largestByMagnitude(values: Float32Array): number {
  let largest = 0
  let magnitude = 0
  for (let i = 0; i < values.length; i++) {
    const value = values[i]!
    if (Math.abs(value) > magnitude) {
      magnitude = Math.abs(value)
      largest = value
    }
  }
  return largest
}
