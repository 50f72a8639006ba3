/**
 * With importance, the scales (and minimums) of a super-block's 8 or 16 sub-blocks are searched themselves: value ≈ scale · level, each weighing as much
 * as its sub-block. There is one such search per super-block, so lanes hold four tries of it, each lane with the sums of its own try.
 *
 * Law: ggml-quants.c make_qp_quants, make_qx_quants with rmse_type 1 (llama.cpp 0c1e570); twins: src/quantize/search-positive.ts, search-symmetric.ts.
 */
import { TRIALS } from './map'
import { nearestInt, nearestInts } from './sub-blocks'

/** GROUP_MAX_EPS */
const NEXT_TO_NOTHING: f32 = 1e-15
/** How far the number of steps is stretched, in tenths: in the order of the tries, lanes that are too many repeat the last one. */
const POSITIVE_TENTHS = memory.data<f32>([-4, -3, -2, -1, 1, 2, 3, 4], 16)
const SIGNED_TENTHS = memory.data<f32>([0, -9, -8, -7, -6, -5, -4, -3, -2, -1, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9], 16)
const SIGNED_TRIES: usize = 19
/** Rounds of single changes that are tried at most. */
const ROUNDS = 5

function tenth(tenths: v128): v128 {
  return f32x4.mul(f32x4.splat(0.1), tenths)
}

/**
 * Levels 0 … top for values that are positive but for rounding; a level below zero wraps around in its byte, as the reference's does.
 * @param count   8 or 16 f32 at `values`, and as many at `weights`
 * @param levels  overwritten, one byte each
 * @returns the scale; 0 when all values are zero
 */
export function searchPositive(values: usize, weights: usize, count: usize, top: i32, levels: usize): f32 {
  let largest: f32 = 0
  for (let i: usize = 0; i < count; i++) {
    const value = load<f32>(values + (i << 2))
    if (value > largest) largest = value
  }
  if (largest < NEXT_TO_NOTHING) {
    memory.fill(levels, 0, count)
    return 0
  }
  const inverse = bestInverse(values, weights, count, top, largest)
  let products: f32 = 0
  let squares: f32 = 0
  for (let i: usize = 0; i < count; i++) {
    const value = load<f32>(values + (i << 2))
    const weight = load<f32>(weights + (i << 2))
    const level = min<i32>(nearestInt(inverse * value), top)
    store<u8>(levels + i, level)
    products += weight * value * f32(level)
    squares += weight * f32(level) * f32(level)
  }
  return changeLevels(values, weights, count, top, levels, products, squares)
}

/** The inverse of the scale, of nine, that leaves the smallest weighted square error. */
function bestInverse(values: usize, weights: usize, count: usize, top: i32, largest: f32): f32 {
  let best: f32 = f32(top) / largest
  let smallest: f32 = 0
  const scale: f32 = f32(1) / best
  for (let i: usize = 0; i < count; i++) {
    const value = load<f32>(values + (i << 2))
    const error: f32 = value - scale * f32(nearestInt(best * value) & 255)
    smallest += load<f32>(weights + (i << 2)) * error * error
  }
  const highest = i32x4.splat(top)
  for (let half: usize = 0; half < 32; half += 16) {
    const stretches = tenth(v128.load(POSITIVE_TENTHS + half))
    const inverses = f32x4.div(f32x4.add(stretches, f32x4.splat(f32(top))), f32x4.splat(largest))
    const scales = f32x4.div(f32x4.splat(1), inverses)
    let errors = f32x4.splat(0)
    for (let i: usize = 0; i < count; i++) {
      const value = v128.load32_splat(values + (i << 2))
      const level = f32x4.convert_i32x4_s(i32x4.min_s(nearestInts(f32x4.mul(inverses, value)), highest))
      const error = f32x4.sub(value, f32x4.mul(scales, level))
      errors = f32x4.add(errors, f32x4.mul(f32x4.mul(v128.load32_splat(weights + (i << 2)), error), error))
    }
    v128.store(TRIALS, errors)
    v128.store(TRIALS + 16, inverses)
    for (let lane: usize = 0; lane < 16; lane += 4) {
      if (!(load<f32>(TRIALS + lane) < smallest)) continue
      smallest = load<f32>(TRIALS + lane)
      best = load<f32>(TRIALS + 16 + lane)
    }
  }
  return best
}

