/**
 * The types with blocks of 32: a scale (and a min) from the largest and smallest element, then one small integer per element. No sums, so the order
 * of elements does not matter and lanes simply hold neighbours; only signs of zero and ties of ±max ask who came first.
 *
 * First the scales of a run of blocks, then their levels: four divisions take as long as one, and no block waits for its own.
 *
 * Every encoder returns how many blocks it wrote. It stops before an odd block, one whose scale is so small that its inverse is infinite: the
 * reference's casts of infinity are a matter of the C compiler, and the plain-JS twin has written down what they give.
 *
 * Law: ggml-quants.c quantize_row_*_ref (llama.cpp 0c1e570).
 */
import { BELOW_HALF, MAGIC, MAGIC_BITS, MAGNITUDE, SIGN, constant } from './constants'
import { halvesOf } from './half-float'
import { GROUPS, MINS, SCALES } from './map'
import { packSmall } from './packing'
import { searchBlocksFromMin, searchSignedBlocks } from './small-blocks-weighed'

const BLOCK_BYTES: usize = 128

/** Bytes from 32 small integral f32 in 4 + 4 vectors. V8's saturating conversion to integers takes six instructions, adding MAGIC two. */
function bytesOf(a: v128, b: v128, c: v128, d: v128, magic: v128, magicBits: v128): v128 {
  return i8x16.narrow_i16x8_s(
    i16x8.narrow_i32x4_s(integers(a, magic, magicBits), integers(b, magic, magicBits)),
    i16x8.narrow_i32x4_s(integers(c, magic, magicBits), integers(d, magic, magicBits)),
  )
}

function integers(value: v128, magic: v128, magicBits: v128): v128 {
  return i32x4.sub(f32x4.add(f32x4.trunc(value), magic), magicBits)
}

/** The largest element of a block in lane 0, and the smallest, negated, in lane 1. */
function bounds(block: usize): v128 {
  const x0 = v128.load(block)
  const x1 = v128.load(block, 16)
  const x2 = v128.load(block, 32)
  const x3 = v128.load(block, 48)
  const x4 = v128.load(block, 64)
  const x5 = v128.load(block, 80)
  const x6 = v128.load(block, 96)
  const x7 = v128.load(block, 112)
  const largest = f32x4.pmax(f32x4.pmax(f32x4.pmax(x0, x1), f32x4.pmax(x2, x3)), f32x4.pmax(f32x4.pmax(x4, x5), f32x4.pmax(x6, x7)))
  const smallest = f32x4.pmin(f32x4.pmin(f32x4.pmin(x0, x1), f32x4.pmin(x2, x3)), f32x4.pmin(f32x4.pmin(x4, x5), f32x4.pmin(x6, x7)))
  const negated = f32x4.neg(smallest)
  const half = f32x4.pmax(v128.shuffle<u32>(largest, negated, 0, 4, 1, 5), v128.shuffle<u32>(largest, negated, 2, 6, 3, 7))
  return f32x4.pmax(half, v128.shuffle<u32>(half, half, 2, 3, 0, 1))
}

/** The element of largest magnitude, with its sign; the first one where several are as large, +0 where all are zero. */
function signedMax(block: usize): f32 {
  const both = bounds(block)
  const largest = f32x4.extract_lane(both, 0)
  const negated = f32x4.extract_lane(both, 1)
  if (largest !== negated) return largest > negated ? largest : -negated
  if (largest === 0) return 0
  while (abs(load<f32>(block)) !== largest) block += 4
  return load<f32>(block)
}

/** The zero that comes first: where it is the smallest element, its sign is stored. */
function firstZero(block: usize): f32 {
  while (load<f32>(block) !== 0) block += 4
  return load<f32>(block)
}

/** Blocks whose scales are made before their levels; what they hold stays in the nearest cache. */
const RUN: usize = 64
/** Of each block of a run: the inverse of its scale; the f16 that are stored, of scale and min; its min. */
const INVERSES: usize = GROUPS
const HALVES: usize = INVERSES + (RUN << 2)
const MINIMA: usize = HALVES + (RUN << 2)

/** Keeps what four blocks of the run need, from block `i` on. */
function keepScales(i: usize, scales: v128): void {
  v128.store(INVERSES + (i << 2), v128.and(f32x4.div(f32x4.splat(1), scales), f32x4.ne(scales, f32x4.splat(0))))
  v128.store(HALVES + (i << 2), halvesOf(scales))
}

/** How many of `count` blocks come before the first odd one. */
function countTame(count: usize): usize {
  const magnitude = constant(MAGNITUDE)
  const infinity = f32x4.splat(f32(Infinity))
  let tame: usize = 0
  while (tame < count && !v128.any_true(f32x4.eq(v128.and(v128.load(INVERSES + (tame << 2)), magnitude), infinity))) tame += 4
  while (tame < count && abs(load<f32>(INVERSES + (tame << 2))) !== f32(Infinity)) tame++
  return min(tame, count)
}

