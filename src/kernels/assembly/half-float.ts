/**
 * f16 and bf16 to f32 and back, eight at a time. Equal to src/core/float16.ts in every bit: to the nearest, ties to even; widening keeps NaN payloads,
 * narrowing makes NaN what ggml makes of it.
 *
 * The fast way lets the FPU do the work: an f16 is an f32 with other places for its fields, so a multiplication by a power of two moves the
 * exponent, and an addition rounds at the right bit (ggml-impl.h does it so, one by one). NaN is the exception: an FPU would make it quiet or
 * lose its payload, so eight values with a NaN among them take the slow way.
 */
import { MAGNITUDE, constant } from './constants'

const F16_EXPONENT_SHIFTED = memory.data<u32>([0x7000_0000], 4) // 224 << 23: with the 2^-112 below it moves the exponent by 112
const TWO_TO_MINUS_112 = memory.data<u32>([0x0780_0000], 4)
const ONE_HALF_BITS = memory.data<u32>([0x3f00_0000], 4) // for subnormals: 0.5 with the fraction in its low bits, less 0.5
const SMALLEST_NORMAL_TWICE = memory.data<u32>([0x0800_0000], 4) // f16 bits << 17
const F16_MAGNITUDES = memory.data<u32>([0x7fff_7fff], 4) // of two neighbours
const F16_INFINITIES = memory.data<u32>([0x7c00_7c00], 4)
const SIGN = memory.data<u32>([0x8000_0000], 4)

/** `count` (a multiple of 8) f16 at `from` to f32 at `into`. */
export function widenF16(from: usize, into: usize, count: usize): void {
  const sign = constant(SIGN)
  const shifted = constant(F16_EXPONENT_SHIFTED)
  const scale = constant(TWO_TO_MINUS_112)
  const half = constant(ONE_HALF_BITS)
  const normal = constant(SMALLEST_NORMAL_TWICE)
  const magnitudes = constant(F16_MAGNITUDES)
  const infinities = constant(F16_INFINITIES)
  const zero = i32x4.splat(0)
  for (const end = from + (count << 1); from < end; from += 16, into += 32) {
    const halves = v128.load(from)
    // each half in the upper 16 bits of a lane
    const low = v128.shuffle<u16>(zero, halves, 0, 8, 1, 9, 2, 10, 3, 11)
    const high = v128.shuffle<u16>(zero, halves, 4, 12, 5, 13, 6, 14, 7, 15)
    if (v128.any_true(i16x8.gt_s(v128.and(halves, magnitudes), infinities))) {
      v128.store(into, widenWithNaN(low))
      v128.store(into, widenWithNaN(high), 16)
      continue
    }
    v128.store(into, widened(low, sign, shifted, scale, half, normal))
    v128.store(into, widened(high, sign, shifted, scale, half, normal), 16)
  }
}

function widened(bits: v128, sign: v128, shifted: v128, scale: v128, half: v128, normal: v128): v128 {
  const twice = i32x4.add(bits, bits)
  const large = f32x4.mul(i32x4.add(i32x4.shr_u(twice, 4), shifted), scale)
  const small = f32x4.sub(v128.or(i32x4.shr_u(twice, 17), half), half)
  return v128.or(v128.and(bits, sign), v128.bitselect(small, large, i32x4.gt_u(normal, twice)))
}

/** The same in integers, where a NaN is nothing special; subnormals still by a subtraction, which is exact. */
function widenWithNaN(bits: v128): v128 {
  const magnitude = i32x4.shr_u(v128.and(bits, i32x4.splat(0x7fff_0000)), 3)
  const isLarge = i32x4.ge_u(magnitude, i32x4.splat(0x0f80_0000))
  const isSubnormal = i32x4.lt_u(magnitude, i32x4.splat(0x0080_0000))
  const bias = i32x4.splat(0x3800_0000)
  const large = i32x4.add(i32x4.add(magnitude, bias), v128.and(isLarge, bias))
  const smallest = i32x4.splat(0x3880_0000) // 2^-14
  const small = f32x4.sub(v128.or(magnitude, smallest), smallest)
  return v128.or(v128.and(bits, i32x4.splat(0x8000_0000)), v128.bitselect(small, large, isSubnormal))
}

