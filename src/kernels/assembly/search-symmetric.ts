/**
 * The searches of the types without minimums (q6_k, q3_k; q4_0 and q5_0 with importance): element ≈ scale · level, levels from -top to top - 1, errors
 * weighted by what stands in WEIGHT.
 *
 * Law: ggml-quants.c make_qx_quants, make_q3_quants (llama.cpp 0c1e570); twin: src/quantize/search-symmetric.ts.
 */
import { MAGIC, constant } from './constants'
import { BEST, LANES, TRIAL, WEIGHT, X, nearestInts } from './sub-blocks'

/** weight · element, which both searches sum with levels. */
const WEIGHTED: usize = TRIAL
const MAX: usize = LANES
/** All bits of the lanes that hold next to nothing: their scale is zero. */
const IS_EMPTY: usize = LANES + 16
/** Σ weight · element · level and Σ weight · level². */
const PRODUCTS: usize = LANES + 32
const SQUARES: usize = LANES + 48

/** GROUP_MAX_EPS */
const NEXT_TO_NOTHING: f32 = 1e-15

/** Without importance, an error counts by the square of its element. */
export function weighBySquare(group: usize, size: usize): void {
  for (let at = group; at < group + (size << 4); at += 16) {
    const x = v128.load(at, X)
    v128.store(at, f32x4.mul(x, x), WEIGHT)
  }
}

/** Weighted elements, and the element of largest magnitude with its sign, the first of those that are as large. */
function prepare(group: usize, size: usize): void {
  const end = group + (size << 4)
  let largest = f32x4.splat(0)
  let max = largest
  for (let at = group; at < end; at += 16) {
    const x = v128.load(at, X)
    v128.store(at, f32x4.mul(v128.load(at, WEIGHT), x), WEIGHTED)
    const magnitude = f32x4.abs(x)
    const isLarger = f32x4.gt(magnitude, largest)
    largest = v128.bitselect(magnitude, largest, isLarger)
    max = v128.bitselect(x, max, isLarger)
  }
  v128.store(group, max, MAX)
  v128.store(group, f32x4.lt(largest, f32x4.splat(NEXT_TO_NOTHING)), IS_EMPTY)
}

/** Sums for the levels of one step. Never out of reach of MAGIC: no element is larger than the one that the step is made from. */
function trySteps(group: usize, size: usize, inverse: v128, top: f32): void {
  const magic = constant(MAGIC)
  const lowest = f32x4.sub(magic, f32x4.splat(top))
  const highest = f32x4.add(magic, f32x4.splat(top - 1))
  const end = group + (size << 4)
  let products = f32x4.splat(0)
  let squares = products
  for (let at = group; at < end; at += 16) {
    const level = levelsFor(v128.load(at, X), inverse, magic, lowest, highest)
    products = f32x4.add(products, f32x4.mul(v128.load(at, WEIGHTED), level))
    squares = f32x4.add(squares, f32x4.mul(f32x4.mul(v128.load(at, WEIGHT), level), level))
  }
  v128.store(group, products, PRODUCTS)
  v128.store(group, squares, SQUARES)
}

function levelsFor(x: v128, inverse: v128, magic: v128, lowest: v128, highest: v128): v128 {
  return f32x4.sub(f32x4.pmin(f32x4.pmax(f32x4.add(f32x4.mul(inverse, x), magic), lowest), highest), magic)
}

/** Levels from 0 in BEST. */
function keepLevels(group: usize, size: usize, inverse: v128, top: f32): void {
  const magic = constant(MAGIC)
  const offset = f32x4.splat(top)
  const lowest = f32x4.sub(magic, offset)
  const highest = f32x4.add(magic, f32x4.splat(top - 1))
  const isEmpty = v128.load(group, IS_EMPTY)
  const end = group + (size << 4)
  for (let at = group; at < end; at += 16) {
    const level = f32x4.add(levelsFor(v128.load(at, X), inverse, magic, lowest, highest), offset)
    v128.store(at, v128.andnot(level, isEmpty), BEST)
  }
}