/** q8_0: f16 d = max|x| / 127, then 32 signed bytes round(x / d), halves away from zero. */
export function encodeQ8_0(from: usize, into: usize, blocks: usize): usize {
  const sign = constant(SIGN)
  const half = constant(BELOW_HALF)
  const magic = constant(MAGIC)
  const magicBits = constant(MAGIC_BITS)
  for (let block: usize = 0; block < blocks; block += RUN) {
    const count = min<usize>(RUN, blocks - block)
    for (let i: usize = 0; i < count; i += 4) keepScales(i, f32x4.div(largestOfFour(from + i * BLOCK_BYTES, count - i), f32x4.splat(127)))
    const tame = countTame(count)
    for (let i: usize = 0; i < tame; i++, from += BLOCK_BYTES, into += 34) {
      const factor = v128.load32_splat(INVERSES + (i << 2))
      store<u16>(into, load<u16>(HALVES + (i << 2)))
      v128.store(into, sixteenBytes(from, factor, sign, half, magic, magicBits), 2)
      v128.store(into, sixteenBytes(from + 64, factor, sign, half, magic, magicBits), 18)
    }
    if (tame < count) return block + tame
  }
  return blocks
}

/** The largest magnitude of each of four blocks; where there are less, the last one's again. */
function largestOfFour(from: usize, count: usize): v128 {
  const last = count - 1
  const a = magnitudes(from)
  const b = magnitudes(from + min<usize>(1, last) * BLOCK_BYTES)
  const c = magnitudes(from + min<usize>(2, last) * BLOCK_BYTES)
  const d = magnitudes(from + min<usize>(3, last) * BLOCK_BYTES)
  const ab = f32x4.pmax(v128.shuffle<u32>(a, b, 0, 4, 1, 5), v128.shuffle<u32>(a, b, 2, 6, 3, 7))
  const cd = f32x4.pmax(v128.shuffle<u32>(c, d, 0, 4, 1, 5), v128.shuffle<u32>(c, d, 2, 6, 3, 7))
  return f32x4.pmax(v128.shuffle<u64>(ab, cd, 0, 2), v128.shuffle<u64>(ab, cd, 1, 3))
}

/** The largest magnitudes of a block, in four lanes. */
export function magnitudes(block: usize): v128 {
  const mask = constant(MAGNITUDE)
  const a = f32x4.pmax(v128.and(v128.load(block), mask), v128.and(v128.load(block, 16), mask))
  const b = f32x4.pmax(v128.and(v128.load(block, 32), mask), v128.and(v128.load(block, 48), mask))
  const c = f32x4.pmax(v128.and(v128.load(block, 64), mask), v128.and(v128.load(block, 80), mask))
  const d = f32x4.pmax(v128.and(v128.load(block, 96), mask), v128.and(v128.load(block, 112), mask))
  return f32x4.pmax(f32x4.pmax(a, b), f32x4.pmax(c, d))
}

/** 16 signed bytes round(x * factor), halves away from zero. */
export function sixteenBytes(x: usize, factor: v128, sign: v128, half: v128, magic: v128, magicBits: v128): v128 {
  return bytesOf(
    awayFromZero(v128.load(x), factor, sign, half),
    awayFromZero(v128.load(x, 16), factor, sign, half),
    awayFromZero(v128.load(x, 32), factor, sign, half),
    awayFromZero(v128.load(x, 48), factor, sign, half),
    magic,
    magicBits,
  )
}

/** value * factor, moved by just below a half away from zero, so that cutting off its fraction rounds it. */
function awayFromZero(value: v128, factor: v128, sign: v128, half: v128): v128 {
  const scaled = f32x4.mul(value, factor)
  return f32x4.add(scaled, v128.or(v128.and(scaled, sign), half))
}

/** The levels of elements [0, 16) or [16, 32) of a block: trunc((x - min) * factor + offset). */
function levels(block: usize, smallest: v128, factor: v128, offset: v128, magic: v128, magicBits: v128): v128 {
  return bytesOf(
    f32x4.add(f32x4.mul(f32x4.sub(v128.load(block), smallest), factor), offset),
    f32x4.add(f32x4.mul(f32x4.sub(v128.load(block, 16), smallest), factor), offset),
    f32x4.add(f32x4.mul(f32x4.sub(v128.load(block, 32), smallest), factor), offset),
    f32x4.add(f32x4.mul(f32x4.sub(v128.load(block, 48), smallest), factor), offset),
    magic,
    magicBits,
  )
}

