/**
 * Searches for x ≈ scale * (level - half), level in 0 … 2 * half - 1, over one group of elements.
 *
 * The element of largest magnitude gets level 0 (the side that reaches one step further), which fixes a first scale; then
 * either scales near it are tried (`searchSymmetric`), or single levels are moved while that helps (`descendSymmetric`).
 *
 * Law: ggml-quants.c `make_qx_quants` with rmse_type 1, `make_q3_quants` with do_rmse (llama.cpp 0c1e570).
 */
/* oxlint-disable typescript/no-non-null-assertion -- numeric loops */
import { largestByMagnitude, nearestInt } from './block-numbers.js'

/** A group whose largest magnitude is below is all zero. */
export const SMALLEST_GROUP = Math.fround(1e-15)

const TENTH = Math.fround(0.1)

/** How far the number of steps is stretched: not at all first, so that only a strictly better scale replaces that one. */
const STRETCHES = Float32Array.from([0, -9, -8, -7, -6, -5, -4, -3, -2, -1, 1, 2, 3, 4, 5, 6, 7, 8, 9], (tenths) => TENTH * tenths)

const DESCENTS = 5

/**
 * Tries 19 scales and keeps the one that leaves the smallest weighted square error, each with its best fit.
 * @param weights  one per element
 * @param levels   overwritten, one per element
 * @returns the scale; 0 when the group is zero
 */
export function searchSymmetric(x: Float32Array, half: number, weights: Float32Array, levels: Uint8Array): number {
  const max = largestByMagnitude(x)
  if (Math.abs(max) < SMALLEST_GROUP) return zeroGroup(levels)
  let [scale, best, bestInverse] = [0, 0, 0]
  for (let attempt = 0; attempt < STRETCHES.length; attempt++) {
    const inverse = Math.fround(-Math.fround(half + STRETCHES[attempt]!) / max)
    let sumLX = 0
    let sumLL = 0
    for (let i = 0; i < x.length; i++) {
      const level = symmetricLevel(Math.fround(inverse * x[i]!), half)
      const w = weights[i]!
      sumLX = Math.fround(sumLX + Math.fround(Math.fround(w * x[i]!) * level))
      sumLL = Math.fround(sumLL + Math.fround(Math.fround(w * level) * level))
    }
    const isBetter = sumLL > 0 && Math.fround(sumLX * sumLX) > Math.fround(best * sumLL)
    if (attempt > 0 && !isBetter) continue
    bestInverse = inverse
    scale = sumLL === 0 ? 0 : Math.fround(sumLX / sumLL)
    best = Math.fround(scale * sumLX)
  }
  for (let i = 0; i < x.length; i++) levels[i] = symmetricLevel(Math.fround(bestInverse * x[i]!), half) + half
  return scale
}

/**
 * Moves each level to where it fits best while the others stay, at most five times over the group.
 * @param weights  one per element
 * @param levels   overwritten, one per element
 * @returns the scale; 0 when the group is zero
 */
export function descendSymmetric(x: Float32Array, half: number, weights: Float32Array, levels: Uint8Array): number {
  const max = largestByMagnitude(x)
  if (Math.abs(max) < SMALLEST_GROUP) return zeroGroup(levels)
  const inverse = Math.fround(-half / max)
  let [sumLX, sumLL] = [0, 0]
  for (let i = 0; i < x.length; i++) {
    const level = symmetricLevel(Math.fround(inverse * x[i]!), half)
    levels[i] = level + half
    sumLX = Math.fround(sumLX + Math.fround(Math.fround(weights[i]! * x[i]!) * level))
    sumLL = Math.fround(sumLL + Math.fround(Math.fround(weights[i]! * level) * level))
  }
  for (let round = 0, moved = true; moved && round < DESCENTS; round++) {
    moved = false
    for (let i = 0; i < x.length; i++) {
      const level = levels[i]! - half
      const w = weights[i]!
      const wx = Math.fround(w * x[i]!)
      const restLX = Math.fround(sumLX - Math.fround(wx * level))
      if (!(restLX > 0)) continue
      const restLL = Math.fround(sumLL - Math.fround(Math.fround(w * level) * level))
      const next = symmetricLevel(Math.fround(Math.fround(x[i]! * restLL) / restLX), half)
      if (next === level) continue
      const nextLX = Math.fround(restLX + Math.fround(wx * next))
      const nextLL = Math.fround(restLL + Math.fround(Math.fround(w * next) * next))
      if (!(nextLL > 0 && squareTimes(nextLX, sumLL) > squareTimes(sumLX, nextLL))) continue
      levels[i] = next + half
      sumLX = nextLX
      sumLL = nextLL
      moved = true
    }
  }
  return sumLL > 0 ? Math.fround(sumLX / sumLL) : 0
}

/** The nearest of -half … half - 1. */
export function symmetricLevel(quotient: number, half: number): number {
  const level = nearestInt(quotient)
  if (level < -half) return -half
  return level > half - 1 ? half - 1 : level
}

/** a² * b. */
export function squareTimes(a: number, b: number): number {
  return Math.fround(Math.fround(a * a) * b)
}

function zeroGroup(levels: Uint8Array): number {
  levels.fill(0)
  return 0
}
