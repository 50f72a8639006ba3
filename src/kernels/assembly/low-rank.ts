/**
 * `scale * (B · A)` by the law of the sum (src/merge/reference.ts): every element is summed by itself, rank ascending, each product and each sum
 * rounded. So lanes hold columns: a group of 4 rows x 8 columns of sums stays in 8 registers while k runs over the rank.
 *
 * Factors come packed, so that this loop reads both straight on: A in strips of 8 columns, [strip][k][8], B in bands of 4 rows, [band][k][4]; what is
 * missing in the last strip or band is zero. Columns go by in panels, so that a panel of A stays in the cache while all rows pass by.
 */
import { PANEL, PRODUCTS } from './map'
import { addEdge, addRows, storeRows } from './sums'

/** Of a band of B, and of a group. */
const ROWS: usize = 4
/** Columns of a strip of A, and of a group. */
const STRIP: usize = 8
const STRIP_BYTES: usize = 32

/** Packs rows [first, first + count) of A (rank x cols), which lie at `from`, into all strips. */
export function packA(from: usize, first: usize, count: usize, rank: usize, cols: usize, into: usize): void {
  for (let row: usize = 0; row < count; row++, from += cols << 2) {
    let to = into + (first + row) * STRIP_BYTES
    for (let col: usize = 0; col < cols; col += STRIP, to += rank * STRIP_BYTES) {
      const at = from + (col << 2)
      if (cols - col >= STRIP) {
        v128.store(to, v128.load(at))
        v128.store(to, v128.load(at, 16), 16)
      } else {
        memory.fill(to, 0, STRIP_BYTES)
        memory.copy(to, at, (cols - col) << 2)
      }
    }
  }
}

/** Packs B (rows x rank) into bands. */
export function packB(from: usize, rows: usize, rank: usize, into: usize): void {
  for (let band: usize = 0; band < rows; band += ROWS, into += rank << 4) {
    for (let row: usize = 0; row < ROWS; row++) {
      let at = from + (((band + row) * rank) << 2)
      let to = into + (row << 2)
      const isThere = band + row < rows
      for (let k: usize = 0; k < rank; k++, at += 4, to += 16) store<f32>(to, isThere ? load<f32>(at) : 0)
    }
  }
}

/** `into` (rows x cols) = scale * (B · A), the factors packed. */
export function product(B: usize, A: usize, scale: f32, rank: usize, rows: usize, cols: usize, into: usize): void {
  multiplyAll(B, A, scale, rank, rows, cols, into, false)
}

/** `W` (rows x cols) += scale * (B · A), the factors packed; squares and the largest magnitude go to the sums, which the caller begins and ends. */
export function addProduct(B: usize, A: usize, scale: f32, rank: usize, rows: usize, cols: usize, W: usize): void {
  multiplyAll(B, A, scale, rank, rows, cols, W, true)
}

function multiplyAll(B: usize, A: usize, scale: f32, rank: usize, rows: usize, cols: usize, into: usize, adds: bool): void {
  const factor = f32x4.splat(scale)
  const bytes = rank << 4 // of a band; a strip has twice as many
  const rowBytes = cols << 2
  for (let panel: usize = 0; panel < cols; panel += PANEL) {
    const end = min(panel + PANEL, cols)
    for (let row: usize = 0, band = B; row < rows; row += ROWS, band += bytes) {
      const height = min(ROWS, rows - row)
      let strip = A + ((panel * rank) << 2)
      let to = into + row * rowBytes + (panel << 2)
      for (let col = panel; col < end; col += STRIP, strip += bytes << 1, to += STRIP_BYTES) {
        const width = min(STRIP, end - col)
        const isWhole = height === ROWS && width === STRIP
        if (isWhole) multiply(band, strip, bytes, factor, to, rowBytes, adds)
        else {
          multiply(band, strip, bytes, factor, PRODUCTS, STRIP_BYTES, false)
          if (adds) addEdge(to, rowBytes, height, width)
          else for (let i: usize = 0; i < height; i++) memory.copy(to + i * rowBytes, PRODUCTS + i * STRIP_BYTES, width << 2)
        }
      }
    }
  }
}

/** A group at `to`, whose rows are `rowBytes` apart, from a band of B and a strip of A: put there, or added to what is there. */
function multiply(band: usize, strip: usize, bandBytes: usize, scale: v128, to: usize, rowBytes: usize, adds: bool): void {
  let row0 = f32x4.splat(0)
  let row1 = row0
  let row2 = row0
  let row3 = row0
  let right0 = row0
  let right1 = row0
  let right2 = row0
  let right3 = row0
  for (const end = band + bandBytes; band < end; strip += STRIP_BYTES, band += 16) {
    const left = v128.load(strip)
    const right = v128.load(strip, 16)
    let b = v128.load32_splat(band)
    row0 = f32x4.add(row0, f32x4.mul(b, left))
    right0 = f32x4.add(right0, f32x4.mul(b, right))
    b = v128.load32_splat(band, 4)
    row1 = f32x4.add(row1, f32x4.mul(b, left))
    right1 = f32x4.add(right1, f32x4.mul(b, right))
    b = v128.load32_splat(band, 8)
    row2 = f32x4.add(row2, f32x4.mul(b, left))
    right2 = f32x4.add(right2, f32x4.mul(b, right))
    b = v128.load32_splat(band, 12)
    row3 = f32x4.add(row3, f32x4.mul(b, left))
    right3 = f32x4.add(right3, f32x4.mul(b, right))
  }
  row0 = f32x4.mul(row0, scale)
  right0 = f32x4.mul(right0, scale)
  row1 = f32x4.mul(row1, scale)
  right1 = f32x4.mul(right1, scale)
  row2 = f32x4.mul(row2, scale)
  right2 = f32x4.mul(right2, scale)
  row3 = f32x4.mul(row3, scale)
  right3 = f32x4.mul(right3, scale)
  if (adds) return addRows(to, rowBytes, row0, right0, row1, right1, row2, right2, row3, right3)
  storeRows(to, rowBytes, row0, right0, row1, right1, row2, right2, row3, right3)
}