/** q4_0 and q5_0: f16 d = signed max / -2^(bits-1), then levels x / d + 2^(bits-1). */
function encodeSigned(from: usize, into: usize, blocks: usize, bits: i32): usize {
  const magic = constant(MAGIC)
  const magicBits = constant(MAGIC_BITS)
  const half: i32 = 1 << (bits - 1)
  const middle = f32(half)
  const offset = f32x4.splat(middle + 0.5)
  const top = i8x16.splat(i8(2 * half - 1))
  const zero = f32x4.splat(0)
  const blockBytes: usize = bits === 5 ? 22 : 18
  for (let block: usize = 0; block < blocks; block += RUN) {
    const count = min<usize>(RUN, blocks - block)
    for (let i: usize = 0; i < count; i += 4) {
      for (let j: usize = 0; j < min<usize>(4, count - i); j++) store<f32>(SCALES + (j << 2), signedMax(from + (i + j) * BLOCK_BYTES))
      keepScales(i, f32x4.div(v128.load(SCALES), f32x4.splat(-middle)))
    }
    const tame = countTame(count)
    for (let i: usize = 0; i < tame; i++, from += BLOCK_BYTES, into += blockBytes) {
      const factor = v128.load32_splat(INVERSES + (i << 2))
      const low = i8x16.min_s(levels(from, zero, factor, offset, magic, magicBits), top)
      const high = i8x16.min_s(levels(from + 64, zero, factor, offset, magic, magicBits), top)
      store<u16>(into, load<u16>(HALVES + (i << 2)))
      packSmall(low, high, bits, into + 2)
    }
    if (tame < count) return block + tame
  }
  return blocks
}

/** q4_1 and q5_1: f16 d = (max - min) / (2^bits - 1), f16 min, then levels (x - min) / d. */
function encodeFromMin(from: usize, into: usize, blocks: usize, bits: i32): usize {
  const magic = constant(MAGIC)
  const magicBits = constant(MAGIC_BITS)
  const top: i32 = (1 << bits) - 1
  const offset = f32x4.splat(0.5)
  const topBytes = i8x16.splat(i8(top))
  const blockBytes: usize = bits === 5 ? 24 : 20
  for (let block: usize = 0; block < blocks; block += RUN) {
    const count = min<usize>(RUN, blocks - block)
    for (let i: usize = 0; i < count; i += 4) {
      for (let j: usize = 0; j < min<usize>(4, count - i); j++) storeBounds(from + (i + j) * BLOCK_BYTES, j << 2)
      const largest = v128.load(SCALES)
      const smallest = v128.load(MINS)
      // equal bounds may be zeros of two signs, whose difference would have one
      const range = v128.and(f32x4.sub(largest, smallest), f32x4.ne(largest, smallest))
      keepScales(i, f32x4.div(range, f32x4.splat(f32(top))))
      v128.store(MINIMA + (i << 2), smallest)
      v128.store(HALVES + (i << 2), v128.or(v128.load(HALVES + (i << 2)), i32x4.shl(halvesOf(smallest), 16)))
    }
    const tame = countTame(count)
    for (let i: usize = 0; i < tame; i++, from += BLOCK_BYTES, into += blockBytes) {
      const factor = v128.load32_splat(INVERSES + (i << 2))
      const min = v128.load32_splat(MINIMA + (i << 2))
      const low = i8x16.min_s(levels(from, min, factor, offset, magic, magicBits), topBytes)
      const high = i8x16.min_s(levels(from + 64, min, factor, offset, magic, magicBits), topBytes)
      store<u32>(into, load<u32>(HALVES + (i << 2)))
      packSmall(low, high, bits, into + 4)
    }
    if (tame < count) return block + tame
  }
  return blocks
}

/** The largest and the smallest element of a block, at lane `at` of SCALES and MINS. */
function storeBounds(block: usize, at: usize): void {
  const both = bounds(block)
  const smallest: f32 = -f32x4.extract_lane(both, 1)
  store<f32>(SCALES + at, f32x4.extract_lane(both, 0))
  store<f32>(MINS + at, smallest === 0 ? firstZero(block) : smallest)
}

export function encodeQ4_0(from: usize, into: usize, blocks: usize, importance: usize, cols: usize, squares: usize): usize {
  if (importance !== 0) return searchSignedBlocks(from, into, blocks, 4, importance, cols, squares)
  return encodeSigned(from, into, blocks, 4)
}

export function encodeQ5_0(from: usize, into: usize, blocks: usize, importance: usize, cols: usize, squares: usize): usize {
  if (importance !== 0) return searchSignedBlocks(from, into, blocks, 5, importance, cols, squares)
  return encodeSigned(from, into, blocks, 5)
}

export function encodeQ4_1(from: usize, into: usize, blocks: usize, importance: usize, cols: usize, squares: usize): usize {
  if (importance !== 0) return searchBlocksFromMin(from, into, blocks, 4, importance, cols, squares)
  return encodeFromMin(from, into, blocks, 4)
}

export function encodeQ5_1(from: usize, into: usize, blocks: usize, importance: usize, cols: usize, squares: usize): usize {
  if (importance !== 0) return searchBlocksFromMin(from, into, blocks, 5, importance, cols, squares)
  return encodeFromMin(from, into, blocks, 5)
}
