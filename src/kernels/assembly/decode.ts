/**
 * Blocks back to f32: scale · level - min. Each decoder returns how many blocks it read, and stops before one whose scale is not finite: which NaN
 * comes of it is the twin's business.
 *
 * Law: ggml-quants.c dequantize_row_* (llama.cpp 0c1e570); twin: src/quantize/decode.ts.
 */
import { constant } from './constants'
import { valueOfHalf } from './half-float'
import { loadSixBits } from './k-quants-affine'
import { LEVELS, MINS, SCALES } from './map'
import { NIBBLES, ONES, lookUp, unpackOneBit, unpackPairs, unpackRuns, unpackSixBits, unpackTrits } from './unpacking'

/** What levels stand for, plus 128: -127, -104, …, 113, and 0, 1, 2, 3, 4, 6, 8, 12 with both signs. */
const VALUES = memory.data<u8>([1, 24, 45, 63, 79, 93, 106, 118, 129, 141, 153, 166, 181, 197, 217, 241], 16)
const FLOATS = memory.data<u8>([128, 129, 130, 131, 132, 134, 136, 140, 128, 127, 126, 125, 124, 122, 120, 116], 16)
const EACH_BIT = memory.data<u8>([1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128], 16)

function isOddHalf(at: usize): bool {
  return (load<u16>(at) & 0x7c00) === 0x7c00
}

function halfAt(at: usize): f32 {
  return valueOfHalf(u32(load<u16>(at)))
}

const TWOS = memory.data<u32>([0x0202_0202], 4)

/** The upper halves of two f32 from 2^23 to 2^23 + 65535: their lower halves are the integers that are added. */
const TWO_TO_23 = memory.data<u32>([0x4b00_4b00], 4)

/** What is to be taken from 2^23 + level, where levels count from `-first`: 2^23 + first. */
function origin(first: i32): v128 {
  return f32x4.splat(reinterpret<f32>(0x4b00_0000 + first))
}

/**
 * 16 levels, unsigned bytes, less where they begin, times scale, less min. Bytes become f32 by being put behind an exponent, where each integer is itself:
 * half the instructions of an extension of their signs and a conversion.
 */
function spread16(levels: v128, begin: v128, scale: v128, min: v128, hasMin: bool, into: usize): void {
  const none = i8x16.splat(0)
  const exponents = constant(TWO_TO_23)
  const low = v128.shuffle<u8>(levels, none, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23)
  const high = v128.shuffle<u8>(levels, none, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31)
  const a = f32x4.mul(f32x4.sub(v128.shuffle<u16>(low, exponents, 0, 8, 1, 9, 2, 10, 3, 11), begin), scale)
  const b = f32x4.mul(f32x4.sub(v128.shuffle<u16>(low, exponents, 4, 12, 5, 13, 6, 14, 7, 15), begin), scale)
  const c = f32x4.mul(f32x4.sub(v128.shuffle<u16>(high, exponents, 0, 8, 1, 9, 2, 10, 3, 11), begin), scale)
  const d = f32x4.mul(f32x4.sub(v128.shuffle<u16>(high, exponents, 4, 12, 5, 13, 6, 14, 7, 15), begin), scale)
  v128.store(into, hasMin ? f32x4.sub(a, min) : a)
  v128.store(into, hasMin ? f32x4.sub(b, min) : b, 16)
  v128.store(into, hasMin ? f32x4.sub(c, min) : c, 32)
  v128.store(into, hasMin ? f32x4.sub(d, min) : d, 48)
}

/** A block of 32 at LEVELS. */
function spread32(first: i32, scale: f32, min: f32, hasMin: bool, into: usize): void {
  const begin = origin(first)
  const scales = f32x4.splat(scale)
  const mins = f32x4.splat(min)
  spread16(v128.load(LEVELS), begin, scales, mins, hasMin, into)
  spread16(v128.load(LEVELS, 16), begin, scales, mins, hasMin, into + 64)
}

/** A super-block at LEVELS whose sub-blocks of `size` have their SCALES and, where `hasMins`, MINS. */
function spread256(first: i32, size: usize, hasMins: bool, into: usize): void {
  const begin = origin(first)
  for (let at: usize = 0, j: usize = 0; at < 256; at += size, j += 4) {
    const scale = v128.load32_splat(SCALES + j)
    const min = hasMins ? v128.load32_splat(MINS + j) : scale
    for (let i = at; i < at + size; i += 16) spread16(v128.load(LEVELS + i), begin, scale, min, hasMins, into + (i << 2))
  }
}

