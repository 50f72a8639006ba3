/**
 * q4_0, q4_1, q5_0, q5_1 with importance: there scales are searched, as those of the K-quants are. Lanes hold four blocks of 32.
 *
 * Law: ggml-quants.c quantize_row_q{4,5}_{0,1}_impl (llama.cpp 0c1e570); twin: src/quantize/legacy-quants.ts.
 */
import { halvesOf } from './half-float'
import { fourBlocks, importanceOfFour, meanSquareOfFour, weighByImportance } from './importance'
import { LEVELS, MINS, SCALES } from './map'
import { packSmall } from './packing'
import { WEIGHED_START, WEIGHED_STEPS, WEIGHED_STRIDE, searchAffine } from './search-affine'
import { searchSteps } from './search-symmetric'
import { X, groupAt, storeBest } from './sub-blocks'

const SIZE: usize = 32

/** Four blocks, from one on, with their weights. @param squares  a sum for each row */
function prepare(group: usize, from: usize, block: usize, blocks: usize, importance: usize, cols: usize, squares: usize): void {
  fourBlocks(group + X, from, blocks - block)
  importanceOfFour(group, block, blocks, importance, cols)
  weighByImportance(group, SIZE, meanSquareOfFour(block, blocks, cols, squares))
}

/** q4_0 and q5_0: f16 d, then levels x / d + 2^(bits-1). @returns `blocks` */
export function searchSignedBlocks(from: usize, into: usize, blocks: usize, bits: i32, importance: usize, cols: usize, squares: usize): usize {
  const group = groupAt(0)
  const blockBytes: usize = bits === 5 ? 22 : 18
  for (let block: usize = 0; block < blocks; block += 4, from += 512) {
    prepare(group, from, block, blocks, importance, cols, squares)
    searchSteps(group, SIZE, f32(1 << (bits - 1)), SCALES)
    storeBest(group, SIZE, LEVELS)
    v128.store(SCALES, halvesOf(v128.load(SCALES)))
    const count = min<usize>(4, blocks - block)
    for (let lane: usize = 0; lane < count; lane++, into += blockBytes) {
      const levels = LEVELS + (lane << 5)
      store<u16>(into, load<u16>(SCALES + (lane << 2)))
      packSmall(v128.load(levels), v128.load(levels, 16), bits, into + 2)
    }
  }
  return blocks
}

/** q4_1 and q5_1: f16 d, f16 min, then levels (x - min) / d. Eight blocks at once. @returns how many were done before one that is left to the twin */
export function searchBlocksFromMin(from: usize, into: usize, blocks: usize, bits: i32, importance: usize, cols: usize, squares: usize): usize {
  const blockBytes: usize = bits === 5 ? 24 : 20
  for (let block: usize = 0; block < blocks; block += 8, from += 1024) {
    const second = min(block + 4, blocks - 1) // of few blocks the last one is searched again
    prepare(groupAt(0), from, block, blocks, importance, cols, squares)
    prepare(groupAt(1), from + ((second - block) << 7), second, blocks, importance, cols, squares)
    if (!searchAffine(groupAt(0), SIZE, f32((1 << bits) - 1), WEIGHED_START, WEIGHED_STRIDE, WEIGHED_STEPS, false, SCALES, MINS)) return block
    const count = min<usize>(8, blocks - block)
    for (let g: usize = 0; g < 2; g++) {
      storeBest(groupAt(g), SIZE, LEVELS + (g << 7))
      const scales = halvesOf(v128.load(SCALES + (g << 4)))
      const mins = halvesOf(f32x4.neg(v128.load(MINS + (g << 4))))
      v128.store(SCALES + (g << 4), v128.or(scales, i32x4.shl(mins, 16)))
    }
    for (let i: usize = 0; i < count; i++, into += blockBytes) {
      const levels = LEVELS + (i << 5)
      store<u32>(into, load<u32>(SCALES + (i << 2)))
      packSmall(v128.load(levels), v128.load(levels, 16), bits, into + 4)
    }
  }
  return blocks
}
