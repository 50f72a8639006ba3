/**
 * `scale * (B · A)` by the law of the sum (src/merge/reference.ts): every element is summed by itself, rank ascending, each product and each sum
 * rounded. So lanes hold columns: 4 rows x 8 columns of sums stay in 8 registers while k runs over the rank.
 *
 * A is packed into strips of 8 columns, [strip][k][8], so that the inner loop reads it straight on; 4 rows of B become [k][4].
 */
import { PACKED_ROWS } from './map'

const ROWS: usize = 4
const STRIP: usize = 8
const STRIP_BYTES: usize = 32

/** Packs columns [first, first + count) of A (rank x cols) as strips; what is missing in the last one is zero. */
export function packColumns(A: usize, rank: usize, cols: usize, first: usize, count: usize, into: usize): void {
  for (let strip: usize = 0; strip < count; strip += STRIP) {
    const width = min(STRIP, count - strip)
    let from = A + ((first + strip) << 2)
    for (let k: usize = 0; k < rank; k++, from += cols << 2, into += STRIP_BYTES) {
      if (width === STRIP) {
        v128.store(into, v128.load(from))
        v128.store(into, v128.load(from, 16), 16)
      } else {
        memory.fill(into, 0, STRIP_BYTES)
        memory.copy(into, from, width << 2)
      }
    }
  }
}

/**
 * Columns [first, first + count) of `into` (rows x cols) = scale * (B · A).
 * @param B      f32 (rows x rank)
 * @param packed these columns of A, from packColumns
 */
export function lowRank(B: usize, packed: usize, scale: f32, rank: usize, rows: usize, cols: usize, first: usize, count: usize, into: usize): void {
  const factor = f32x4.splat(scale)
  const stripBytes = rank * STRIP_BYTES
  const rowBytes = cols << 2
  for (let row: usize = 0; row < rows; row += ROWS) {
    const height = min(ROWS, rows - row)
    packRows(B + ((row * rank) << 2), rank, height)
    let to = into + ((row * cols + first) << 2)
    let strip = packed
    for (let left = count; left > 0; strip += stripBytes, to += STRIP_BYTES) {
      const width = min(STRIP, left)
      left -= width
      if (height === ROWS && width === STRIP) multiply(strip, stripBytes, factor, to, rowBytes)
      else multiplyEdge(strip, stripBytes, factor, to, rowBytes, height, width)
    }
  }
}

/** 4 rows of B as [k][4], zeros for those that are missing. */
function packRows(B: usize, rank: usize, height: usize): void {
  for (let row: usize = 0; row < ROWS; row++) {
    let from = B + ((row * rank) << 2)
    let into = PACKED_ROWS + (row << 2)
    for (let k: usize = 0; k < rank; k++, from += 4, into += 16) store<f32>(into, row < height ? load<f32>(from) : 0)
  }
}

/** 4 rows x 8 columns at `to`, whose rows are `rowBytes` apart. */
function multiply(strip: usize, stripBytes: usize, scale: v128, to: usize, rowBytes: usize): void {
  let row0 = f32x4.splat(0)
  let row1 = row0
  let row2 = row0
  let row3 = row0
  let right0 = row0
  let right1 = row0
  let right2 = row0
  let right3 = row0
  let rows = PACKED_ROWS
  for (const end = strip + stripBytes; strip < end; strip += STRIP_BYTES, rows += 16) {
    const left = v128.load(strip)
    const right = v128.load(strip, 16)
    let b = v128.load32_splat(rows)
    row0 = f32x4.add(row0, f32x4.mul(b, left))
    right0 = f32x4.add(right0, f32x4.mul(b, right))
    b = v128.load32_splat(rows, 4)
    row1 = f32x4.add(row1, f32x4.mul(b, left))
    right1 = f32x4.add(right1, f32x4.mul(b, right))
    b = v128.load32_splat(rows, 8)
    row2 = f32x4.add(row2, f32x4.mul(b, left))
    right2 = f32x4.add(right2, f32x4.mul(b, right))
    b = v128.load32_splat(rows, 12)
    row3 = f32x4.add(row3, f32x4.mul(b, left))
    right3 = f32x4.add(right3, f32x4.mul(b, right))
  }
  v128.store(to, f32x4.mul(row0, scale))
  v128.store(to, f32x4.mul(right0, scale), 16)
  to += rowBytes
  v128.store(to, f32x4.mul(row1, scale))
  v128.store(to, f32x4.mul(right1, scale), 16)
  to += rowBytes
  v128.store(to, f32x4.mul(row2, scale))
  v128.store(to, f32x4.mul(right2, scale), 16)
  to += rowBytes
  v128.store(to, f32x4.mul(row3, scale))
  v128.store(to, f32x4.mul(right3, scale), 16)
}

/** The same where rows or columns are missing: computed beside, then copied as far as it counts. */
function multiplyEdge(strip: usize, stripBytes: usize, scale: v128, to: usize, rowBytes: usize, height: usize, width: usize): void {
  const beside: usize = PACKED_ROWS - ROWS * STRIP_BYTES
  multiply(strip, stripBytes, scale, beside, STRIP_BYTES)
  for (let row: usize = 0; row < height; row++) memory.copy(to + row * rowBytes, beside + row * STRIP_BYTES, width << 2)
}
