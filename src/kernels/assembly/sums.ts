/**
 * Adds deltas to weights, and measures both: the sums of their squares (before they are added), and the largest magnitude of what comes out.
 *
 * Squares in f64 would take a third of the time of a whole merge. So 8 squares are summed in f32, and these sums in f64: elements go in groups of 4 rows
 * x 8 columns, column by column of the panels of low-rank.ts, and lane i of a group sums columns i and i + 4, row by row. Where f32 cannot hold the
 * squares of a group well enough (zeros, tiny and huge numbers), that group is summed in f64.
 */
import { constant } from './constants'
import { EDGE, PANEL, PRODUCTS, SUMS } from './map'

const F32_MAGNITUDE = memory.data<u32>([0x7fff_ffff], 4)
/** Sums of squares within (2^-80, 2^120) have lost nothing that counts: no square was subnormal but for a 2^-43rd of the sum, none infinite. */
const LEAST_SQUARES = memory.data<u32>([0x1780_0000], 4)
const MOST_SQUARES = memory.data<u32>([0x7b80_0000], 4)

const ROWS: usize = 4
const COLUMNS: usize = 8
const GROUP_ROW_BYTES: usize = 32

/** Places in SUMS: four f64 partial sums of each, and the largest magnitudes of four lanes. */
const OF_DELTA: usize = SUMS
const OF_WEIGHT: usize = SUMS + 32
const LARGEST: usize = SUMS + 64

/** `into[i] += term[i]` for `count` f32. */
export function add(into: usize, term: usize, count: usize): void {
  const end = into + (count << 2)
  for (const last = into + ((count & ~3) << 2); into < last; into += 16, term += 16) v128.store(into, f32x4.add(v128.load(into), v128.load(term)))
  for (; into < end; into += 4, term += 4) store<f32>(into, load<f32>(into) + load<f32>(term))
}

export function beginSums(): void {
  memory.fill(SUMS, 0, 80)
}

/** Writes ΣΔ² and ΣW² as two f64 at `norms`: partial sums (0 + 1) + (2 + 3). @returns the bits of the largest magnitude */
export function endSums(norms: usize): u32 {
  store<f64>(norms, load<f64>(OF_DELTA) + load<f64>(OF_DELTA, 8) + (load<f64>(OF_DELTA, 16) + load<f64>(OF_DELTA, 24)))
  store<f64>(norms, load<f64>(OF_WEIGHT) + load<f64>(OF_WEIGHT, 8) + (load<f64>(OF_WEIGHT, 16) + load<f64>(OF_WEIGHT, 24)), 8)
  return largestLane(v128.load(LARGEST))
}

/** `W += delta`, both (rows x cols). */
export function addDelta(W: usize, delta: usize, rows: usize, cols: usize): void {
  const rowBytes = cols << 2
  for (let panel: usize = 0; panel < cols; panel += PANEL) {
    const end = min(panel + PANEL, cols)
    for (let row: usize = 0; row < rows; row += ROWS) {
      const height = min(ROWS, rows - row)
      const first = row * rowBytes
      for (let col = panel; col < end; col += COLUMNS) {
        const at = first + (col << 2)
        const width = min(COLUMNS, end - col)
        if (height === ROWS && width === COLUMNS) addGroup(W + at, rowBytes, delta + at, rowBytes)
        else {
          memory.fill(PRODUCTS, 0, 128)
          copyGroup(delta + at, rowBytes, PRODUCTS, GROUP_ROW_BYTES, height, width)
          addEdge(W + at, rowBytes, height, width)
        }
      }
    }
  }
}

/** Adds the group at PRODUCTS to weights of which there are only `height` x `width`. */
export function addEdge(W: usize, rowBytes: usize, height: usize, width: usize): void {
  memory.fill(EDGE, 0, 128)
  copyGroup(W, rowBytes, EDGE, GROUP_ROW_BYTES, height, width)
  addGroup(EDGE, GROUP_ROW_BYTES, PRODUCTS, GROUP_ROW_BYTES)
  copyGroup(EDGE, GROUP_ROW_BYTES, W, rowBytes, height, width)
}

