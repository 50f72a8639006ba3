/**
 * What the bytes of a block mean, for every type: where the levels of its elements stand, and what a level is worth.
 *
 *   value = scale(group) * values[level] - min(group)      two roundings; types without mins subtract +0, which changes nothing
 *
 * Encoders write levels and read scales back through this table; decoders are nothing but this table.
 *
 * Law: ggml-common.h block structs, ggml-quants.c `dequantize_row_*` (llama.cpp 0c1e570).
 */
/* oxlint-disable typescript/no-non-null-assertion -- numeric loops */
import { readHalf } from './block-numbers.js'
import { readTrits } from './trits.js'

/** Types that are stored in blocks and can be read and written. */
// oxfmt-ignore
export type BlockType =
  | 'q8_0' | 'q4_0' | 'q4_1' | 'q5_0' | 'q5_1'
  | 'q2_k' | 'q3_k' | 'q4_k' | 'q5_k' | 'q6_k'
  | 'iq4_nl' | 'iq4_xs' | 'tq1_0' | 'tq2_0' | 'mxfp4'

/**
 * Some bits of every level. Runs of `stride * 8 / bits` elements become `stride` bytes: byte i of a run holds elements
 * i, i + stride, i + 2 * stride …, from the low bits up.
 */
export interface Plane {
  /** Of its first byte in the block. */
  readonly offset: number
  /** How many bits of each level: 1, 2, 4 or 8. */
  readonly bits: number
  /** The lowest of these bits in the level. */
  readonly shift: number
  readonly stride: number
}

export interface BlockFormat {
  /** Elements that share a scale. */
  readonly groupElements: number
  /** What each level is worth before its scale. */
  readonly values: Float32Array
  /** Reads the levels of a block at byte `at`, one for each element of `levels`. */
  readonly readLevels: (bytes: Uint8Array, at: number, levels: Uint8Array) => void
  /** Reads the scale and the min of each group; `mins` is +0 everywhere before and is left so by types without mins. */
  readonly readScales: (bytes: Uint8Array, at: number, scales: Float32Array, mins: Float32Array) => void
}

/** Where the levels stand. tq1_0 has trits instead. */
// oxfmt-ignore
export const LEVEL_PLANES = {
  q8_0: [{ offset: 2, bits: 8, shift: 0, stride: 1 }],
  q4_0: [{ offset: 2, bits: 4, shift: 0, stride: 16 }],
  q4_1: [{ offset: 4, bits: 4, shift: 0, stride: 16 }],
  q5_0: [{ offset: 2, bits: 1, shift: 4, stride: 1 }, { offset: 6, bits: 4, shift: 0, stride: 16 }],
  q5_1: [{ offset: 4, bits: 1, shift: 4, stride: 1 }, { offset: 8, bits: 4, shift: 0, stride: 16 }],
  q2_k: [{ offset: 16, bits: 2, shift: 0, stride: 32 }],
  q3_k: [{ offset: 0, bits: 1, shift: 2, stride: 32 }, { offset: 32, bits: 2, shift: 0, stride: 32 }],
  q4_k: [{ offset: 16, bits: 4, shift: 0, stride: 32 }],
  q5_k: [{ offset: 16, bits: 1, shift: 4, stride: 32 }, { offset: 48, bits: 4, shift: 0, stride: 32 }],
  q6_k: [{ offset: 0, bits: 4, shift: 0, stride: 64 }, { offset: 128, bits: 2, shift: 4, stride: 32 }],
  iq4_nl: [{ offset: 2, bits: 4, shift: 0, stride: 16 }],
  iq4_xs: [{ offset: 8, bits: 4, shift: 0, stride: 16 }],
  tq2_0: [{ offset: 0, bits: 2, shift: 0, stride: 32 }],
  mxfp4: [{ offset: 1, bits: 4, shift: 0, stride: 16 }],
} as const satisfies Partial<Record<BlockType, readonly Plane[]>>

