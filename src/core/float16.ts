/**
 * f16 and bf16 to f32 and back, on bit patterns, so that NaN payloads and signs survive: JavaScript numbers would quiet
 * a signalling NaN on the way.
 *
 * Law: ggml-impl.h ggml_compute_fp32_to_fp16, ggml_compute_fp32_to_bf16 (llama.cpp 0c1e570): to the nearest, ties to even; a NaN becomes 0x7e00 with its
 * sign as f16, and is made quiet as bf16. Widening is exact, NaN payloads too: so what was widened can be given back as it was ({@link keptHalf}).
 */

const F32_INFINITY = 0x7f80_0000
const F16_INFINITY = 0x7c00
const F16_QUIET = 0x0200
const BF16_QUIET = 0x0040
const F16_OVERFLOW = 0x477f_f000 // bits of 65520: the smallest f32 that rounds to an f16 infinity
const F16_SMALLEST_NORMAL = 0x3880_0000 // bits of 2^-14
const F16_ROUNDS_TO_ZERO = 0x3300_0000 // bits of 2^-25, half of the smallest subnormal: a tie to even zero

/** The f32 bits of an f16. Exact. */
export function widenF16(half: number): number {
  const sign = (half & 0x8000) << 16
  const exponent = (half >>> 10) & 0x1f
  const fraction = half & 0x3ff
  if (exponent === 0x1f) return (sign | F32_INFINITY | (fraction << 13)) >>> 0
  if (exponent > 0) return (sign | ((exponent + 112) << 23) | (fraction << 13)) >>> 0
  if (fraction === 0) return sign >>> 0
  const shift = Math.clz32(fraction) - 21 // brings the leading one to bit 10
  return (sign | ((113 - shift) << 23) | (((fraction << shift) & 0x3ff) << 13)) >>> 0
}

/** The f16 nearest to an f32 given by its bits. */
export function narrowF16(bits: number): number {
  const sign = (bits >>> 16) & 0x8000
  const magnitude = bits & 0x7fff_ffff
  if (magnitude >= F16_OVERFLOW) {
    return sign | F16_INFINITY | (magnitude <= F32_INFINITY ? 0 : F16_QUIET)
  }
  if (magnitude >= F16_SMALLEST_NORMAL) return sign | ((magnitude + 0xfff + ((magnitude >>> 13) & 1) - 0x3800_0000) >>> 13)
  if (magnitude <= F16_ROUNDS_TO_ZERO) return sign
  const shift = 126 - (magnitude >>> 23) // 14..24: places between the f32 fraction and units of 2^-24
  const fraction = (magnitude & 0x7f_ffff) | 0x80_0000
  const half = fraction >>> shift
  const rest = fraction & ((1 << shift) - 1)
  const tie = 1 << (shift - 1)
  return sign | (half + (rest > tie || (rest === tie && (half & 1) === 1) ? 1 : 0))
}

/** The bf16 nearest to an f32 given by its bits. */
export function narrowBf16(bits: number): number {
  if ((bits & 0x7fff_ffff) > F32_INFINITY) return (bits >>> 16) | BF16_QUIET
  return ((bits + 0x7fff + ((bits >>> 16) & 1)) >>> 16) & 0xffff
}

/** The f16 or bf16 that an f32 was widened from: NaN payloads and all. */
export function keptHalf(bits: number, type: 'f16' | 'bf16'): number {
  if (type === 'bf16') return bits >>> 16
  return (bits & 0x7fff_ffff) > F32_INFINITY ? ((bits >>> 16) & 0x8000) | F16_INFINITY | ((bits >>> 13) & 0x3ff || F16_QUIET) : narrowF16(bits)
}

/** Widens `from` into f32 bits; both have the same length. */
export function widenF16s(from: Uint16Array, into: Uint32Array): void {
  for (let i = 0; i < from.length; i++) into[i] = widenF16(from[i]!)
}

/** Widens bf16 into f32 bits: a bf16 is the upper half of an f32. */
export function widenBf16s(from: Uint16Array, into: Uint32Array): void {
  for (let i = 0; i < from.length; i++) into[i] = from[i]! << 16
}

/** Narrows f32 bits to f16. */
export function narrowF16s(from: Uint32Array, into: Uint16Array): void {
  for (let i = 0; i < from.length; i++) into[i] = narrowF16(from[i]!)
}

/** Narrows f32 bits to bf16. */
export function narrowBf16s(from: Uint32Array, into: Uint16Array): void {
  for (let i = 0; i < from.length; i++) into[i] = narrowBf16(from[i]!)
}
