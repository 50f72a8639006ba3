/**
 * iq4_nl and iq4_xs: levels are places in a table of 16 values that lie closer together around zero. A search tries 16 steps for each 32 elements;
 * its lanes hold four blocks (iq4_nl) or sub-blocks (iq4_xs). Each returns how many blocks it wrote: all.
 *
 * Law: ggml-quants.c quantize_row_iq4_nl_impl, kvalues_iq4nl (llama.cpp 0c1e570); twin: src/quantize/iq4.ts.
 */
import { halfOf } from './half-float'
import { fourBlocks, importanceOfFour, nextImportance, weighByImportance } from './importance'
import { LEVELS, SCALES } from './map'
import { packRuns } from './packing'
import { weighBySquare } from './search-symmetric'
import { LANES, WEIGHT, X, fillLanes, groupAt, nearestInt, storeBytes, toLanes } from './sub-blocks'

const SIZE: usize = 32
const BYTES: usize = 512
const TRIES = 7
/** The first and smallest value. */
const SMALLEST: f32 = -127
/** GROUP_MAX_EPS */
const NEXT_TO_NOTHING: f32 = 1e-15

/**
 * The middles between neighbouring values, and by how much each value is above the one before. An element goes to the upper value from the middle
 * on: the reference compares the two distances, and near a middle their f32 differences are exact.
 */
const MIDDLES = memory.data<f32>([-115.5, -93.5, -74, -57, -42, -28.5, -16, -4.5, 7, 19, 31.5, 45.5, 61, 79, 101], 16)
const RISES = memory.data<f32>([23, 21, 18, 16, 14, 13, 12, 11, 12, 12, 13, 15, 16, 20, 24], 16)
const MIDDLES_BYTES: usize = 60

const MAX: usize = LANES
const IS_EMPTY: usize = LANES + 16
const PRODUCTS: usize = LANES + 32
const SQUARES: usize = LANES + 48

/** iq4_nl: f16 d, 16 bytes of levels. */
export function encodeIq4_NL(from: usize, into: usize, blocks: usize, importance: usize, cols: usize): usize {
  const group = groupAt(0)
  for (let block: usize = 0; block < blocks; block += 4, from += BYTES) {
    fourBlocks(group + X, from, blocks - block)
    if (importance !== 0) {
      importanceOfFour(group, block, blocks, importance, cols)
      weighByImportance(group, SIZE, f32x4.mul(sumOwnSquares(group), f32x4.splat(2.0 / 32)))
    } else weighBySquare(group, SIZE)
    search(group, SCALES)
    const scale = v128.load(SCALES)
    const inverse = v128.andnot(f32x4.div(f32x4.splat(1), scale), f32x4.eq(scale, f32x4.splat(0)))
    storeNearest(group, inverse, LEVELS)
    const count = min<usize>(4, blocks - block)
    for (let lane: usize = 0; lane < count; lane++, into += 18) {
      store<u16>(into, halfOf(load<f32>(SCALES + (lane << 2))))
      packRuns(LEVELS + (lane << 5), into + 2, 1)
    }
  }
  return blocks
}

function sumOwnSquares(group: usize): v128 {
  let squares = f32x4.splat(0)
  for (let at = group; at < group + BYTES; at += 16) squares = f32x4.add(squares, f32x4.mul(v128.load(at, X), v128.load(at, X)))
  return squares
}

/** iq4_xs: f16 d, u16 with the upper 2 bits of 8 scales, 4 bytes with their low 4 bits, 128 bytes of levels. */
export function encodeIq4_XS(from: usize, into: usize, blocks: usize, importance: usize, cols: usize, squares: usize): usize {
  let weights = importance
  for (let block: usize = 0; block < blocks; block++, from += 2 * BYTES, into += 136, squares += 4) {
    for (let g: usize = 0; g < 2; g++) {
      const group = groupAt(g)
      toLanes(group, from + g * BYTES, SIZE)
      if (importance !== 0) {
        const at = weights + g * BYTES
        fillLanes(group + WEIGHT, at, at + 128, at + 256, at + 384, SIZE)
        weighByImportance(group, SIZE, f32x4.mul(v128.load32_splat(squares), f32x4.splat(2.0 / 256)))
      } else weighBySquare(group, SIZE)
      search(group, SCALES + (g << 4))
    }
    weights = nextImportance(weights, 2 * BYTES, importance, cols)
    const d = largestScale() / -32
    const inverse: f32 = d !== 0 ? f32(1) / d : 0
    store<u16>(into, halfOf(d))
    let low: u32 = 0
    let high: u32 = 0
    for (let j: usize = 0; j < 8; j++) {
      const at = SCALES + (j << 2)
      const level = max<i32>(-32, min<i32>(31, nearestInt(inverse * load<f32>(at))))
      const scale = d * f32(level)
      store<f32>(at, scale !== 0 ? f32(1) / scale : 0)
      low |= ((level + 32) & 15) << (4 * i32(j))
      high |= ((level + 32) >> 4) << (2 * i32(j))
    }
    store<u16>(into, high, 2)
    store<u32>(into, low, 4)
    for (let g: usize = 0; g < 2; g++) storeNearest(groupAt(g), v128.load(SCALES + (g << 4)), LEVELS + (g << 7))
    packRuns(LEVELS, into + 8, 8)
  }
  return blocks
}

