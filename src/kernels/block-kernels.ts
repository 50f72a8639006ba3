/**
 * Block types by kernel: arrays that may lie in the kernels' memory or anywhere else. A kernel stops before a block that only the twin knows (odd
 * scales); the twin does that one (with importance: its row), and the kernel goes on behind it.
 */
import type { EncodedType } from '../core/arithmetic.js'
import { bytesOf, floatsOf } from '../core/bytes.js'
import { QUANT_TYPES } from '../core/quant-types.js'
import type { ConvertBlocks, KernelExports } from './exports.js'
import type { Kernels } from './load.js'
import { inPieces, place } from './placing.js'

export type BlockType = Exclude<EncodedType, 'f32' | 'f16' | 'bf16'>

type BlockKernel = { [N in keyof KernelExports]: KernelExports[N] extends ConvertBlocks ? N : never }[keyof KernelExports] & `${'encode' | 'decode'}${string}`

interface TypeKernels {
  readonly encode: BlockKernel
  readonly decode: BlockKernel
  /** With importance: what the weights of a block depend on beside itself; undefined where there is no search, and importance changes nothing. */
  readonly neighbourhood: 'row' | 'block' | undefined
}

const TYPE_KERNELS: Readonly<Record<BlockType, TypeKernels>> = {
  q8_0: { encode: 'encodeQ8_0', decode: 'decodeQ8_0', neighbourhood: undefined },
  q4_0: { encode: 'encodeQ4_0', decode: 'decodeQ4_0', neighbourhood: 'row' },
  q4_1: { encode: 'encodeQ4_1', decode: 'decodeQ4_1', neighbourhood: 'row' },
  q5_0: { encode: 'encodeQ5_0', decode: 'decodeQ5_0', neighbourhood: 'row' },
  q5_1: { encode: 'encodeQ5_1', decode: 'decodeQ5_1', neighbourhood: 'row' },
  q2_k: { encode: 'encodeQ2_K', decode: 'decodeQ2_K', neighbourhood: 'block' },
  q3_k: { encode: 'encodeQ3_K', decode: 'decodeQ3_K', neighbourhood: 'block' },
  q4_k: { encode: 'encodeQ4_K', decode: 'decodeQ4_K', neighbourhood: 'block' },
  q5_k: { encode: 'encodeQ5_K', decode: 'decodeQ5_K', neighbourhood: 'block' },
  q6_k: { encode: 'encodeQ6_K', decode: 'decodeQ6_K', neighbourhood: 'block' },
  iq4_nl: { encode: 'encodeIq4_NL', decode: 'decodeIq4_NL', neighbourhood: 'block' },
  iq4_xs: { encode: 'encodeIq4_XS', decode: 'decodeIq4_XS', neighbourhood: 'block' },
  tq1_0: { encode: 'encodeTq1_0', decode: 'decodeTq1_0', neighbourhood: undefined },
  tq2_0: { encode: 'encodeTq2_0', decode: 'decodeTq2_0', neighbourhood: undefined },
  mxfp4: { encode: 'encodeMxfp4', decode: 'decodeMxfp4', neighbourhood: undefined },
}

/** The bits of 2^64: with larger importance a search might reach infinity, and what comes of that is the twin's business. */
const TAME_IMPORTANCE = 0x5f80_0000

/** What taking two arrays may cost beside their bytes: each begins at a cache line. */
const SPARE_BYTES = 128

type Encode = (type: BlockType, from: Float32Array, into: Uint8Array, cols: number, importance?: Float32Array) => void
type Decode = (type: BlockType, bytes: Uint8Array, into: Float32Array) => void

