/** The bits of each type back into levels, one byte each, at LEVELS: what packing.ts does, backwards. Law: ggml-common.h block structs (llama.cpp 0c1e570). */
import { constant } from './constants'
import { LEVELS } from './map'

export const NIBBLES = memory.data<u32>([0x0f0f_0f0f], 4)

export const ONES = memory.data<u32>([0x0101_0101], 4)

/** Adds one bit to all 256 levels where it is set: byte j has element j of each run of 32, the first run lowest. */
export function unpackOneBit(from: usize, bit: i32): void {
  const one = constant(ONES)
  const shift = ctz(bit)
  for (let half: usize = 0; half < 32; half += 16) {
    let bits = v128.load(from + half)
    for (let into = LEVELS + half; into < LEVELS + 256; into += 32) {
      v128.store(into, v128.or(v128.load(into), i16x8.shl(v128.and(bits, one), shift)))
      bits = i16x8.shr_u(bits, 1)
    }
  }
}

/** 2 bits: byte j of each half has element j of its four runs of 32, the first run lowest (q2_k, q3_k). */
export function unpackPairs(from: usize): void {
  const mask = i8x16.splat(3)
  for (let half: usize = 0; half < 2; half++) {
    for (let part: usize = 0; part < 32; part += 16) {
      const all = v128.load(from + (half << 5) + part)
      const into = LEVELS + (half << 7) + part
      v128.store(into, v128.and(all, mask))
      v128.store(into, v128.and(i8x16.shr_u(all, 2), mask), 32)
      v128.store(into, v128.and(i8x16.shr_u(all, 4), mask), 64)
      v128.store(into, i8x16.shr_u(all, 6), 96)
    }
  }
}

/** 6 bits: 128 bytes with the low 4 of them, then 64 with the upper 2, by halves of 128 elements (q6_k). */
export function unpackSixBits(from: usize): void {
  const nibble = i8x16.splat(15)
  const pair = i8x16.splat(0x30)
  for (let half: usize = 0; half < 2; half++) {
    for (let part: usize = 0; part < 32; part += 16) {
      const low = v128.load(from + (half << 6) + part)
      const low1 = v128.load(from + (half << 6) + part, 32)
      const upper = v128.load(from + (half << 5) + part, 128)
      const into = LEVELS + (half << 7) + part
      v128.store(into, v128.or(v128.and(low, nibble), v128.and(i8x16.shl(upper, 4), pair)))
      v128.store(into, v128.or(v128.and(low1, nibble), v128.and(i8x16.shl(upper, 2), pair)), 32)
      v128.store(into, v128.or(i8x16.shr_u(low, 4), v128.and(upper, pair)), 64)
      v128.store(into, v128.or(i8x16.shr_u(low1, 4), v128.and(i8x16.shr_u(upper, 2), pair)), 96)
    }
  }
}

/** 4 bits: in each run of 32 elements the first half below the second (q4_0 … q5_1, iq4). */
export function unpackRuns(from: usize, runs: usize): void {
  const mask = constant(NIBBLES)
  for (let run: usize = 0; run < runs; run++, from += 16) {
    const both = v128.load(from)
    v128.store(LEVELS + (run << 5), v128.and(both, mask))
    v128.store(LEVELS + (run << 5), v128.and(i16x8.shr_u(both, 4), mask), 16)
  }
}

/** The places of table values at LEVELS become the values (iq4). */
export function lookUp(table: usize, count: usize): void {
  const values = v128.load(table)
  for (let at = LEVELS; at < LEVELS + count; at += 16) v128.store(at, i8x16.swizzle(values, v128.load(at)))
}

/** Trits: what packTrits has written, five levels from each byte (four from the last run's), the most significant one first (tq1_0). */
export function unpackTrits(from: usize): void {
  takeTrits(v128.load(from), LEVELS, 32)
  takeTrits(v128.load(from, 16), LEVELS + 16, 32)
  takeTrits(v128.load(from, 32), LEVELS + 160, 16)
  let last = v128.load32_zero(from + 48)
  for (let into = LEVELS + 240; into < LEVELS + 256; into += 4) {
    v128.store32_lane(into, digits(last), 0)
    last = tripled(last)
  }
}

function takeTrits(fractions: v128, into: usize, stride: usize): void {
  for (let n = 0; n < 5; n++, into += stride) {
    v128.store(into, digits(fractions))
    fractions = tripled(fractions)
  }
}

/** What three times a fraction of 256 has before its point … */
function digits(fractions: v128): v128 {
  const low = i16x8.mul(i16x8.extend_low_i8x16_u(fractions), i16x8.splat(3))
  const high = i16x8.mul(i16x8.extend_high_i8x16_u(fractions), i16x8.splat(3))
  return i8x16.narrow_i16x8_u(i16x8.shr_u(low, 8), i16x8.shr_u(high, 8))
}

/** … and behind it. */
function tripled(fractions: v128): v128 {
  return i8x16.add(fractions, i8x16.add(fractions, fractions))
}
