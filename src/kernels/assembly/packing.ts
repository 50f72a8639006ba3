/** The levels of a super-block, 256 bytes at LEVELS, into the bits of each type. Law: ggml-common.h block structs (llama.cpp 0c1e570). */
import { LEVELS } from './map'

/** The states from which on the fraction is one more: ⌈(243 n - 242) / 13⌉ for n from 1 to 13. */
const STEPS = memory.data<u8>([1, 19, 38, 57, 75, 94, 113, 131, 150, 169, 187, 206, 225])
const STEP_COUNT: usize = 13

/** Low 4 bits, 128 bytes: in each run of 64 elements the first half below the second (q4_k, q5_k). */
export function packNibbles(into: usize): void {
  const mask = i8x16.splat(15)
  for (let run: usize = 0; run < 4; run++) {
    for (let half: usize = 0; half < 32; half += 16) {
      const at = LEVELS + (run << 6) + half
      const low = v128.and(v128.load(at), mask)
      const high = v128.and(v128.load(at, 32), mask)
      v128.store(into + (run << 5) + half, v128.or(low, i8x16.shl(high, 4)))
    }
  }
}

/** One bit of all levels, 32 bytes: byte j has element j of each run of 32, the first run lowest. @param bit as a mask: 16 for q5_k, 4 for q3_k */
export function packOneBit(bit: i32, into: usize): void {
  const mask = i8x16.splat(i8(bit))
  for (let half: usize = 0; half < 32; half += 16) {
    let bits = i8x16.splat(0)
    for (let run: i32 = 7; run >= 0; run--) {
      const isSet = i8x16.eq(v128.and(v128.load(LEVELS + (usize(run) << 5) + half), mask), mask)
      bits = i8x16.sub(i8x16.shl(bits, 1), isSet)
    }
    v128.store(into + half, bits)
  }
}

/** Low 2 bits, 64 bytes: byte j of each half has element j of its four runs of 32, the first run lowest (q2_k, q3_k). */
export function packPairs(into: usize): void {
  const mask = i8x16.splat(3)
  for (let half: usize = 0; half < 2; half++) {
    for (let part: usize = 0; part < 32; part += 16) {
      const at = LEVELS + (half << 7) + part
      const a = v128.and(v128.load(at), mask)
      const b = v128.and(v128.load(at, 32), mask)
      const c = v128.and(v128.load(at, 64), mask)
      const d = v128.and(v128.load(at, 96), mask)
      v128.store(into + (half << 5) + part, v128.or(v128.or(a, i8x16.shl(b, 2)), v128.or(i8x16.shl(c, 4), i8x16.shl(d, 6))))
    }
  }
}

/** 6 bits: 128 bytes with the low 4 of them, then 64 with the upper 2, by halves of 128 elements (q6_k). */
export function packSixBits(into: usize): void {
  const mask = i8x16.splat(15)
  for (let half: usize = 0; half < 2; half++) {
    for (let part: usize = 0; part < 32; part += 16) {
      const at = LEVELS + (half << 7) + part
      const a = v128.load(at)
      const b = v128.load(at, 32)
      const c = v128.load(at, 64)
      const d = v128.load(at, 96)
      const low = into + (half << 6) + part
      v128.store(low, v128.or(v128.and(a, mask), i8x16.shl(v128.and(c, mask), 4)))
      v128.store(low, v128.or(v128.and(b, mask), i8x16.shl(v128.and(d, mask), 4)), 32)
      const upperAB = v128.or(i8x16.shr_u(a, 4), i8x16.shl(i8x16.shr_u(b, 4), 2))
      const upperCD = v128.or(i8x16.shl(i8x16.shr_u(c, 4), 4), i8x16.shl(i8x16.shr_u(d, 4), 6))
      v128.store(into + (half << 5) + part, v128.or(upperAB, upperCD), 128)
    }
  }
}

/** 4 bits, 128 bytes: in each run of 32 elements the first half below the second (iq4_xs; one run: iq4_nl). */
export function packRuns(from: usize, into: usize, runs: usize): void {
  for (let run: usize = 0; run < runs; run++, from += 32, into += 16) {
    v128.store(into, v128.or(v128.load(from), i8x16.shl(v128.load(from, 16), 4)))
  }
}

/** The levels of a block of 32 as nibbles at `into`, the first half below the second; where there are 5 bits, the fifth ones before them. */
export function packSmall(low: v128, high: v128, bits: i32, into: usize): void {
  if (bits === 5) {
    store<u32>(into, i8x16.bitmask(i16x8.shl(low, 3)) | (i8x16.bitmask(i16x8.shl(high, 3)) << 16))
    into += 4
  }
  const mask = i8x16.splat(15)
  v128.store(into, v128.or(v128.and(low, mask), i16x8.shl(v128.and(high, mask), 4)))
}

/**
 * Trits, 52 bytes: five levels of {0, 1, 2} in a byte, as a fraction of 3^5 scaled to 256 (tq1_0). Byte i of a run holds elements i, i + bytes,
 * i + 2 · bytes …, the first one in the most significant trit; runs of 32, 16 and 4 bytes, the last of four trits.
 */
export function packTrits(into: usize): void {
  v128.store(into, fractions(statesOf(LEVELS, 32, 5)))
  v128.store(into, fractions(statesOf(LEVELS + 16, 32, 5)), 16)
  v128.store(into, fractions(statesOf(LEVELS + 160, 16, 5)), 32)
  v128.store32_lane(into + 48, fractions(statesOf(LEVELS + 240, 4, 4)), 0)
}

/** 16 numbers of base 3: their digits are `stride` bytes apart, and the fifth is zero where there are four. */
function statesOf(levels: usize, stride: usize, trits: i32): v128 {
  let states = i8x16.splat(0)
  for (let n = 0; n < 5; n++, levels += stride) {
    states = i8x16.add(states, i8x16.add(states, states))
    if (n < trits) states = i8x16.add(states, v128.load(levels))
  }
  return states
}

/** ⌈state · 256 / 243⌉ of 16 states: state, and one more for each multiple of 243 that 13 · state + 242 reaches. */
function fractions(states: v128): v128 {
  let sum = states
  for (let i: usize = 0; i < STEP_COUNT; i++) sum = i8x16.sub(sum, i8x16.ge_u(states, v128.load8_splat(STEPS + i)))
  return sum
}