export function decodeQ8_0(from: usize, into: usize, blocks: usize): usize {
  const begin = origin(128)
  const flip = i8x16.splat(-128)
  for (let block: usize = 0; block < blocks; block++, from += 34, into += 128) {
    if (isOddHalf(from)) return block
    const scale = f32x4.splat(halfAt(from))
    spread16(v128.xor(v128.load(from, 2), flip), begin, scale, scale, false, into)
    spread16(v128.xor(v128.load(from, 18), flip), begin, scale, scale, false, into + 64)
  }
  return blocks
}

/** q4_0, q5_0: f16 d, the fifth bits if there are any, 16 bytes. */
function decodeSigned(from: usize, into: usize, blocks: usize, bits: i32): usize {
  const blockBytes: usize = bits === 5 ? 22 : 18
  for (let block: usize = 0; block < blocks; block++, from += blockBytes, into += 128) {
    if (isOddHalf(from)) return block
    unpackRuns(from + blockBytes - 16, 1)
    if (bits === 5) addFifthBits(load<u32>(from, 2))
    spread32(bits === 5 ? 16 : 8, halfAt(from), 0, false, into)
  }
  return blocks
}

/** q4_1, q5_1: f16 d, f16 min, the fifth bits if there are any, 16 bytes. */
function decodeFromMin(from: usize, into: usize, blocks: usize, bits: i32): usize {
  const blockBytes: usize = bits === 5 ? 24 : 20
  for (let block: usize = 0; block < blocks; block++, from += blockBytes, into += 128) {
    if (isOddHalf(from) || isOddHalf(from + 2)) return block
    unpackRuns(from + blockBytes - 16, 1)
    if (bits === 5) addFifthBits(load<u32>(from, 4))
    spread32(0, halfAt(from), -halfAt(from + 2), true, into)
  }
  return blocks
}

/** Bit i is the fifth bit of level i. */
function addFifthBits(bits: u32): void {
  const each = v128.load(EACH_BIT)
  const value = i8x16.splat(16)
  for (let half: usize = 0; half < 2; half++, bits >>= 16) {
    const spread = v128.shuffle<u8>(i32x4.splat(i32(bits)), i32x4.splat(i32(bits)), 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1)
    const isSet = i8x16.eq(v128.and(spread, each), each)
    const at = LEVELS + (half << 4)
    v128.store(at, v128.or(v128.load(at), v128.and(isSet, value)))
  }
}

export function decodeQ4_0(from: usize, into: usize, blocks: usize): usize {
  return decodeSigned(from, into, blocks, 4)
}

export function decodeQ5_0(from: usize, into: usize, blocks: usize): usize {
  return decodeSigned(from, into, blocks, 5)
}

export function decodeQ4_1(from: usize, into: usize, blocks: usize): usize {
  return decodeFromMin(from, into, blocks, 4)
}

export function decodeQ5_1(from: usize, into: usize, blocks: usize): usize {
  return decodeFromMin(from, into, blocks, 5)
}

export function decodeIq4_NL(from: usize, into: usize, blocks: usize): usize {
  for (let block: usize = 0; block < blocks; block++, from += 18, into += 128) {
    if (isOddHalf(from)) return block
    unpackRuns(from + 2, 1)
    lookUp(VALUES, 32)
    spread32(128, halfAt(from), 0, false, into)
  }
  return blocks
}

export function decodeIq4_XS(from: usize, into: usize, blocks: usize): usize {
  for (let block: usize = 0; block < blocks; block++, from += 136, into += 1024) {
    if (isOddHalf(from)) return block
    const d = halfAt(from)
    let high = u32(load<u16>(from, 2))
    let low = load<u32>(from, 4)
    for (let j: usize = 0; j < 32; j += 4, high >>= 2, low >>= 4) {
      const scale = i32((low & 15) | ((high & 3) << 4)) - 32
      store<f32>(SCALES + j, d * f32(scale))
    }
    unpackRuns(from + 8, 8)
    lookUp(VALUES, 256)
    spread256(128, 32, false, into)
  }
  return blocks
}

export function decodeQ2_K(from: usize, into: usize, blocks: usize): usize {
  for (let block: usize = 0; block < blocks; block++, from += 84, into += 1024) {
    if (isOddHalf(from + 80) || isOddHalf(from + 82)) return block
    const d = halfAt(from + 80)
    const dmin = halfAt(from + 82)
    for (let j: usize = 0; j < 16; j++) {
      const both = u32(load<u8>(from + j))
      store<f32>(SCALES + (j << 2), d * f32(both & 15))
      store<f32>(MINS + (j << 2), dmin * f32(both >> 4))
    }
    unpackPairs(from + 16)
    spread256(0, 16, true, into)
  }
  return blocks
}

