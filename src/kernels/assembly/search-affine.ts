/**
 * The search of the types with minimums (q2_k, q4_k, q5_k; q4_1 and q5_1 with importance): element ≈ scale · level + min, min never above zero. It tries several steps, fits scale
 * and min to the levels of each by weighted least squares, and keeps what has the smallest error. Two groups at a time: while the sum of one waits
 * for its last addition, that of the other goes on.
 *
 * Law: ggml-quants.c make_qkx2_quants, make_qkx3_quants (llama.cpp 0c1e570); twin: src/quantize/search-affine.ts.
 */
import { MAGIC, constant } from './constants'
import { GROUP_BYTES } from './map'
import { BEST, LANES, TRIAL, WEIGHT, X } from './sub-blocks'

const MIN: usize = LANES
const MAX: usize = LANES + 16
const SMALLEST: usize = LANES + 32
const WEIGHTS: usize = LANES + 48
const WEIGHTED_X: usize = LANES + 64
/** All bits of the lanes whose sub-block is constant: nothing is searched there. */
const IS_FLAT: usize = LANES + 80
const SCALE: usize = LANES + 96
const ERROR: usize = LANES + 112
const TRIAL_SCALE: usize = LANES + 128
const TRIAL_MIN: usize = LANES + 144
const TRIAL_COUNTS: usize = LANES + 160
const TRIAL_ERROR: usize = LANES + 176

/** With importance all types search alike. */
export const WEIGHED_START: f32 = -0.9
export const WEIGHED_STRIDE: f32 = 0.05
export const WEIGHED_STEPS: i32 = 36

/** Within ±2^22, adding MAGIC rounds to the nearest integer. */
const ROUNDABLE = memory.data<f32>([4194303.0], 4)

/**
 * Searches the 8 sub-blocks of `group` and of the group behind it, whose elements and weights are there. Leaves levels in BEST.
 * @param top       the highest level
 * @param start     the first step tried is top + start, then `stride` more each time
 * @param absolute  errors count by their magnitude, not by their square
 * @param scales, mins  where 8 f32 each are written; mins are stored negated, as they are subtracted
 * @returns false when a lane left what these vectors can do as the reference does it
 */
export function searchAffine(group: usize, size: usize, top: f32, start: f32, stride: f32, steps: i32, absolute: bool, scales: usize, mins: usize): bool {
  const next = group + GROUP_BYTES
  sumUp(group, size)
  sumUp(next, size)
  if (!tryStep(group, size, top, top) || !tryStep(next, size, top, top)) return false
  startFrom(group, top)
  startFrom(next, top)
  measure(group, next, size, absolute)
  accept(group, size, i32x4.splat(-1))
  accept(next, size, i32x4.splat(-1))
  for (let step = 0; step <= steps; step++) {
    const factor: f32 = start + stride * f32(step) + top
    if (!tryStep(group, size, factor, top) || !tryStep(next, size, factor, top)) return false
    measure(group, next, size, absolute)
    acceptBetter(group, size)
    acceptBetter(next, size)
  }
  finish(group, scales, mins)
  finish(next, scales + 16, mins + 16)
  return true
}

/** Smallest and largest element, and the sums that no trial changes. */
function sumUp(group: usize, size: usize): void {
  const end = group + (size << 4)
  let x = v128.load(group, X)
  let smallest = x
  let largest = x
  let weights = v128.load(group, WEIGHT)
  let weightedX = f32x4.mul(weights, x)
  for (let at = group + 16; at < end; at += 16) {
    const w = v128.load(at, WEIGHT)
    x = v128.load(at, X)
    smallest = f32x4.pmin(smallest, x)
    largest = f32x4.pmax(largest, x)
    weights = f32x4.add(weights, w)
    weightedX = f32x4.add(weightedX, f32x4.mul(w, x))
  }
  const min = f32x4.pmin(smallest, f32x4.splat(0))
  v128.store(group, min, MIN)
  v128.store(group, largest, MAX)
  v128.store(group, smallest, SMALLEST)
  v128.store(group, weights, WEIGHTS)
  v128.store(group, weightedX, WEIGHTED_X)
  v128.store(group, f32x4.eq(largest, min), IS_FLAT)
}

/** Levels for the step (max - min) / factor, in TRIAL, and the scale and min that fit them best. */
function tryStep(group: usize, size: usize, factor: f32, top: f32): bool {
  const min = v128.load(group, MIN)
  const range = f32x4.sub(v128.load(group, MAX), min)
  const isFlat = v128.load(group, IS_FLAT)
  const inverse = v128.andnot(f32x4.div(f32x4.splat(factor), range), isFlat)
  // the search moves min: then elements may lie below it, or the range be tiny
  const reach = f32x4.pmax(f32x4.abs(range), f32x4.abs(f32x4.sub(v128.load(group, SMALLEST), min)))
  if (!i32x4.all_true(f32x4.le(f32x4.mul(f32x4.abs(inverse), reach), constant(ROUNDABLE)))) return false

  const magic = constant(MAGIC)
  const highest = f32x4.add(magic, f32x4.splat(top))
  const end = group + (size << 4)
  let levels = f32x4.splat(0)
  let squares = levels
  let products = levels
  for (let at = group; at < end; at += 16) {
    const x = v128.load(at, X)
    const scaled = f32x4.mul(inverse, f32x4.sub(x, min))
    const level = f32x4.sub(f32x4.pmin(f32x4.pmax(f32x4.add(scaled, magic), magic), highest), magic)
    const weighted = f32x4.mul(v128.load(at, WEIGHT), level)
    v128.store(at, level, TRIAL)
    levels = f32x4.add(levels, weighted)
    squares = f32x4.add(squares, f32x4.mul(weighted, level))
    products = f32x4.add(products, f32x4.mul(weighted, x))
  }
  fit(group, levels, squares, products)
  return true
}