/** `count` (a multiple of 8) bf16 at `from` to f32 at `into`: a bf16 is the upper half of an f32. */
export function widenBf16(from: usize, into: usize, count: usize): void {
  const zero = i32x4.splat(0)
  for (const end = from + (count << 1); from < end; from += 16, into += 32) {
    const halves = v128.load(from)
    v128.store(into, v128.shuffle<u16>(zero, halves, 0, 8, 1, 9, 2, 10, 3, 11))
    v128.store(into, v128.shuffle<u16>(zero, halves, 4, 12, 5, 13, 6, 14, 7, 15), 16)
  }
}

const TWO_TO_112 = memory.data<u32>([0x7780_0000], 4) // beyond 65520 it makes an infinity …
const TWO_TO_MINUS_110 = memory.data<u32>([0x0880_0000], 4) // … that this leaves one, and brings all others to four times their size
const F32_INFINITY = memory.data<u32>([0x7f80_0000], 4) // all bits of the exponent
const SMALLEST_BIAS = memory.data<u32>([0x3880_0000], 4) // 2^-14: below it, f16 has no finer steps
const ROUNDING_EXPONENT = memory.data<u32>([0x0780_0000], 4)
const F16_EXPONENT = memory.data<u32>([0x7c00], 4)
const F16_FRACTION_AND_CARRY = memory.data<u32>([0x0fff], 4)
const F16_SIGN = memory.data<u32>([0x8000], 4)

/** `count` (a multiple of 8) f32 at `from` to f16 at `into`. */
export function narrowF16(from: usize, into: usize, count: usize): void {
  const up = constant(TWO_TO_112)
  const down = constant(TWO_TO_MINUS_110)
  const infinity = constant(F32_INFINITY)
  const smallestBias = constant(SMALLEST_BIAS)
  const rounding = constant(ROUNDING_EXPONENT)
  const exponent = constant(F16_EXPONENT)
  const fraction = constant(F16_FRACTION_AND_CARRY)
  const sign = constant(F16_SIGN)
  const magnitude = constant(MAGNITUDE)
  for (const end = from + (count << 2); from < end; from += 32, into += 16) {
    const low = v128.load(from)
    const high = v128.load(from, 16)
    const lowMagnitude = v128.and(low, magnitude)
    const highMagnitude = v128.and(high, magnitude)
    let lowHalf = narrowed(lowMagnitude, up, down, infinity, smallestBias, rounding, exponent, fraction)
    let highHalf = narrowed(highMagnitude, up, down, infinity, smallestBias, rounding, exponent, fraction)
    const lowNaN = i32x4.gt_s(lowMagnitude, infinity)
    const highNaN = i32x4.gt_s(highMagnitude, infinity)
    if (v128.any_true(v128.or(lowNaN, highNaN))) {
      lowHalf = v128.bitselect(i32x4.splat(0x7e00), lowHalf, lowNaN)
      highHalf = v128.bitselect(i32x4.splat(0x7e00), highHalf, highNaN)
    }
    lowHalf = v128.or(lowHalf, v128.and(i32x4.shr_u(low, 16), sign))
    highHalf = v128.or(highHalf, v128.and(i32x4.shr_u(high, 16), sign))
    v128.store(into, i16x8.narrow_i32x4_u(lowHalf, highHalf))
  }
}

/** Exponent and fraction of the f16: adding a power of two with the right exponent makes the FPU round at the last bit of the f16. */
function narrowed(magnitude: v128, up: v128, down: v128, infinity: v128, smallestBias: v128, rounding: v128, exponent: v128, fraction: v128): v128 {
  const scaled = f32x4.mul(f32x4.mul(magnitude, up), down)
  const bias = i32x4.max_s(v128.and(magnitude, infinity), smallestBias)
  const rounded = f32x4.add(i32x4.add(bias, rounding), scaled)
  return i32x4.add(v128.and(i32x4.shr_u(rounded, 13), exponent), v128.and(rounded, fraction))
}

const BELOW_BF16_HALF = memory.data<u32>([0x7fff], 4)
const ONE = memory.data<u32>([1], 4)

/** So many are narrowed before a look for NaN. */
const RUN: usize = 256

/** `count` (a multiple of 8) f32 at `from` to bf16 at `into`, which do not overlap. */
export function narrowBf16(from: usize, into: usize, count: usize): void {
  for (; count >= RUN; count -= RUN, from += RUN << 2, into += RUN << 1) if (!narrowRunToBf16(from, into)) narrowNaNsToBf16(from, into, RUN)
  narrowNaNsToBf16(from, into, count)
}

