/**
 * The kernels as `Arithmetic`: for arrays that may lie in their memory or anywhere else, and of any length. What no kernel knows (types, importance,
 * odd blocks, a rank beyond every adapter's) is done by the plain-JS twin, so that the bytes are always those of the twin.
 */
import { floatsOf } from '../core/bytes.js'
import { isEncodedType, type Arithmetic, type EncodedType, type ReadableType } from '../core/arithmetic.js'
import { QUANT_TYPES } from '../core/quant-types.js'
import type { ConvertBlocks, KernelExports } from './exports.js'
import { packedElements, packRows, unpacked, withPacked, type PackedProduct } from './factors.js'
import type { Kernels } from './load.js'
import { copyBack, inPieces, place } from './placing.js'

/** Squares of the norms of a delta and of the weights that it is added to. */
export interface Norms {
  delta: number
  weight: number
}

/** Types in which small deltas may be lost. */
export type NarrowType = 'f16' | 'bf16'

/** Deltas of a merge by their fate in a narrow type. */
export interface Losses {
  /** Elements whose delta is not 0. */
  changed: number
  /** Those of them that have the same bits as without it, once they are rounded. */
  lost: number
}

/** The arithmetic of tiles, with what merging needs beside `Arithmetic`. */
export interface TileArithmetic extends Arithmetic {
  /** Elements of a factor A (rank x cols) in the form that products want it in. */
  packedElements(rank: number, cols: number): number
  /** Brings some rows of A, from row `first` on, to their places in the packed form. */
  packRows(rows: Float32Array, first: number, rank: number, cols: number, into: Float32Array): void
  /** `into = scale * (B · A)`, A packed, by the law of the sum. */
  product(product: PackedProduct, into: Float32Array): void
  /** `W = fround(W + scale * (B · A))`, A packed, with norms as `addDelta` has them. @returns what largestMagnitude says of the sum */
  addProduct(W: Float32Array, product: PackedProduct, norms: Norms): number
  /** `into = fround(into + delta)`, both in rows of `cols`, and adds the squares of both, from before, to `norms`: src/merge/norms.ts. */
  addDelta(into: Float32Array, delta: Float32Array, cols: number, norms: Norms): void
  /** Counts what rounding to a narrow type makes of `W + delta`, and adds it to `losses`. Nothing is NaN. */
  countLost(type: NarrowType, W: Float32Array, delta: Float32Array, losses: Losses): void
  /** The bits of the largest magnitude; those of NaN and infinity are above all others. */
  largestMagnitude(values: Float32Array): number
}

/** Conversions of halves do eight at a time; the twin does the rest. */
const HALVES_AT_ONCE = 8
/** The same for counts of what is lost. */
const LANES = 4
/** Where kernels leave their two results: in the unused first bytes of the memory (assembly/map.ts). */
const RESULTS_AT = 160

type BlockKernel = { [N in keyof KernelExports]: KernelExports[N] extends ConvertBlocks ? N : never }[keyof KernelExports] & `${'encode' | 'decode'}${string}`

/** The kernels of each block type. */
const BLOCK_KERNELS: Partial<Record<EncodedType | ReadableType, { readonly encode: BlockKernel; readonly decode: BlockKernel }>> = {
  q8_0: { encode: 'encodeQ8_0', decode: 'decodeQ8_0' },
  q4_0: { encode: 'encodeQ4_0', decode: 'decodeQ4_0' },
  q4_1: { encode: 'encodeQ4_1', decode: 'decodeQ4_1' },
  q5_0: { encode: 'encodeQ5_0', decode: 'decodeQ5_0' },
  q5_1: { encode: 'encodeQ5_1', decode: 'decodeQ5_1' },
  q2_k: { encode: 'encodeQ2_K', decode: 'decodeQ2_K' },
  q3_k: { encode: 'encodeQ3_K', decode: 'decodeQ3_K' },
  q4_k: { encode: 'encodeQ4_K', decode: 'decodeQ4_K' },
  q5_k: { encode: 'encodeQ5_K', decode: 'decodeQ5_K' },
  q6_k: { encode: 'encodeQ6_K', decode: 'decodeQ6_K' },
  iq4_nl: { encode: 'encodeIq4_NL', decode: 'decodeIq4_NL' },
  iq4_xs: { encode: 'encodeIq4_XS', decode: 'decodeIq4_XS' },
}