/** Least squares for scale and min; a min above zero is zero. */
function fit(group: usize, levels: v128, squares: v128, products: v128): void {
  const weights = v128.load(group, WEIGHTS)
  const weightedX = v128.load(group, WEIGHTED_X)
  const determinant = f32x4.sub(f32x4.mul(weights, squares), f32x4.mul(levels, levels))
  const scale = f32x4.div(f32x4.sub(f32x4.mul(weights, products), f32x4.mul(weightedX, levels)), determinant)
  const min = f32x4.div(f32x4.sub(f32x4.mul(squares, weightedX), f32x4.mul(levels, products)), determinant)
  const zero = f32x4.splat(0)
  const isAbove = f32x4.gt(min, zero)
  v128.store(group, v128.bitselect(f32x4.div(products, squares), scale, isAbove), TRIAL_SCALE)
  v128.store(group, v128.andnot(min, isAbove), TRIAL_MIN)
  v128.store(group, v128.andnot(f32x4.gt(determinant, zero), v128.load(group, IS_FLAT)), TRIAL_COUNTS)
}

/** The first try is not fitted: it reaches from min to max. */
function startFrom(group: usize, top: f32): void {
  const min = v128.load(group, MIN)
  const inverse = f32x4.div(f32x4.splat(top), f32x4.sub(v128.load(group, MAX), min))
  v128.store(group, f32x4.div(f32x4.splat(1), inverse), TRIAL_SCALE)
  v128.store(group, min, TRIAL_MIN)
}

/** The weighted error of both groups' trials. */
function measure(group: usize, next: usize, size: usize, absolute: bool): void {
  const scaleA = v128.load(group, TRIAL_SCALE)
  const scaleB = v128.load(next, TRIAL_SCALE)
  const minA = v128.load(group, TRIAL_MIN)
  const minB = v128.load(next, TRIAL_MIN)
  const end = group + (size << 4)
  let errorA = f32x4.splat(0)
  let errorB = errorA
  for (let at = group; at < end; at += 16) {
    const a = f32x4.sub(f32x4.add(f32x4.mul(scaleA, v128.load(at, TRIAL)), minA), v128.load(at, X))
    const b = f32x4.sub(f32x4.add(f32x4.mul(scaleB, v128.load(at, GROUP_BYTES + TRIAL)), minB), v128.load(at, GROUP_BYTES + X))
    const lossA = absolute ? f32x4.abs(a) : f32x4.mul(a, a)
    const lossB = absolute ? f32x4.abs(b) : f32x4.mul(b, b)
    errorA = f32x4.add(errorA, f32x4.mul(v128.load(at, WEIGHT), lossA))
    errorB = f32x4.add(errorB, f32x4.mul(v128.load(at, GROUP_BYTES + WEIGHT), lossB))
  }
  v128.store(group, errorA, TRIAL_ERROR)
  v128.store(next, errorB, TRIAL_ERROR)
}

function acceptBetter(group: usize, size: usize): void {
  const isBetter = v128.and(f32x4.lt(v128.load(group, TRIAL_ERROR), v128.load(group, ERROR)), v128.load(group, TRIAL_COUNTS))
  if (v128.any_true(isBetter)) accept(group, size, isBetter)
}

/** Makes the trial the best one, in the lanes that `mask` says. */
function accept(group: usize, size: usize, mask: v128): void {
  const end = group + (size << 4)
  for (let at = group; at < end; at += 16) v128.store(at, v128.bitselect(v128.load(at, TRIAL), v128.load(at, BEST), mask), BEST)
  v128.store(group, v128.bitselect(v128.load(group, TRIAL_ERROR), v128.load(group, ERROR), mask), ERROR)
  v128.store(group, v128.bitselect(v128.load(group, TRIAL_SCALE), v128.load(group, SCALE), mask), SCALE)
  v128.store(group, v128.bitselect(v128.load(group, TRIAL_MIN), v128.load(group, MIN), mask), MIN)
}

function finish(group: usize, scales: usize, mins: usize): void {
  v128.store(scales, v128.andnot(v128.load(group, SCALE), v128.load(group, IS_FLAT)))
  v128.store(mins, f32x4.neg(v128.load(group, MIN)))
}