/** @returns false when there may be NaN among them, and what was written is wrong */
function narrowRunToBf16(from: usize, into: usize): bool {
  const belowHalf = constant(BELOW_BF16_HALF)
  const one = constant(ONE)
  let sumA = f32x4.splat(0)
  let sumB = sumA
  let sumC = sumA
  let sumD = sumA
  for (const end = from + (RUN << 2); from < end; from += 64, into += 32) {
    const a = v128.load(from)
    const b = v128.load(from, 16)
    const c = v128.load(from, 32)
    const d = v128.load(from, 48)
    // a sum is NaN where a term is (and where infinities cancel out, which the careful way does no harm)
    sumA = f32x4.add(sumA, a)
    sumB = f32x4.add(sumB, b)
    sumC = f32x4.add(sumC, c)
    sumD = f32x4.add(sumD, d)
    v128.store(into, i16x8.narrow_i32x4_u(nearestBf16(a, belowHalf, one), nearestBf16(b, belowHalf, one)))
    v128.store(into, i16x8.narrow_i32x4_u(nearestBf16(c, belowHalf, one), nearestBf16(d, belowHalf, one)), 16)
  }
  const sum = f32x4.add(f32x4.add(sumA, sumB), f32x4.add(sumC, sumD))
  return !v128.any_true(f32x4.ne(sum, sum))
}

/** `count` (a multiple of 8) f32 of which some may be NaN. */
function narrowNaNsToBf16(from: usize, into: usize, count: usize): void {
  for (const end = from + (count << 2); from < end; from += 32, into += 16) narrowEightToBf16(from, into)
}

/** Eight f32 of which some may be NaN. */
function narrowEightToBf16(from: usize, into: usize): void {
  const low = v128.load(from)
  const high = v128.load(from, 16)
  const lowHalf = v128.bitselect(bf16NaN(low), nearestBf16Of(low), f32x4.ne(low, low))
  const highHalf = v128.bitselect(bf16NaN(high), nearestBf16Of(high), f32x4.ne(high, high))
  v128.store(into, i16x8.narrow_i32x4_u(lowHalf, highHalf))
}

function nearestBf16(bits: v128, belowHalf: v128, one: v128): v128 {
  const isOdd = v128.and(i32x4.shr_u(bits, 16), one)
  return i32x4.shr_u(i32x4.add(bits, i32x4.add(belowHalf, isOdd)), 16)
}

/** Made quiet. */
function bf16NaN(bits: v128): v128 {
  return v128.or(i32x4.shr_u(bits, 16), i32x4.splat(0x40))
}

/** The f16 of four f32 that are no NaN, one in each lane. */
export function halvesOf(values: v128): v128 {
  const half = narrowed(
    f32x4.abs(values),
    constant(TWO_TO_112),
    constant(TWO_TO_MINUS_110),
    constant(F32_INFINITY),
    constant(SMALLEST_BIAS),
    constant(ROUNDING_EXPONENT),
    constant(F16_EXPONENT),
    constant(F16_FRACTION_AND_CARRY),
  )
  return v128.or(half, v128.and(i32x4.shr_u(values, 16), constant(F16_SIGN)))
}

/** The bf16 of four f32 that are no NaN, one in each lane. */
export function nearestBf16Of(values: v128): v128 {
  return nearestBf16(values, constant(BELOW_BF16_HALF), constant(ONE))
}

/** The f16 of one f32 that is no NaN. */
export function halfOf(value: f32): u32 {
  const bits = reinterpret<u32>(value)
  const scaled = abs(value) * reinterpret<f32>(0x7780_0000) * reinterpret<f32>(0x0880_0000)
  const bias = max<u32>((bits << 1) & 0xff00_0000, 0x7100_0000)
  const rounded = reinterpret<u32>(reinterpret<f32>((bias >> 1) + 0x0780_0000) + scaled)
  return ((bits >> 16) & 0x8000) | (((rounded >> 13) & 0x7c00) + (rounded & 0x0fff))
}

/** The f32 of one f16 that is no NaN. */
export function valueOfHalf(half: u32): f32 {
  const twice = half << 17
  const large = reinterpret<f32>((twice >> 4) + 0x7000_0000) * reinterpret<f32>(0x0780_0000)
  const small = reinterpret<f32>((twice >> 17) | 0x3f00_0000) - 0.5
  const magnitude = twice < 0x0800_0000 ? small : large
  return reinterpret<f32>(reinterpret<u32>(magnitude) | ((half & 0x8000) << 16))
}
