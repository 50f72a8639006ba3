/**
 * Values that a type cannot hold. A finite value must never become infinite unseen, and a NaN must never become a number.
 */
import type { EncodedType } from '../core/arithmetic.js'
import { MismatchError } from '../core/errors.js'

interface Range {
  /** Smallest magnitude that rounds to infinity. */
  readonly overflow: number
  /** Largest magnitude that the type holds. */
  readonly largest: number
  /** NaN and infinity are kept as they are; the others have no way to say them. */
  readonly keepsNonFinite: boolean
}

const F16_LARGEST = 65_504
const F16_OVERFLOW = 65_520
const Q8_0_STEPS = 127 // q8_0 holds its scale, max / 127, as f16

/** A block type whose scale is an f16 that gets at most `1 / steps` of the largest magnitude. */
const block = (steps: number): Range => ({ overflow: F16_OVERFLOW * steps, largest: F16_LARGEST * steps, keepsNonFinite: false })

/** The bounds of types with minimums or searches are safe ones: what passes cannot overflow, whatever the search finds. */
const RANGES: Readonly<Record<EncodedType, Range>> = {
  f32: { overflow: Infinity, largest: Infinity, keepsNonFinite: true },
  f16: { overflow: F16_OVERFLOW, largest: F16_LARGEST, keepsNonFinite: true },
  bf16: { overflow: 2 ** 128 - 2 ** 119, largest: 2 ** 128 - 2 ** 120, keepsNonFinite: true },
  q8_0: block(Q8_0_STEPS),
  q4_0: block(8),
  q4_1: block(1), // the minimum is an f16 itself
  q5_0: block(16),
  q5_1: block(1),
  q2_k: block(1),
  q3_k: block(4),
  q4_k: block(1),
  q5_k: block(1),
  q6_k: block(32),
  iq4_nl: block(8),
  iq4_xs: block(8),
  tq1_0: block(1),
  tq2_0: block(1),
  mxfp4: { overflow: Infinity, largest: Infinity, keepsNonFinite: false }, // its scale is a power of two up to 2^127
}

const F32_INFINITY = 0x7f80_0000

/**
 * Looks at f32 rows before they are encoded.
 * @param values      rows of the output tensor; out-of-range ones are clamped in place when `clamp` says so
 * @param first       index of `values[0]` in the tensor, for messages
 * @returns how many are NaN or infinite (only types that keep them get that far)
 * @throws MismatchError naming tensor, index and value
 */
export function checkRange(type: EncodedType, values: Float32Array, place: { file: string; tensor: string }, first: number, clamp: boolean): number {
  const { overflow, largest, keepsNonFinite } = RANGES[type]
  const bits = new Uint32Array(values.buffer, values.byteOffset, values.length)
  const limit = magnitudeBits(overflow)
  let nonFinite = 0
  for (let i = 0; i < bits.length; i++) {
    const magnitude = bits[i]! & 0x7fff_ffff
    if (magnitude < limit) continue
    const value = values[i]!
    if (magnitude >= F32_INFINITY) {
      if (!keepsNonFinite)
        throw new MismatchError(
          `element ${first + i} is ${value}, and ${type} cannot hold it: the weights are broken. Try f32, f16 or bf16, which keep it.`,
          place,
        )
      nonFinite++
    } else if (clamp) values[i] = Math.sign(value) * largest
    else
      throw new MismatchError(
        `element ${first + i} is ${value}, beyond the ${largest} that ${type} can hold. Use ${type === 'f16' ? 'bf16 or q8_0' : 'f32'}, or --clamp-overflow.`,
        place,
      )
  }
  return nonFinite
}

/** How many f32 values are NaN or infinite. */
export function countNonFinite(values: Float32Array): number {
  const bits = new Uint32Array(values.buffer, values.byteOffset, values.length)
  let count = 0
  for (let i = 0; i < bits.length; i++) if ((bits[i]! & F32_INFINITY) === F32_INFINITY) count++
  return count
}

/** How many f16 or bf16 values are NaN or infinite. */
export function countNonFiniteHalves(bytes: Uint8Array, dtype: 'F16' | 'BF16'): number {
  const halves = new Uint16Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 2)
  const exponent = dtype === 'F16' ? 0x7c00 : 0x7f80
  let count = 0
  for (let i = 0; i < halves.length; i++) if ((halves[i]! & exponent) === exponent) count++
  return count
}

function magnitudeBits(value: number): number {
  return new Uint32Array(new Float32Array([value]).buffer)[0]!
}