function copyGroup(from: usize, fromRowBytes: usize, into: usize, intoRowBytes: usize, height: usize, width: usize): void {
  for (let row: usize = 0; row < height; row++) memory.copy(into + row * intoRowBytes, from + row * fromRowBytes, width << 2)
}

/** Adds a group of deltas to a group of weights; rows of each are so many bytes apart. */
export function addGroup(W: usize, rowBytes: usize, delta: usize, deltaRowBytes: usize): void {
  const W1 = W + rowBytes
  const W2 = W1 + rowBytes
  const W3 = W2 + rowBytes
  const delta1 = delta + deltaRowBytes
  const delta2 = delta1 + deltaRowBytes
  const delta3 = delta2 + deltaRowBytes
  const ofWeight = addSquares(W3, addSquares(W2, addSquares(W1, addSquares(W, f32x4.splat(0)))))
  const ofDelta = addSquares(delta3, addSquares(delta2, addSquares(delta1, addSquares(delta, f32x4.splat(0)))))
  const isLost = f32x4.le(f32x4.pmin(ofDelta, ofWeight), constant(LEAST_SQUARES))
  const isHuge = f32x4.ge(f32x4.pmax(ofDelta, ofWeight), constant(MOST_SQUARES))
  if (v128.any_true(v128.or(isLost, isHuge))) sumInF64(W, rowBytes, delta, deltaRowBytes)
  else {
    addLanes(OF_DELTA, f64x2.promote_low_f32x4(ofDelta), f64x2.promote_low_f32x4(v128.shuffle<u64>(ofDelta, ofDelta, 1, 0)))
    addLanes(OF_WEIGHT, f64x2.promote_low_f32x4(ofWeight), f64x2.promote_low_f32x4(v128.shuffle<u64>(ofWeight, ofWeight, 1, 0)))
  }
  v128.store(LARGEST, addRow(W3, delta3, addRow(W2, delta2, addRow(W1, delta1, addRow(W, delta, v128.load(LARGEST))))))
}

/** One row of a group: 8 squares more, two in each lane. */
function addSquares(row: usize, sums: v128): v128 {
  const left = v128.load(row)
  const right = v128.load(row, 16)
  return f32x4.add(f32x4.add(sums, f32x4.mul(left, left)), f32x4.mul(right, right))
}

/** @returns the bits of the largest magnitudes so far */
function addRow(W: usize, delta: usize, largest: v128): v128 {
  const left = f32x4.add(v128.load(W), v128.load(delta))
  const right = f32x4.add(v128.load(W, 16), v128.load(delta, 16))
  v128.store(W, left)
  v128.store(W, right, 16)
  return i32x4.max_u(i32x4.max_u(largest, f32x4.abs(left)), f32x4.abs(right))
}

function addLanes(sums: usize, lanes01: v128, lanes23: v128): void {
  v128.store(sums, f64x2.add(v128.load(sums), lanes01))
  v128.store(sums, f64x2.add(v128.load(sums, 16), lanes23), 16)
}

function sumInF64(W: usize, rowBytes: usize, delta: usize, deltaRowBytes: usize): void {
  for (let lane: usize = 0; lane < 4; lane++) {
    let ofDelta: f64 = 0
    let ofWeight: f64 = 0
    for (let i: usize = 0; i < ROWS * 2; i++) {
      const at = (lane << 2) + ((i & 1) << 4)
      const d = f64(load<f32>(delta + (i >> 1) * deltaRowBytes + at))
      const w = f64(load<f32>(W + (i >> 1) * rowBytes + at))
      ofDelta += d * d
      ofWeight += w * w
    }
    store<f64>(OF_DELTA + (lane << 3), load<f64>(OF_DELTA + (lane << 3)) + ofDelta)
    store<f64>(OF_WEIGHT + (lane << 3), load<f64>(OF_WEIGHT + (lane << 3)) + ofWeight)
  }
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
  let largest = largestLane(i32x4.max_u(most, more))
  for (; values < end; values += 4) largest = max<u32>(largest, load<u32>(values) & 0x7fff_ffff)
  return largest
}

function largestLane(lanes: v128): u32 {
  const half = i32x4.max_u(lanes, v128.shuffle<u32>(lanes, lanes, 2, 3, 0, 1))
  return max<u32>(i32x4.extract_lane(half, 0), i32x4.extract_lane(half, 1))
}