/** @param twin  the plain-JS truth, which also says what is wrong with sizes */
export function createBlockKernels(kernels: Kernels, twin: { encode: Encode; decode: Decode }): { encode: Encode; decode: Decode } {
  const { run, arena } = kernels
  return {
    decode(type, bytes, into) {
      if (!isWhole(type, into, bytes, into.length)) return twin.decode(type, bytes, into)
      const { blockElements, blockBytes } = QUANT_TYPES[type]
      const kernel = run[TYPE_KERNELS[type].decode]
      inPieces(kernels, { elements: into.length, bytesPerElement: [blockBytes / blockElements, 4] }, bytes, into, (from, to, count) => {
        const blocks = { from, fromBytes: blockBytes, into: to, intoBytes: blockElements * 4, blocks: count / blockElements, unit: 1 }
        withTwin(blocks, kernel, (block, values) => twin.decode(type, block, floatsOf(values)))
      })
    },

    encode(type, from, into, cols, importance) {
      const { encode, neighbourhood } = TYPE_KERNELS[type]
      if (!isWhole(type, from, into, cols)) twin.encode(type, from, into, cols, importance)
      else if (importance === undefined || neighbourhood === undefined) encodePlain(type, run[encode], from, into)
      else if (!encodeWeighed(type, from, into, cols, importance)) twin.encode(type, from, into, cols, importance)
    },
  }

  function encodePlain(type: BlockType, kernel: ConvertBlocks, from: Float32Array, into: Uint8Array): void {
    const { blockElements, blockBytes } = QUANT_TYPES[type]
    inPieces(kernels, { elements: from.length, bytesPerElement: [4, blockBytes / blockElements] }, from, into, (piece, to, count) => {
      const blocks = { from: piece, fromBytes: blockElements * 4, into: to, intoBytes: blockBytes, blocks: count / blockElements, unit: 1 }
      withTwin(blocks, kernel, (values, block) => twin.encode(type, floatsOf(values), block, blockElements))
    })
  }

  /** Whole rows with importance. @returns false when nothing was done: no room, or importance beyond measure */
  function encodeWeighed(type: BlockType, from: Float32Array, into: Uint8Array, cols: number, importance: Float32Array): boolean {
    const { blockElements, blockBytes } = QUANT_TYPES[type]
    const { encode, neighbourhood } = TYPE_KERNELS[type]
    const size = neighbourhood === 'row' ? cols : blockElements
    const squaresBytes = Math.ceil(from.length / size / 4) * 16
    const mark = arena.mark()
    try {
      const [values, weights] = [place(arena, from), place(arena, importance)]
      const isInside = arena.holds(into)
      if (importance.length !== cols || values === undefined || weights === undefined) return false
      if (!arena.hasRoom(squaresBytes + (isInside ? 0 : into.byteLength + SPARE_BYTES))) return false
      if (run.largestMagnitude(weights.byteOffset, cols) >>> 0 >= TAME_IMPORTANCE) return false
      const squares = arena.take(squaresBytes).byteOffset
      run.sumSquares(values.byteOffset, size, from.length / size, squares)
      const written = isInside ? into : arena.take(into.byteLength)
      const [blocks, perRow] = [from.length / blockElements, cols / blockElements]
      const kernel: ConvertBlocks = (at, to, left) => {
        const done = (blocks - left) * blockElements // whole rows
        return run[encode](at, to, left, weights.byteOffset, cols, squares + (done / size) * 4)
      }
      const all = { from: bytesOf(values), fromBytes: blockElements * 4, into: written, intoBytes: blockBytes, blocks, unit: perRow }
      withTwin(all, kernel, (row, bytes) => twin.encode(type, floatsOf(row), bytes, cols, importance))
      if (!isInside) into.set(written)
      return true
    } finally {
      arena.release(mark)
    }
  }
}

/** Blocks in the kernels' memory. */
interface Blocks {
  readonly from: Uint8Array
  readonly fromBytes: number
  readonly into: Uint8Array
  readonly intoBytes: number
  readonly blocks: number
  /** Blocks that the twin does at once. */
  readonly unit: number
}

/** Lets the kernel go through the blocks, and the twin do each unit in which it stops. */
function withTwin({ from, fromBytes, into, intoBytes, blocks, unit }: Blocks, kernel: ConvertBlocks, twin: (from: Uint8Array, into: Uint8Array) => void): void {
  for (let block = 0; block < blocks;) {
    block += kernel(from.byteOffset + block * fromBytes, into.byteOffset + block * intoBytes, blocks - block)
    if (block === blocks) return
    const first = block - (block % unit)
    block = first + unit
    twin(from.subarray(first * fromBytes, block * fromBytes), into.subarray(first * intoBytes, block * intoBytes))
  }
}

/** Whether there are whole rows of whole blocks and room for them; the twin says what is wrong. */
function isWhole(type: BlockType, values: Float32Array, bytes: Uint8Array, cols: number): boolean {
  const { blockElements, blockBytes } = QUANT_TYPES[type]
  return cols > 0 && cols % blockElements === 0 && values.length % cols === 0 && bytes.byteLength === (values.length / blockElements) * blockBytes
}
