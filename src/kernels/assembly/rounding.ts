/**
 * Counts what a narrow type swallows: deltas other than 0 after which the weight rounds to the same bits as before. No value is NaN here: merging
 * takes those out first.
 */
import { halvesOf, nearestBf16Of } from './half-float'

/** Of `count` (a multiple of 4) f32: writes how many deltas are not 0, and how many of these f16 loses, as two u32 at `into`. */
export function countLostF16(W: usize, delta: usize, count: usize, into: usize): void {
  countLost(W, delta, count, true, into)
}

/** The same for bf16. */
export function countLostBf16(W: usize, delta: usize, count: usize, into: usize): void {
  countLost(W, delta, count, false, into)
}

function countLost(W: usize, delta: usize, count: usize, toHalves: bool, into: usize): void {
  let changed = i32x4.splat(0)
  let lost = changed
  const zero = f32x4.splat(0)
  for (const end = W + (count << 2); W < end; W += 16, delta += 16) {
    const w = v128.load(W)
    const d = v128.load(delta)
    const sum = f32x4.add(w, d)
    const isChange = f32x4.ne(d, zero)
    const isSame = toHalves ? i32x4.eq(halvesOf(w), halvesOf(sum)) : i32x4.eq(nearestBf16Of(w), nearestBf16Of(sum))
    changed = i32x4.sub(changed, isChange)
    lost = i32x4.sub(lost, v128.and(isChange, isSame))
  }
  store<u32>(into, sumOfLanes(changed))
  store<u32>(into, sumOfLanes(lost), 4)
}

function sumOfLanes(counts: v128): u32 {
  return i32x4.extract_lane(counts, 0) + i32x4.extract_lane(counts, 1) + (i32x4.extract_lane(counts, 2) + i32x4.extract_lane(counts, 3))
}