/** Where the 6-bit scale levels of q3_k (16 of them) and iq4_xs (8) stand. */
// oxfmt-ignore
export const SCALE_PLANES = {
  q3_k: [{ offset: 96, bits: 4, shift: 0, stride: 8 }, { offset: 104, bits: 2, shift: 4, stride: 4 }],
  iq4_xs: [{ offset: 4, bits: 4, shift: 0, stride: 1 }, { offset: 2, bits: 2, shift: 4, stride: 1 }],
} as const satisfies Partial<Record<BlockType, readonly Plane[]>>

/** Steps of iq4_nl and iq4_xs: denser near zero, as weights are. */
export const IQ4_VALUES = Float32Array.of(-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113)

/** E2M1 floats, doubled so that they are integers; their scale is halved instead. */
export const MXFP4_VALUES = Float32Array.of(0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12)

/** Byte offsets in the types that have more than one field before or after their levels. */
export const FIELDS = {
  q2_k: { scales: 0, d: 80, dmin: 82 },
  q3_k: { d: 108 },
  q45_k: { d: 0, dmin: 2, scales: 4 },
  q6_k: { scales: 192, d: 208 },
  tq1_0: { d: 52 },
  tq2_0: { d: 64 },
} as const

export const BLOCK_FORMATS: Readonly<Record<BlockType, BlockFormat>> = {
  q8_0: format(
    LEVEL_PLANES.q8_0,
    32,
    Float32Array.from({ length: 256 }, (_, level) => (level << 24) >> 24),
    halfAt(0),
  ),
  q4_0: format(LEVEL_PLANES.q4_0, 32, countingFrom(-8, 16), halfAt(0)),
  q4_1: format(LEVEL_PLANES.q4_1, 32, countingFrom(0, 16), halfAndMinimum),
  q5_0: format(LEVEL_PLANES.q5_0, 32, countingFrom(-16, 32), halfAt(0)),
  q5_1: format(LEVEL_PLANES.q5_1, 32, countingFrom(0, 32), halfAndMinimum),
  q2_k: format(LEVEL_PLANES.q2_k, 16, countingFrom(0, 4), q2kScales),
  q3_k: format(LEVEL_PLANES.q3_k, 16, countingFrom(-4, 8), sixBitScales(SCALE_PLANES.q3_k, FIELDS.q3_k.d)),
  q4_k: format(LEVEL_PLANES.q4_k, 32, countingFrom(0, 16), q45kScales),
  q5_k: format(LEVEL_PLANES.q5_k, 32, countingFrom(0, 32), q45kScales),
  q6_k: format(LEVEL_PLANES.q6_k, 16, countingFrom(-32, 64), q6kScales),
  iq4_nl: format(LEVEL_PLANES.iq4_nl, 32, IQ4_VALUES, halfAt(0)),
  iq4_xs: format(LEVEL_PLANES.iq4_xs, 32, IQ4_VALUES, sixBitScales(SCALE_PLANES.iq4_xs, 0)),
  tq1_0: { groupElements: 256, values: countingFrom(-1, 3), readLevels: readTrits, readScales: halfAt(FIELDS.tq1_0.d) },
  tq2_0: format(LEVEL_PLANES.tq2_0, 256, countingFrom(-1, 4), halfAt(FIELDS.tq2_0.d)),
  mxfp4: format(LEVEL_PLANES.mxfp4, 32, MXFP4_VALUES, (bytes, at, scales) => void (scales[0] = halfPowerOfTwo(bytes[at]!))),
}

/** Writes levels into the block at byte `at`. */
export function packLevels(planes: readonly Plane[], levels: Uint8Array, into: Uint8Array, at: number): void {
  for (const { offset, bits, shift, stride } of planes) {
    const mask = (1 << bits) - 1
    let out = at + offset
    for (let run = 0; run < levels.length; run += (stride * 8) / bits) {
      for (let i = run; i < run + stride; i++) {
        let byte = 0
        for (let bit = 0, element = i; bit < 8; bit += bits, element += stride) byte |= ((levels[element]! >>> shift) & mask) << bit
        into[out++] = byte
      }
    }
  }
}