export function decodeQ3_K(from: usize, into: usize, blocks: usize): usize {
  for (let block: usize = 0; block < blocks; block++, from += 110, into += 1024) {
    if (isOddHalf(from + 108)) return block
    const d = halfAt(from + 108)
    for (let j: usize = 0; j < 16; j++) {
      const low = u32(load<u8>(from + 96 + (j & 7))) >> (j < 8 ? 0 : 4)
      const high = u32(load<u8>(from + 104 + (j & 3))) >> (2 * u32(j >> 2))
      const scale = i32((low & 15) | ((high & 3) << 4)) - 32
      store<f32>(SCALES + (j << 2), d * f32(scale))
    }
    unpackPairs(from + 32)
    unpackOneBit(from, 4)
    spread256(4, 16, false, into)
  }
  return blocks
}

export function decodeQ4_K(from: usize, into: usize, blocks: usize): usize {
  return decodeNibbles(from, into, blocks, 4)
}

export function decodeQ5_K(from: usize, into: usize, blocks: usize): usize {
  return decodeNibbles(from, into, blocks, 5)
}

/** q4_k, q5_k: f16 d, f16 dmin, 12 bytes of scales and mins, the fifth bits if there are any, 128 bytes: in each run of 64 elements the first half below the second. */
function decodeNibbles(from: usize, into: usize, blocks: usize, bits: i32): usize {
  const mask = constant(NIBBLES)
  const begin = origin(0)
  const blockBytes: usize = bits === 5 ? 176 : 144
  for (let block: usize = 0; block < blocks; block++, from += blockBytes) {
    if (isOddHalf(from) || isOddHalf(from + 2)) return block
    loadSixBits(from + 4, halfAt(from), halfAt(from + 2))
    for (let run: u32 = 0; run < 4; run++, into += 256) {
      const at = from + blockBytes - 128 + (run << 5)
      for (let part: usize = 0; part < 32; part += 16) {
        const both = v128.load(at + part)
        let low = v128.and(both, mask)
        let high = v128.and(i16x8.shr_u(both, 4), mask)
        if (bits === 5) {
          // bit 2 * run belongs to the lower half, the next one to the upper
          const fifth = i16x8.shr_u(v128.load(from + 16 + part), 2 * run)
          low = v128.or(low, i16x8.shl(v128.and(fifth, constant(ONES)), 4))
          high = v128.or(high, i16x8.shl(v128.and(fifth, constant(TWOS)), 3))
        }
        const j: usize = run << 3
        spread16(low, begin, v128.load32_splat(SCALES + j), v128.load32_splat(MINS + j), true, into + (part << 2))
        spread16(high, begin, v128.load32_splat(SCALES + j, 4), v128.load32_splat(MINS + j, 4), true, into + (part << 2) + 128)
      }
    }
  }
  return blocks
}

export function decodeQ6_K(from: usize, into: usize, blocks: usize): usize {
  for (let block: usize = 0; block < blocks; block++, from += 210, into += 1024) {
    if (isOddHalf(from + 208)) return block
    const d = halfAt(from + 208)
    for (let j: usize = 0; j < 16; j++) {
      const scale = i32(load<i8>(from + j, 192))
      store<f32>(SCALES + (j << 2), d * f32(scale))
    }
    unpackSixBits(from)
    spread256(32, 16, false, into)
  }
  return blocks
}

/** A block of 256 at LEVELS, whose levels count from -1. */
function spreadTernary(scale: f32, into: usize): void {
  const begin = origin(1)
  const scales = f32x4.splat(scale)
  for (let i: usize = 0; i < 256; i += 16) spread16(v128.load(LEVELS + i), begin, scales, scales, false, into + (i << 2))
}

export function decodeTq1_0(from: usize, into: usize, blocks: usize): usize {
  for (let block: usize = 0; block < blocks; block++, from += 54, into += 1024) {
    if (isOddHalf(from + 52)) return block
    unpackTrits(from)
    spreadTernary(halfAt(from + 52), into)
  }
  return blocks
}

export function decodeTq2_0(from: usize, into: usize, blocks: usize): usize {
  for (let block: usize = 0; block < blocks; block++, from += 66, into += 1024) {
    if (isOddHalf(from + 64)) return block
    unpackPairs(from)
    spreadTernary(halfAt(from + 64), into)
  }
  return blocks
}

/** The values of the levels are doubled, so the scale is 2^(exponent - 128). */
export function decodeMxfp4(from: usize, into: usize, blocks: usize): usize {
  for (let block: usize = 0; block < blocks; block++, from += 17, into += 128) {
    const exponent = u32(load<u8>(from))
    unpackRuns(from + 1, 1)
    lookUp(FLOATS, 32)
    spread32(128, reinterpret<f32>(exponent > 1 ? (exponent - 1) << 23 : 0x0020_0000 << exponent), 0, false, into)
  }
  return blocks
}
