/**
 * Weights from importance: importance · √(mean square of the neighbourhood + own square). The neighbourhood is a row or a super-block, whose squares are
 * summed in f32 from the first to the last; so four neighbourhoods at a time, one per lane, before the blocks are searched.
 *
 * Law: the `weight[l] = …` lines of ggml-quants.c quantize_row_*_impl (llama.cpp 0c1e570); twin: src/quantize/weights.ts.
 */
import { GROUPS } from './map'
import { WEIGHT, X, fillLanes } from './sub-blocks'

/** Elements of a neighbourhood that are brought into lanes at once: all have a multiple of it. */
const PIECE: usize = 32

/** The sum of squares of each of `count` neighbourhoods of `size` elements, as f32 at `into`, which has room for whole vectors. */
export function sumSquares(from: usize, size: usize, count: usize, into: usize): void {
  const bytes = size << 2
  for (let first: usize = 0; first < count; first += 4, into += 16) {
    // lanes beyond the last neighbourhood sum that one again
    const last = from + (count - 1) * bytes
    let a = min(from + first * bytes, last)
    let b = min(a + bytes, last)
    let c = min(b + bytes, last)
    let d = min(c + bytes, last)
    let squares = f32x4.splat(0)
    for (let i: usize = 0; i < size; i += PIECE, a += PIECE << 2, b += PIECE << 2, c += PIECE << 2, d += PIECE << 2) {
      fillLanes(GROUPS, a, b, c, d, PIECE)
      for (let at = GROUPS; at < GROUPS + (PIECE << 4); at += 16) {
        const x = v128.load(at)
        squares = f32x4.add(squares, f32x4.mul(x, x))
      }
    }
    v128.store(into, squares)
  }
}

/** Makes the weights of a group, where WEIGHT holds importance. @param meanSquare  of each lane's neighbourhood */
export function weighByImportance(group: usize, size: usize, meanSquare: v128): void {
  for (let at = group; at < group + (size << 4); at += 16) {
    const x = v128.load(at, X)
    v128.store(at, f32x4.mul(v128.load(at, WEIGHT), f32x4.sqrt(f32x4.add(meanSquare, f32x4.mul(x, x)))), WEIGHT)
  }
}

/** The sums of a group's weights, from the first to the last. */
export function sumWeights(group: usize, size: usize): v128 {
  let weights = f32x4.splat(0)
  for (let at = group; at < group + (size << 4); at += 16) weights = f32x4.add(weights, v128.load(at, WEIGHT))
  return weights
}

/** Importance of the next block of `bytes`: after the last one of a row comes the first one again. */
export function nextImportance(at: usize, bytes: usize, importance: usize, cols: usize): usize {
  const next = at + bytes
  return next === importance + (cols << 2) ? importance : next
}

/** Blocks of 32 in lanes at `into`: the first four of `left` that follow one another at `from`; the last one again where there are fewer. */
export function fourBlocks(into: usize, from: usize, left: usize): void {
  const last = from + ((min<usize>(left, 4) - 1) << 7)
  fillLanes(into, from, min(from + 128, last), min(from + 256, last), min(from + 384, last), 32)
}

/** The importance of four blocks of 32, from one on, in the lanes of WEIGHT: rows have `cols` elements, and a row may end among them. */
export function importanceOfFour(group: usize, block: usize, blocks: usize, importance: usize, cols: usize): void {
  const last = blocks - 1
  const perRow = cols >> 5
  const a = importance + ((block % perRow) << 7)
  const b = importance + ((min(block + 1, last) % perRow) << 7)
  const c = importance + ((min(block + 2, last) % perRow) << 7)
  const d = importance + ((min(block + 3, last) % perRow) << 7)
  fillLanes(group + WEIGHT, a, b, c, d, 32)
}

/** The mean square of the row of each of four blocks of 32, from the sums of rows at `squares`. */
export function meanSquareOfFour(block: usize, blocks: usize, cols: usize, squares: usize): v128 {
  const last = blocks - 1
  const perRow = cols >> 5
  let sums = v128.load32_splat(squares + ((block / perRow) << 2))
  sums = v128.load32_lane(squares + ((min(block + 1, last) / perRow) << 2), sums, 1)
  sums = v128.load32_lane(squares + ((min(block + 2, last) / perRow) << 2), sums, 2)
  sums = v128.load32_lane(squares + ((min(block + 3, last) / perRow) << 2), sums, 3)
  return f32x4.div(sums, f32x4.splat(f32(cols)))
}