/** Reads levels back. */
export function unpackLevels(planes: readonly Plane[], bytes: Uint8Array, at: number, levels: Uint8Array): void {
  levels.fill(0)
  for (const { offset, bits, shift, stride } of planes) {
    const mask = (1 << bits) - 1
    let from = at + offset
    for (let run = 0; run < levels.length; run += (stride * 8) / bits) {
      for (let i = run; i < run + stride; i++) {
        const byte = bytes[from++]!
        for (let bit = 0, element = i; bit < 8; bit += bits, element += stride) levels[element]! |= ((byte >>> bit) & mask) << shift
      }
    }
  }
}

/** 2^(exponent - 128) for an E8M0 exponent: half of what it means, since MXFP4_VALUES are doubled. */
export function halfPowerOfTwo(exponent: number): number {
  return 2 ** (exponent - 128)
}

function format(planes: readonly Plane[], groupElements: number, values: Float32Array, readScales: BlockFormat['readScales']): BlockFormat {
  return { groupElements, values, readLevels: (bytes, at, levels) => unpackLevels(planes, bytes, at, levels), readScales }
}

function countingFrom(first: number, count: number): Float32Array {
  return Float32Array.from({ length: count }, (_, level) => first + level)
}

function halfAt(offset: number): BlockFormat['readScales'] {
  return (bytes, at, scales) => void (scales[0] = readHalf(bytes, at + offset))
}

/** The stored minimum is added, so its negative is subtracted. */
function halfAndMinimum(bytes: Uint8Array, at: number, scales: Float32Array, mins: Float32Array): void {
  scales[0] = readHalf(bytes, at)
  mins[0] = -readHalf(bytes, at + 2)
}

/** A byte for each group: the scale in its low half, the min in its high half. */
function q2kScales(bytes: Uint8Array, at: number, scales: Float32Array, mins: Float32Array): void {
  const d = readHalf(bytes, at + FIELDS.q2_k.d)
  const dmin = readHalf(bytes, at + FIELDS.q2_k.dmin)
  for (let g = 0; g < scales.length; g++) {
    const packed = bytes[at + FIELDS.q2_k.scales + g]!
    scales[g] = d * (packed & 15)
    mins[g] = dmin * (packed >>> 4)
  }
}

/** 6 bits each: scales 0–3, then mins 0–3, then the low halves of both for 4–7, whose upper two bits stand above the first eight. */
function q45kScales(bytes: Uint8Array, at: number, scales: Float32Array, mins: Float32Array): void {
  const d = readHalf(bytes, at + FIELDS.q45_k.d)
  const dmin = readHalf(bytes, at + FIELDS.q45_k.dmin)
  const first = at + FIELDS.q45_k.scales
  for (let g = 0; g < 4; g++) {
    const [scale, min, both] = [bytes[first + g]!, bytes[first + 4 + g]!, bytes[first + 8 + g]!]
    scales[g] = d * (scale & 63)
    mins[g] = dmin * (min & 63)
    scales[g + 4] = d * ((both & 15) | ((scale >>> 6) << 4))
    mins[g + 4] = dmin * ((both >>> 4) | ((min >>> 6) << 4))
  }
}

function sixBitScales(planes: readonly Plane[], d: number): BlockFormat['readScales'] {
  return (bytes, at, scales) => {
    const levels = new Uint8Array(scales.length)
    unpackLevels(planes, bytes, at, levels)
    const scale = readHalf(bytes, at + d)
    for (let g = 0; g < scales.length; g++) scales[g] = scale * (levels[g]! - 32)
  }
}

function q6kScales(bytes: Uint8Array, at: number, scales: Float32Array): void {
  const d = readHalf(bytes, at + FIELDS.q6_k.d)
  for (let g = 0; g < scales.length; g++) scales[g] = d * ((bytes[at + FIELDS.q6_k.scales + g]! << 24) >> 24)
}