/** The scale of largest magnitude of 8, the first of those that are as large. */
function largestScale(): f32 {
  let most: f32 = 0
  let largest: f32 = 0
  for (let j: usize = 0; j < 8; j++) {
    const scale = load<f32>(SCALES + (j << 2))
    if (abs(scale) > most) {
      most = abs(scale)
      largest = scale
    }
  }
  return largest
}

/** Tries steps around max / -127, and writes the 4 scales whose values correlate best. */
function search(group: usize, scales: usize): void {
  findLargest(group)
  const zero = f32x4.splat(0)
  const max = v128.load(group, MAX)
  trySteps(group, f32x4.div(f32x4.splat(1), f32x4.div(f32x4.neg(max), f32x4.splat(SMALLEST))))
  let products = v128.load(group, PRODUCTS)
  let squares = v128.load(group, SQUARES)
  let scale = v128.and(f32x4.div(products, squares), f32x4.gt(squares, zero))
  let best = f32x4.mul(scale, products)
  for (let step = -TRIES; step <= TRIES; step++) {
    trySteps(group, f32x4.div(f32x4.splat(f32(step) + SMALLEST), max))
    products = v128.load(group, PRODUCTS)
    squares = v128.load(group, SQUARES)
    const isBetter = v128.and(f32x4.gt(squares, zero), f32x4.gt(f32x4.mul(products, products), f32x4.mul(best, squares)))
    if (!v128.any_true(isBetter)) continue
    const fitted = f32x4.div(products, squares)
    scale = v128.bitselect(fitted, scale, isBetter)
    best = v128.bitselect(f32x4.mul(fitted, products), best, isBetter)
  }
  v128.store(scales, v128.andnot(scale, v128.load(group, IS_EMPTY)))
}

/** The element of largest magnitude with its sign, the first of those that are as large. */
function findLargest(group: usize): void {
  const end = group + BYTES
  let largest = f32x4.splat(0)
  let max = largest
  for (let at = group; at < end; at += 16) {
    const x = v128.load(at, X)
    const magnitude = f32x4.abs(x)
    const isLarger = f32x4.gt(magnitude, largest)
    largest = v128.bitselect(magnitude, largest, isLarger)
    max = v128.bitselect(x, max, isLarger)
  }
  v128.store(group, max, MAX)
  v128.store(group, f32x4.lt(largest, f32x4.splat(NEXT_TO_NOTHING)), IS_EMPTY)
}

/** Σ weight · value · element and Σ weight · value² for the nearest values at one step. */
function trySteps(group: usize, inverse: v128): void {
  const end = group + BYTES
  let products = f32x4.splat(0)
  let squares = products
  for (let at = group; at < end; at += 32) {
    const x = v128.load(at, X)
    const x1 = v128.load(at, X + 16)
    const scaled = f32x4.mul(inverse, x)
    const scaled1 = f32x4.mul(inverse, x1)
    let value = f32x4.splat(SMALLEST)
    let value1 = value
    for (let i: usize = 0; i < MIDDLES_BYTES; i += 4) {
      const middle = v128.load32_splat(MIDDLES + i)
      const rise = v128.load32_splat(RISES + i)
      value = f32x4.add(value, v128.and(f32x4.ge(scaled, middle), rise))
      value1 = f32x4.add(value1, v128.and(f32x4.ge(scaled1, middle), rise))
    }
    const weighted = f32x4.mul(v128.load(at, WEIGHT), value)
    const weighted1 = f32x4.mul(v128.load(at, WEIGHT + 16), value1)
    products = f32x4.add(f32x4.add(products, f32x4.mul(weighted, x)), f32x4.mul(weighted1, x1))
    squares = f32x4.add(f32x4.add(squares, f32x4.mul(weighted, value)), f32x4.mul(weighted1, value1))
  }
  v128.store(group, products, PRODUCTS)
  v128.store(group, squares, SQUARES)
}

/** The places of the nearest values, one byte per element, in their order. */
function storeNearest(group: usize, inverse: v128, into: usize): void {
  for (let i: usize = 0; i < SIZE; i += 4) {
    const at = group + (i << 4)
    const a = placesOf(f32x4.mul(inverse, v128.load(at, X)))
    const b = placesOf(f32x4.mul(inverse, v128.load(at, X + 16)))
    const c = placesOf(f32x4.mul(inverse, v128.load(at, X + 32)))
    const d = placesOf(f32x4.mul(inverse, v128.load(at, X + 48)))
    storeBytes(a, b, c, d, into + i, SIZE)
  }
}

/** The last place, less those whose middle is above: NaN (zero times an infinite inverse) stays at the last one, as in the reference. */
function placesOf(scaled: v128): v128 {
  let place = i32x4.splat(15)
  for (let i: usize = 0; i < MIDDLES_BYTES; i += 4) place = i32x4.add(place, f32x4.lt(scaled, v128.load32_splat(MIDDLES + i)))
  return place
}
