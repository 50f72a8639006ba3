/**
 * Adds deltas to weights, and measures both: the sums of their squares (before they are added), and the largest magnitude of what comes out.
 *
 * Squares in f64 would take a third of the time of a whole merge. So 8 squares are summed in f32, and these sums in f64: elements go in groups of 4 rows
 * x 8 columns, column by column of the panels of low-rank.ts, and lane i of a group sums columns i and i + 4, row by row. Where f32 cannot hold the
 * squares of a group well enough (tiny and huge numbers), that group is summed in f64.
 */
import { MAGNITUDE, constant } from './constants'
import { EDGE, PANEL, PRODUCTS, SUMS } from './map'

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
function addGroup(W: usize, rowBytes: usize, delta: usize, deltaRowBytes: usize): void {
  const delta1 = delta + deltaRowBytes
  const delta2 = delta1 + deltaRowBytes
  const delta3 = delta2 + deltaRowBytes
  addRows(
    W,
    rowBytes,
    v128.load(delta),
    v128.load(delta, 16),
    v128.load(delta1),
    v128.load(delta1, 16),
    v128.load(delta2),
    v128.load(delta2, 16),
    v128.load(delta3),
    v128.load(delta3, 16),
  )
}

/** The same with the deltas in hand, the left and the right half of each row: they come so from the loop that makes them. */
export function addRows(W: usize, rowBytes: usize, l0: v128, r0: v128, l1: v128, r1: v128, l2: v128, r2: v128, l3: v128, r3: v128): void {
  const W1 = W + rowBytes
  const W2 = W1 + rowBytes
  const W3 = W2 + rowBytes
  const ofDelta = squares(l3, r3, squares(l2, r2, squares(l1, r1, squares(l0, r0, f32x4.splat(0)))))
  const ofWeight = squaresAt(W3, squaresAt(W2, squaresAt(W1, squaresAt(W, f32x4.splat(0)))))
  const isLost = f32x4.le(f32x4.pmin(ofDelta, ofWeight), constant(LEAST_SQUARES))
  const isHuge = f32x4.ge(f32x4.pmax(ofDelta, ofWeight), constant(MOST_SQUARES))
  if (v128.any_true(v128.or(isLost, isHuge))) {
    // seldom, but for weights and deltas that are all zero, whose sum is as good as any
    storeRows(PRODUCTS, GROUP_ROW_BYTES, l0, r0, l1, r1, l2, r2, l3, r3)
    if (v128.any_true(isHuge) || areLost(ofDelta, PRODUCTS, GROUP_ROW_BYTES) || areLost(ofWeight, W, rowBytes)) return addRowsInF64(W, rowBytes)
  }
  addLanes(OF_DELTA, f64x2.promote_low_f32x4(ofDelta), f64x2.promote_low_f32x4(v128.shuffle<u64>(ofDelta, ofDelta, 1, 0)))
  addLanes(OF_WEIGHT, f64x2.promote_low_f32x4(ofWeight), f64x2.promote_low_f32x4(v128.shuffle<u64>(ofWeight, ofWeight, 1, 0)))
  v128.store(LARGEST, addRow(W3, l3, r3, addRow(W2, l2, r2, addRow(W1, l1, r1, addRow(W, l0, r0, v128.load(LARGEST))))))
}

/** Whether a lane's sum of squares is too small although not all of what was squared is zero. */
function areLost(sums: v128, group: usize, rowBytes: usize): bool {
  let bits = v128.or(v128.load(group), v128.load(group, 16))
  for (let row: usize = 1; row < ROWS; row++) {
    group += rowBytes
    bits = v128.or(bits, v128.or(v128.load(group), v128.load(group, 16)))
  }
  const isThere = i32x4.ne(v128.and(bits, constant(MAGNITUDE)), i32x4.splat(0))
  return v128.any_true(v128.and(f32x4.le(sums, constant(LEAST_SQUARES)), isThere))
}

/** The same as addRows for the group at PRODUCTS, whose squares f32 cannot sum. */
function addRowsInF64(W: usize, rowBytes: usize): void {
  sumInF64(W, rowBytes)
  for (let row: usize = 0; row < ROWS; row++, W += rowBytes) {
    const delta = PRODUCTS + row * GROUP_ROW_BYTES
    v128.store(LARGEST, addRow(W, v128.load(delta), v128.load(delta, 16), v128.load(LARGEST)))
  }
}

/** Puts a group at `to`. */
export function storeRows(to: usize, rowBytes: usize, l0: v128, r0: v128, l1: v128, r1: v128, l2: v128, r2: v128, l3: v128, r3: v128): void {
  v128.store(to, l0)
  v128.store(to, r0, 16)
  to += rowBytes
  v128.store(to, l1)
  v128.store(to, r1, 16)
  to += rowBytes
  v128.store(to, l2)
  v128.store(to, r2, 16)
  to += rowBytes
  v128.store(to, l3)
  v128.store(to, r3, 16)
}

/** One row of a group: 8 squares more, two in each lane. */
function squares(left: v128, right: v128, sums: v128): v128 {
  return f32x4.add(f32x4.add(sums, f32x4.mul(left, left)), f32x4.mul(right, right))
}

function squaresAt(row: usize, sums: v128): v128 {
  return squares(v128.load(row), v128.load(row, 16), sums)
}

/** @returns the bits of the largest magnitudes so far */
function addRow(W: usize, left: v128, right: v128, largest: v128): v128 {
  const mask = constant(MAGNITUDE)
  left = f32x4.add(v128.load(W), left)
  right = f32x4.add(v128.load(W, 16), right)
  v128.store(W, left)
  v128.store(W, right, 16)
  return i32x4.max_u(i32x4.max_u(largest, v128.and(left, mask)), v128.and(right, mask))
}

function addLanes(sums: usize, lanes01: v128, lanes23: v128): void {
  v128.store(sums, f64x2.add(v128.load(sums), lanes01))
  v128.store(sums, f64x2.add(v128.load(sums, 16), lanes23), 16)
}

/** The group at `W` and that at PRODUCTS. */
function sumInF64(W: usize, rowBytes: usize): void {
  for (let lane: usize = 0; lane < 4; lane++) {
    let ofDelta: f64 = 0
    let ofWeight: f64 = 0
    for (let i: usize = 0; i < ROWS * 2; i++) {
      const at = (lane << 2) + ((i & 1) << 4)
      const d = f64(load<f32>(PRODUCTS + (i >> 1) * GROUP_ROW_BYTES + at))
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
  const magnitude = constant(MAGNITUDE)
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
