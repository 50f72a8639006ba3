/** Adds deltas to weights, element by element, and looks at what stands in a tile. */
import { constant } from './constants'

const F32_MAGNITUDE = memory.data<u32>([0x7fff_ffff], 4)

/** `into[i] += term[i]` for `count` f32. */
export function add(into: usize, term: usize, count: usize): void {
  const end = into + (count << 2)
  for (const last = into + ((count & ~3) << 2); into < last; into += 16, term += 16) v128.store(into, f32x4.add(v128.load(into), v128.load(term)))
  for (; into < end; into += 4, term += 4) store<f32>(into, load<f32>(into) + load<f32>(term))
}

/**
 * `W[i] += delta[i]` for `count` f32, and the squares of both, from before, in f64: element i goes into partial sum i mod 4 of its tensor, and the
 * sum is (0 + 1) + (2 + 3). Writes ΣΔ² and ΣW² as two f64 at `norms`.
 */
export function addDelta(W: usize, delta: usize, count: usize, norms: usize): void {
  const end = W + (count << 2)
  const zero = f64x2.splat(0)
  let weight01 = zero
  let weight23 = zero
  let delta01 = zero
  let delta23 = zero
  for (const last = W + ((count & ~3) << 2); W < last; W += 16, delta += 16) {
    const w = v128.load(W)
    const d = v128.load(delta)
    const w01 = f64x2.promote_low_f32x4(w)
    const d01 = f64x2.promote_low_f32x4(d)
    const w23 = f64x2.promote_low_f32x4(v128.shuffle<u64>(w, w, 1, 0))
    const d23 = f64x2.promote_low_f32x4(v128.shuffle<u64>(d, d, 1, 0))
    weight01 = f64x2.add(weight01, f64x2.mul(w01, w01))
    weight23 = f64x2.add(weight23, f64x2.mul(w23, w23))
    delta01 = f64x2.add(delta01, f64x2.mul(d01, d01))
    delta23 = f64x2.add(delta23, f64x2.mul(d23, d23))
    v128.store(W, f32x4.add(w, d))
  }
  for (let lane = 0; W < end; W += 4, delta += 4, lane++) {
    const w = load<f32>(W)
    const d = load<f32>(delta)
    const wSquare = f64(w) * f64(w)
    const dSquare = f64(d) * f64(d)
    // at most three are left: lanes 0, 1, 2
    if (lane < 2) {
      weight01 = f64x2.add(weight01, inLane(lane, wSquare))
      delta01 = f64x2.add(delta01, inLane(lane, dSquare))
    } else {
      weight23 = f64x2.add(weight23, inLane(0, wSquare))
      delta23 = f64x2.add(delta23, inLane(0, dSquare))
    }
    store<f32>(W, w + d)
  }
  store<f64>(norms, sumOfLanes(delta01) + sumOfLanes(delta23))
  store<f64>(norms, sumOfLanes(weight01) + sumOfLanes(weight23), 8)
}

/** A vector of zeros but for one lane. Adding zero to a square leaves it as it is. */
function inLane(lane: i32, value: f64): v128 {
  const zero = f64x2.splat(0)
  return lane === 0 ? f64x2.replace_lane(zero, 0, value) : f64x2.replace_lane(zero, 1, value)
}

function sumOfLanes(sums: v128): f64 {
  return f64x2.extract_lane(sums, 0) + f64x2.extract_lane(sums, 1)
}

/** The bits of the largest magnitude among `count` f32: NaN and infinity are larger than all numbers. */
export function largestMagnitude(values: usize, count: usize): u32 {
  const magnitude = constant(F32_MAGNITUDE)
  const end = values + (count << 2)
  let most = i32x4.splat(0)
  let more = most
  for (const last = values + ((count & ~7) << 2); values < last; values += 32) {
    most = i32x4.max_u(most, v128.and(v128.load(values), magnitude))
    more = i32x4.max_u(more, v128.and(v128.load(values, 16), magnitude))
  }
  most = i32x4.max_u(most, more)
  most = i32x4.max_u(most, v128.shuffle<u32>(most, most, 2, 3, 0, 1))
  let largest = max<u32>(i32x4.extract_lane(most, 0), i32x4.extract_lane(most, 1))
  for (; values < end; values += 4) largest = max<u32>(largest, load<u32>(values) & 0x7fff_ffff)
  return largest
}
