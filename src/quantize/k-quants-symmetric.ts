/**
 * q3_k, q6_k: blocks of 256 elements in groups of 16, value = scale * (level - half), where the scales of the groups are
 * themselves signed levels of an f16 `d`.
 *
 * Each group is searched by itself; its scale is rounded to a level; then each element takes the level nearest to it on
 * the scale that is really stored.
 *
 * Law: ggml-quants.c `quantize_row_q{3,6}_K_ref`, and `…_impl` with importance (llama.cpp 0c1e570).
 */
/* oxlint-disable typescript/no-non-null-assertion -- numeric loops */
import { BLOCK_FORMATS, FIELDS, LEVEL_PLANES, packLevels, SCALE_PLANES } from './block-formats.js'
import { largestByMagnitude, nearestInt, writeHalf } from './block-numbers.js'
import { encoderOfBlocks, groupsOf, type BlockEncoder } from './blocks.js'
import { descendSymmetric, SMALLEST_GROUP, searchSymmetric, symmetricLevel } from './search-symmetric.js'
import { sumOf, sumOfSquares, weighByImportance, weighBySquare } from './weights.js'

const ELEMENTS = 256
const GROUP = 16
const GROUPS = ELEMENTS / GROUP
const NO_MINS = new Float32Array(0)
const SCALE_HALF = { q3_k: 32, q6_k: 128 } as const

export const encodeQ3K = makeQ3K()
export const encodeQ6K = makeQ6K()

function makeQ3K(): BlockEncoder {
  const block = newBlock()
  const scaleLevels = new Uint8Array(GROUPS)
  const sums = new Float32Array(GROUPS)
  return encoderOfBlocks('q3_k', (x, into, at, importance) => {
    const xGroups = groupsOf(x, GROUP)
    let d
    if (importance === undefined) {
      weighBySquare(x, block.weights)
      searchGroups(descendSymmetric, xGroups, 4, block)
      d = divideByLargest(block.scales, scaleLevels)
    } else {
      weighByImportance(x, importance, Math.fround(sumOfSquares(x) / (ELEMENTS / 2)), block.weights)
      searchGroups(searchSymmetric, xGroups, 4, block)
      for (let g = 0; g < GROUPS; g++) sums[g] = sumOf(block.weightGroups[g]!)
      d = searchSymmetric(block.scales, SCALE_HALF.q3_k, sums, scaleLevels)
    }
    writeHalf(into, at + FIELDS.q3_k.d, d)
    packLevels(SCALE_PLANES.q3_k, scaleLevels, into, at)
    writeLevels('q3_k', xGroups, 4, block, into, at)
  })
}

function makeQ6K(): BlockEncoder {
  const block = newBlock()
  return encoderOfBlocks('q6_k', (x, into, at, importance) => {
    const xGroups = groupsOf(x, GROUP)
    if (importance === undefined) weighBySquare(x, block.weights)
    else block.weights.set(importance)
    searchGroups(searchSymmetric, xGroups, 32, block)
    const largest = largestByMagnitude(block.scales)
    if (Math.abs(largest) < SMALLEST_GROUP) return void into.fill(0, at, at + FIELDS.q6_k.d + 2)
    const inverse = Math.fround(-SCALE_HALF.q6_k / largest)
    writeHalf(into, at + FIELDS.q6_k.d, Math.fround(1 / inverse))
    for (let g = 0; g < GROUPS; g++) {
      into[at + FIELDS.q6_k.scales + g] = Math.min(SCALE_HALF.q6_k - 1, nearestInt(Math.fround(inverse * block.scales[g]!)))
    }
    writeLevels('q6_k', xGroups, 32, block, into, at)
  })
}

/** Scratch of one encoder. */
interface Block {
  readonly levels: Uint8Array
  readonly levelGroups: readonly Uint8Array[]
  readonly weights: Float32Array
  readonly weightGroups: readonly Float32Array[]
  readonly scales: Float32Array
}

function newBlock(): Block {
  const levels = new Uint8Array(ELEMENTS)
  const weights = new Float32Array(ELEMENTS)
  return { levels, levelGroups: groupsOf(levels, GROUP), weights, weightGroups: groupsOf(weights, GROUP), scales: new Float32Array(GROUPS) }
}

function searchGroups(search: typeof searchSymmetric, xGroups: readonly Float32Array[], half: number, block: Block): void {
  for (let g = 0; g < GROUPS; g++) block.scales[g] = search(xGroups[g]!, half, block.weightGroups[g]!, block.levelGroups[g]!)
}

/** Scale levels of q3_k without search: 6 bits, the scale of largest magnitude gets 0; @returns what one step is worth. */
function divideByLargest(scales: Float32Array, levels: Uint8Array): number {
  const largest = largestByMagnitude(scales)
  levels.fill(0)
  if (largest === 0) return 0
  const inverse = Math.fround(-SCALE_HALF.q3_k / largest)
  for (let g = 0; g < GROUPS; g++) levels[g] = symmetricLevel(Math.fround(inverse * scales[g]!), SCALE_HALF.q3_k) + SCALE_HALF.q3_k
  return Math.fround(1 / inverse)
}

/** Rounds each element on its group's stored scale; a group whose scale was rounded to zero keeps the levels of its search. */
function writeLevels(type: 'q3_k' | 'q6_k', xGroups: readonly Float32Array[], half: number, block: Block, into: Uint8Array, at: number): void {
  const { scales, levels, levelGroups } = block
  BLOCK_FORMATS[type].readScales(into, at, scales, NO_MINS)
  for (let g = 0; g < GROUPS; g++) {
    const scale = scales[g]!
    if (scale === 0) continue
    const [x, group] = [xGroups[g]!, levelGroups[g]!]
    for (let i = 0; i < GROUP; i++) group[i] = symmetricLevel(Math.fround(x[i]! / scale), half) + half
  }
  packLevels(LEVEL_PLANES[type], levels, into, at)
}