/** Types without a search have no use for importance. */
const IGNORES_IMPORTANCE: ReadonlySet<EncodedType> = new Set<EncodedType>(['q8_0'])

/** Whether a kernel writes the type; without one it is the twin's speed. */
export function hasKernel(type: EncodedType): boolean {
  return type === 'f32' || type === 'f16' || type === 'bf16' || BLOCK_KERNELS[type] !== undefined
}

/** @param twin  the plain-JS truth */
export function createKernelArithmetic(kernels: Kernels, twin: TileArithmetic): TileArithmetic {
  const { run, arena } = kernels
  const sums = new Float64Array(kernels.stage.buffer, RESULTS_AT, 2)
  return {
    widen(type, bytes, into) {
      if (type === 'F16' || type === 'BF16') return widenHalves(type, bytes, into)
      const name = BLOCK_KERNELS[type]?.decode
      if (name === undefined || !isEncodedType(type) || !isWhole(type, into, bytes, into.length)) return twin.widen(type, bytes, into)
      const { blockElements, blockBytes } = QUANT_TYPES[type]
      inPieces(kernels, { elements: into.length, bytesPerElement: [blockBytes / blockElements, 4] }, bytes, into, (from, to, count) => {
        withTwin(run[name], { from, fromBytes: blockBytes, into: to, intoBytes: blockElements * 4, blocks: count / blockElements }, (block, values) =>
          twin.widen(type, block, floatsOf(values)),
        )
      })
    },

    lowRank(B, A, scale, rank, cols, into) {
      const mark = arena.mark()
      const packed = floatsOf(arena.take(packedElements(rank, cols) * 4))
      packRows(run, arena, A, 0, rank, cols, packed)
      if (!multiply({ B, A: packed, scale, rank, cols }, into)) twin.lowRank(B, A, scale, rank, cols, into)
      arena.release(mark)
    },

    packedElements,
    packRows: (rows, first, rank, cols, into) => packRows(run, arena, rows, first, rank, cols, into),

    product(product, into) {
      if (!multiply(product, into)) twin.product(plain(product), into)
    },

    addProduct(W, product, norms) {
      let largest = 0
      const isDone = withPacked(run, arena, product, W, (B, A, rows, at) => {
        run.beginSums()
        run.addProduct(B, A, product.scale, product.rank, rows, product.cols, at)
        largest = takeSums(norms)
      })
      return isDone ? largest : twin.addProduct(W, plain(product), norms)
    },

    add(into, term) {
      const mark = arena.mark()
      const [to, from] = [place(arena, into), place(arena, term)]
      if (to === undefined || from === undefined) twin.add(into, term)
      else {
        run.add(to.byteOffset, from.byteOffset, into.length)
        copyBack(to, into)
      }
      arena.release(mark)
    },

    addDelta(into, delta, cols, norms) {
      const mark = arena.mark()
      const [to, from] = [place(arena, into), place(arena, delta)]
      if (to === undefined || from === undefined) twin.addDelta(into, delta, cols, norms)
      else {
        run.beginSums()
        run.addDelta(to.byteOffset, from.byteOffset, into.length / cols, cols)
        takeSums(norms)
        copyBack(to, into)
      }
      arena.release(mark)
    },

    countLost(type, W, delta, losses) {
      const whole = W.length - (W.length % LANES)
      const mark = arena.mark()
      const [before, change] = [place(arena, W), place(arena, delta)]
      if (before === undefined || change === undefined) twin.countLost(type, W, delta, losses)
      else {
        const kernel = type === 'f16' ? run.countLostF16 : run.countLostBf16
        kernel(before.byteOffset, change.byteOffset, whole, RESULTS_AT)
        const [changed = 0, lost = 0] = new Uint32Array(before.buffer, RESULTS_AT, 2)
        losses.changed += changed
        losses.lost += lost
        if (whole < W.length) twin.countLost(type, W.subarray(whole), delta.subarray(whole), losses)
      }
      arena.release(mark)
    },

    largestMagnitude(values) {
      return arena.holds(values) ? run.largestMagnitude(values.byteOffset, values.length) >>> 0 : twin.largestMagnitude(values)
    },

    encode(type, from, into, cols, importance) {
      const name = importance === undefined || IGNORES_IMPORTANCE.has(type) ? BLOCK_KERNELS[type]?.encode : undefined
      if (type === 'f16' || type === 'bf16') narrow(type, from, into, cols)
      else if (name === undefined || !isWhole(type, from, into, cols)) twin.encode(type, from, into, cols, importance)
      else encodeBlocks(type, run[name], from, into)
    },
  }

  function multiply(product: PackedProduct, into: Float32Array): boolean {
    const { scale, rank, cols } = product
    return withPacked(run, arena, product, into, (B, A, rows, at) => run.product(B, A, scale, rank, rows, cols, at))
  }

  /** Adds what the kernels have summed. @returns the bits of the largest magnitude */
  function takeSums(norms: Norms): number {
    const largest = run.endSums(RESULTS_AT) >>> 0
    norms.delta += sums[0]!
    norms.weight += sums[1]!
    return largest
  }

  function widenHalves(type: 'F16' | 'BF16', bytes: Uint8Array, into: Float32Array): void {
    const kernel = type === 'F16' ? run.widenF16 : run.widenBf16
    const whole = bytes.byteLength === into.length * 2 ? into.length - (into.length % HALVES_AT_ONCE) : 0
    inPieces(kernels, { elements: whole, bytesPerElement: [2, 4] }, bytes, into, (piece, to, count) => kernel(piece.byteOffset, to.byteOffset, count))
    if (whole < into.length) twin.widen(type, bytes.subarray(whole * 2), into.subarray(whole))
  }

  function narrow(type: 'f16' | 'bf16', from: Float32Array, into: Uint8Array, cols: number): void {
    const kernel = type === 'f16' ? run.narrowF16 : run.narrowBf16
    const whole = into.byteLength === from.length * 2 ? from.length - (from.length % HALVES_AT_ONCE) : 0
    inPieces(kernels, { elements: whole, bytesPerElement: [4, 2] }, from, into, (piece, to, count) => kernel(piece.byteOffset, to.byteOffset, count))
    if (whole < from.length) twin.encode(type, from.subarray(whole), into.subarray(whole * 2), cols)
  }

  function encodeBlocks(type: EncodedType, kernel: ConvertBlocks, from: Float32Array, into: Uint8Array): void {
    const { blockElements, blockBytes } = QUANT_TYPES[type]
    inPieces(kernels, { elements: from.length, bytesPerElement: [4, blockBytes / blockElements] }, from, into, (piece, to, count) => {
      withTwin(kernel, { from: piece, fromBytes: blockElements * 4, into: to, intoBytes: blockBytes, blocks: count / blockElements }, (values, block) =>
        twin.encode(type, floatsOf(values), block, blockElements),
      )
    })
  }
}

