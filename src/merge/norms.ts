/**
 * The plain-JS truth of the norms in the receipt: sums of squares of weights and of what is added to them.
 *
 * 8 squares at a time are summed in f32, these sums in f64. The order: 512 columns for all rows, then the next 512; in these, groups of 4 rows x 8
 * columns, one after the other, row of groups by row of groups; in a group, lane i sums columns i and i + 4, row by row; what a group lacks at an edge is
 * zero. Each lane has one f64 of its own, and the sum is (0 + 1) + (2 + 3). Where f32 cannot hold the squares of a group well enough (tiny and huge numbers,
 * not zeros), it is summed in f64.
 */
/* oxlint-disable typescript/no-non-null-assertion -- numeric loops */

/** Squares of the norms of a delta and of the weights that it is added to. */
export interface Norms {
  delta: number
  weight: number
}

const PANEL = 512
const ROWS = 4
const COLUMNS = 8
const LANES = 4
/** Sums of squares between have lost nothing that counts: no square was subnormal but for a 2^-43rd of the sum, none infinite. */
const LEAST_SQUARES = 2 ** -80
const MOST_SQUARES = 2 ** 120

/** Adds the squares of both matrices, whose rows have `cols` elements, to `norms`. */
export function addNorms(weight: Float32Array, delta: Float32Array, cols: number, norms: Norms): void {
  const rows = weight.length / cols
  const [ofDelta, ofWeight] = [new Float64Array(LANES), new Float64Array(LANES)]
  for (let panel = 0; panel < cols; panel += PANEL) {
    for (let row = 0; row < rows; row += ROWS) {
      for (let col = panel; col < Math.min(panel + PANEL, cols); col += COLUMNS) {
        const group = { row, col, height: Math.min(ROWS, rows - row), width: Math.min(COLUMNS, cols - col), cols }
        const [d, w] = [laneSums(delta, group, Math.fround), laneSums(weight, group, Math.fround)]
        const isGood = areGood(d, delta, group) && areGood(w, weight, group)
        addTo(ofDelta, isGood ? d : laneSums(delta, group, inF64))
        addTo(ofWeight, isGood ? w : laneSums(weight, group, inF64))
      }
    }
  }
  norms.delta += sumOfLanes(ofDelta)
  norms.weight += sumOfLanes(ofWeight)
}

interface Group {
  readonly row: number
  readonly col: number
  readonly height: number
  readonly width: number
  readonly cols: number
}

function laneSums(values: Float32Array, { row, col, height, width, cols }: Group, round: (value: number) => number): number[] {
  const sums = [0, 0, 0, 0]
  for (let i = 0; i < height; i++) {
    for (let j = 0; j < width; j++) {
      const value = values[(row + i) * cols + col + j]!
      sums[j % LANES] = round(sums[j % LANES]! + round(value * value))
    }
  }
  return sums
}

/** Whether f32 has held the sums of a group well enough: sums of nothing but zeros are as good as any. */
function areGood(sums: readonly number[], values: Float32Array, group: Group): boolean {
  if (sums.every((sum) => sum > LEAST_SQUARES && sum < MOST_SQUARES)) return true
  const magnitudes = laneSums(values, group, inF64)
  return sums.every((sum, lane) => sum < MOST_SQUARES && (sum > LEAST_SQUARES || magnitudes[lane] === 0))
}

function inF64(value: number): number {
  return value
}

function addTo(into: Float64Array, sums: readonly number[]): void {
  for (let lane = 0; lane < LANES; lane++) into[lane]! += sums[lane]!
}

function sumOfLanes(sums: Float64Array): number {
  return sums[0]! + sums[1]! + (sums[2]! + sums[3]!)
}