/** Tries 19 steps around -max / top, and keeps the one whose levels correlate best. Writes 4 scales. */
export function searchSteps(group: usize, size: usize, top: f32, scales: usize): void {
  prepare(group, size)
  const zero = f32x4.splat(0)
  const max = v128.load(group, MAX)
  let inverse = f32x4.div(f32x4.splat(-top), max)
  let kept = inverse
  trySteps(group, size, inverse, top)
  let products = v128.load(group, PRODUCTS)
  let squares = v128.load(group, SQUARES)
  let scale = v128.and(f32x4.div(products, squares), f32x4.ne(squares, zero))
  let best = f32x4.mul(scale, products)
  for (let step = -9; step <= 9; step++) {
    if (step === 0) continue
    inverse = f32x4.div(f32x4.splat(-(top + f32(0.1) * f32(step))), max)
    trySteps(group, size, inverse, top)
    products = v128.load(group, PRODUCTS)
    squares = v128.load(group, SQUARES)
    const isBetter = v128.and(f32x4.gt(squares, zero), f32x4.gt(f32x4.mul(products, products), f32x4.mul(best, squares)))
    if (!v128.any_true(isBetter)) continue
    const fitted = f32x4.div(products, squares)
    scale = v128.bitselect(fitted, scale, isBetter)
    best = v128.bitselect(f32x4.mul(fitted, products), best, isBetter)
    kept = v128.bitselect(inverse, kept, isBetter)
  }
  keepLevels(group, size, kept, top)
  v128.store(scales, v128.andnot(scale, v128.load(group, IS_EMPTY)))
}

/** Rounds of single changes that are tried at most. */
const ROUNDS = 5

/** q3_k without importance: from the levels of -max / top, changes single levels as long as that helps. Writes 4 scales. */
export function searchLevels(group: usize, size: usize, top: f32, scales: usize): void {
  prepare(group, size)
  const inverse = f32x4.div(f32x4.splat(-top), v128.load(group, MAX))
  const magic = constant(MAGIC)
  const lowest = f32x4.sub(magic, f32x4.splat(top))
  const highest = f32x4.add(magic, f32x4.splat(top - 1))
  const end = group + (size << 4)
  let products = f32x4.splat(0)
  let squares = products
  for (let at = group; at < end; at += 16) {
    const level = levelsFor(v128.load(at, X), inverse, magic, lowest, highest)
    v128.store(at, level, BEST)
    products = f32x4.add(products, f32x4.mul(v128.load(at, WEIGHTED), level))
    squares = f32x4.add(squares, f32x4.mul(f32x4.mul(v128.load(at, WEIGHT), level), level))
  }
  v128.store(group, products, PRODUCTS)
  v128.store(group, squares, SQUARES)
  // a lane that a round leaves as it is stays so in the next one: it may go on with the others
  for (let round = 0; round < ROUNDS && changeLevels(group, size, top); round++);

  products = v128.load(group, PRODUCTS)
  squares = v128.load(group, SQUARES)
  const isEmpty = v128.load(group, IS_EMPTY)
  const offset = f32x4.splat(top)
  for (let at = group; at < end; at += 16) v128.store(at, v128.andnot(f32x4.add(v128.load(at, BEST), offset), isEmpty), BEST)
  const isZero = v128.or(f32x4.le(squares, f32x4.splat(0)), isEmpty)
  v128.store(scales, v128.andnot(f32x4.div(products, squares), isZero))
}

/** Tries each level anew while all others stay. @returns whether any changed */
function changeLevels(group: usize, size: usize, top: f32): bool {
  const lowest = i32x4.splat(-i32(top))
  const highest = i32x4.splat(i32(top) - 1)
  const zero = f32x4.splat(0)
  const isEmpty = v128.load(group, IS_EMPTY)
  const end = group + (size << 4)
  let products = v128.load(group, PRODUCTS)
  let squares = v128.load(group, SQUARES)
  let changed = false
  for (let at = group; at < end; at += 16) {
    const x = v128.load(at, X)
    const weight = v128.load(at, WEIGHT)
    const weighted = v128.load(at, WEIGHTED)
    const level = v128.load(at, BEST)
    let products1 = f32x4.sub(products, f32x4.mul(weighted, level))
    let squares1 = f32x4.sub(squares, f32x4.mul(f32x4.mul(weight, level), level))
    const nearest = nearestInts(f32x4.div(f32x4.mul(x, squares1), products1))
    const next = f32x4.convert_i32x4_s(i32x4.max_s(i32x4.min_s(nearest, highest), lowest))
    const isOther = v128.andnot(v128.and(f32x4.gt(products1, zero), f32x4.ne(next, level)), isEmpty)
    // seldom, and the branch keeps the sums of the next element from waiting for this one's division
    if (!v128.any_true(isOther)) continue
    products1 = f32x4.add(products1, f32x4.mul(weighted, next))
    squares1 = f32x4.add(squares1, f32x4.mul(f32x4.mul(weight, next), next))
    const isBetter = f32x4.gt(f32x4.mul(f32x4.mul(products1, products1), squares), f32x4.mul(f32x4.mul(products, products), squares1))
    const takes = v128.and(v128.and(isOther, f32x4.gt(squares1, zero)), isBetter)
    if (!v128.any_true(takes)) continue
    v128.store(at, v128.bitselect(next, level, takes), BEST)
    products = v128.bitselect(products1, products, takes)
    squares = v128.bitselect(squares1, squares, takes)
    changed = true
  }
  v128.store(group, products, PRODUCTS)
  v128.store(group, squares, SQUARES)
  return changed
}
