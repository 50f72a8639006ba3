/**
 * Searches for v ≈ scale * level, level in 0 … highest: the scales (or mins) of a block's groups, when an importance
 * matrix says how much each group weighs.
 *
 * Law: ggml-quants.c `make_qp_quants` (llama.cpp 0c1e570). A level that its arithmetic makes negative wraps around in its byte, here too.
 */
/* oxlint-disable typescript/no-non-null-assertion -- numeric loops */
import { nearestInt } from './block-numbers.js'
import { SMALLEST_GROUP, squareTimes } from './search-symmetric.js'

const TENTH = Math.fround(0.1)

/** How far the number of steps is stretched. */
const STRETCHES = Float32Array.from([-4, -3, -2, -1, 1, 2, 3, 4], (tenths) => TENTH * tenths)

const DESCENTS = 5

/**
 * Takes the best of nine scales, then moves single levels while that helps.
 * @param weights  one per value
 * @param levels   overwritten, one per value
 * @returns the scale; 0 when all values are zero
 */
export function searchPositive(values: Float32Array, highest: number, weights: Float32Array, levels: Uint8Array): number {
  let max = 0
  for (let i = 0; i < values.length; i++) if (values[i]! > max) max = values[i]!
  if (max < SMALLEST_GROUP) {
    levels.fill(0)
    return 0
  }
  const inverse = bestInverse(values, highest, weights, levels, max)
  let [sumLX, sumLL] = [0, 0]
  for (let i = 0; i < values.length; i++) {
    const level = positiveLevel(Math.fround(inverse * values[i]!), highest)
    levels[i] = level
    sumLX = Math.fround(sumLX + Math.fround(Math.fround(weights[i]! * values[i]!) * level))
    sumLL = Math.fround(sumLL + Math.fround(Math.fround(weights[i]! * level) * level))
  }
  for (let round = 0, moved = true; moved && round < DESCENTS; round++) {
    moved = false
    for (let i = 0; i < values.length; i++) {
      const level = levels[i]!
      const w = weights[i]!
      const wx = Math.fround(w * values[i]!)
      const restLX = Math.fround(sumLX - Math.fround(wx * level))
      const restLL = Math.fround(sumLL - Math.fround(Math.fround(w * level) * level))
      if (!(restLX > 0 && restLL > 0)) continue
      const next = positiveLevel(Math.fround(Math.fround(values[i]! * restLL) / restLX), highest)
      if (next === level) continue
      const nextLX = Math.fround(restLX + Math.fround(wx * next))
      const nextLL = Math.fround(restLL + Math.fround(Math.fround(w * next) * next))
      if (!(squareTimes(nextLX, sumLL) > squareTimes(sumLX, nextLL))) continue
      levels[i] = next
      sumLX = nextLX
      sumLL = nextLL
      moved = true
    }
  }
  return sumLL > 0 ? Math.fround(sumLX / sumLL) : 0
}

/** The inverse scale, of those near `highest / max`, that leaves the smallest weighted square error. Uses `levels` as scratch. */
function bestInverse(values: Float32Array, highest: number, weights: Float32Array, levels: Uint8Array, max: number): number {
  let best = Math.fround(highest / max)
  for (let i = 0; i < values.length; i++) levels[i] = nearestInt(Math.fround(best * values[i]!))
  let bestError = 0
  const scale = Math.fround(1 / best)
  for (let i = 0; i < values.length; i++) bestError = addError(bestError, weights[i]!, values[i]!, scale, levels[i]!)
  for (let attempt = 0; attempt < STRETCHES.length; attempt++) {
    const inverse = Math.fround(Math.fround(STRETCHES[attempt]! + highest) / max)
    const scale = Math.fround(1 / inverse)
    let error = 0
    for (let i = 0; i < values.length; i++) {
      error = addError(error, weights[i]!, values[i]!, scale, positiveLevel(Math.fround(inverse * values[i]!), highest))
    }
    if (!(error < bestError)) continue
    bestError = error
    best = inverse
  }
  return best
}

/** sum + w * (value - scale * level)². */
function addError(sum: number, w: number, value: number, scale: number, level: number): number {
  const error = Math.fround(value - Math.fround(scale * level))
  return Math.fround(sum + Math.fround(Math.fround(w * error) * error))
}

/** The nearest integer, at most `highest`. */
function positiveLevel(quotient: number, highest: number): number {
  const level = nearestInt(quotient)
  return level > highest ? highest : level
}