/** A product as the twin wants it. */
function plain(product: PackedProduct): PackedProduct {
  return { ...product, A: unpacked(product.A, product.rank, product.cols) }
}

/** Blocks in the kernels' memory. */
interface Blocks {
  readonly from: Uint8Array
  readonly fromBytes: number
  readonly into: Uint8Array
  readonly intoBytes: number
  readonly blocks: number
}

/** Lets the kernel go through the blocks, and the twin do each one that it stops before. */
function withTwin(kernel: ConvertBlocks, { from, fromBytes, into, intoBytes, blocks }: Blocks, twin: (from: Uint8Array, into: Uint8Array) => void): void {
  for (let block = 0; block < blocks; block++) {
    block += kernel(from.byteOffset + block * fromBytes, into.byteOffset + block * intoBytes, blocks - block)
    if (block === blocks) return
    twin(from.subarray(block * fromBytes, (block + 1) * fromBytes), into.subarray(block * intoBytes, (block + 1) * intoBytes))
  }
}

/** Whether there are whole rows of whole blocks and room for them; the twin says what is wrong. */
function isWhole(type: EncodedType, values: Float32Array, bytes: Uint8Array, cols: number): boolean {
  const { blockElements, blockBytes } = QUANT_TYPES[type]
  return cols > 0 && cols % blockElements === 0 && values.length % cols === 0 && bytes.byteLength === (values.length / blockElements) * blockBytes
}
