/**
 * The kernels as `Arithmetic`: for arrays that may lie in their memory or anywhere else, and of any length. What no kernel knows (odd blocks, arrays
 * that find no room) is done by the plain-JS twin, so that the bytes are always those of the twin.
 */
import { isEncodedType, type Arithmetic } from '../core/arithmetic.js'
import { floatsOf } from '../core/bytes.js'
import { createBlockKernels } from './block-kernels.js'
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

/** @param twin  the plain-JS truth */
export function createKernelArithmetic(kernels: Kernels, twin: TileArithmetic): TileArithmetic {
  const { run, arena } = kernels
  const blocks = createBlockKernels(kernels, {
    encode: (...args) => twin.encode(...args),
    decode: (...args) => twin.widen(...args),
  })
  const sums = new Float64Array(kernels.stage.buffer, RESULTS_AT, 2)
  return {
    widen(type, bytes, into) {
      if (type === 'F16' || type === 'BF16') return widenHalves(type, bytes, into)
      if (type === 'F32' || !isEncodedType(type)) return twin.widen(type, bytes, into)
      blocks.decode(type, bytes, into)
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
      if (type === 'f16' || type === 'bf16') narrow(type, from, into, cols)
      else if (type === 'f32') twin.encode(type, from, into, cols)
      else blocks.encode(type, from, into, cols, importance)
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
}

/** A product as the twin wants it. */
function plain(product: PackedProduct): PackedProduct {
  return { ...product, A: unpacked(product.A, product.rank, product.cols) }
}