/** Moves single levels while that helps. @returns the scale that fits best */
function changeLevels(values: usize, weights: usize, count: usize, top: i32, levels: usize, products: f32, squares: f32): f32 {
  let changed = true
  for (let round = 0; changed && round < ROUNDS; round++) {
    changed = false
    for (let i: usize = 0; i < count; i++) {
      const value = load<f32>(values + (i << 2))
      const weight = load<f32>(weights + (i << 2))
      const level = f32(load<u8>(levels + i))
      let products1: f32 = products - weight * value * level
      let squares1: f32 = squares - weight * level * level
      if (!(products1 > 0 && squares1 > 0)) continue
      const next = min<i32>(nearestInt((value * squares1) / products1), top)
      if (f32(next) === level) continue
      products1 += weight * value * f32(next)
      squares1 += weight * f32(next) * f32(next)
      if (!(products1 * products1 * squares > products * products * squares1)) continue
      store<u8>(levels + i, next)
      products = products1
      squares = squares1
      changed = true
    }
  }
  return squares > 0 ? products / squares : 0
}

/**
 * Levels 0 … 2 · top - 1 for signed values: value ≈ scale · (level - top).
 * @returns the scale; 0 when all values are zero
 */
export function searchSigned(values: usize, weights: usize, count: usize, top: i32, levels: usize): f32 {
  let largest: f32 = 0
  for (let i: usize = 0; i < count; i++) {
    const value = load<f32>(values + (i << 2))
    if (abs(value) > abs(largest)) largest = value
  }
  if (abs(largest) < NEXT_TO_NOTHING) {
    memory.fill(levels, 0, count)
    return 0
  }
  let scale: f32 = 0
  let best: f32 = 0
  let kept: f32 = 0
  for (let attempt: usize = 0; attempt < SIGNED_TRIES; attempt += 4) {
    tryFour(
      values,
      weights,
      count,
      top,
      f32x4.div(f32x4.neg(f32x4.add(f32x4.splat(f32(top)), tenth(v128.load(SIGNED_TENTHS + (attempt << 2))))), f32x4.splat(largest)),
    )
    for (let lane: usize = 0; lane < 4; lane++) {
      const at = TRIALS + (lane << 2)
      const products = load<f32>(at)
      const squares = load<f32>(at, 16)
      const isBetter = squares > 0 && products * products > best * squares
      if (attempt + lane > 0 && !isBetter) continue
      kept = load<f32>(at, 32)
      scale = squares !== 0 ? products / squares : 0
      best = scale * products
    }
  }
  for (let i: usize = 0; i < count; i++) {
    store<u8>(levels + i, max<i32>(-top, min<i32>(top - 1, nearestInt(kept * load<f32>(values + (i << 2))))) + top)
  }
  return scale
}

/** Σ weight · value · level and Σ weight · level² of four tries, and their inverses, at TRIALS. */
function tryFour(values: usize, weights: usize, count: usize, top: i32, inverses: v128): void {
  const lowest = i32x4.splat(-top)
  const highest = i32x4.splat(top - 1)
  let products = f32x4.splat(0)
  let squares = products
  for (let i: usize = 0; i < count; i++) {
    const value = v128.load32_splat(values + (i << 2))
    const weight = v128.load32_splat(weights + (i << 2))
    const level = f32x4.convert_i32x4_s(i32x4.max_s(i32x4.min_s(nearestInts(f32x4.mul(inverses, value)), highest), lowest))
    products = f32x4.add(products, f32x4.mul(f32x4.mul(weight, value), level))
    squares = f32x4.add(squares, f32x4.mul(f32x4.mul(weight, level), level))
  }
  v128.store(TRIALS, products)
  v128.store(TRIALS + 16, squares)
  v128.store(TRIALS + 32, inverses)
}
