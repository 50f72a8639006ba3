/**
 * The kernels as `Arithmetic`: for arrays that may lie in their memory or anywhere else, and of any length. What no kernel knows (types, importance,
 * odd blocks, a rank beyond every adapter's) is done by the plain-JS twin, so that the bytes are always those of the twin.
 */
import type { Arithmetic, EncodedType } from '../core/arithmetic.js'
import { QUANT_TYPES } from '../core/quant-types.js'
import type { EncodeBlocks, KernelExports } from './exports.js'
import { multiplyFactors } from './factors.js'
import type { Kernels } from './load.js'
import { copyBack, inPieces, place } from './placing.js'

/** Squares of the norms of a delta and of the weights that it is added to. */
export interface Norms {
  delta: number
  weight: number
}

/** The arithmetic of tiles, with what merging needs beside `Arithmetic`. */
export interface TileArithmetic extends Arithmetic {
  /**
   * `into = fround(into + delta)`, and adds the squares of both, from before, to `norms`, in f64: element i goes into partial sum i mod 4 of this
   * call, and the sum is (0 + 1) + (2 + 3).
   */
  addDelta(into: Float32Array, delta: Float32Array, norms: Norms): void
  /** The bits of the largest magnitude; those of NaN and infinity are above all others. */
  largestMagnitude(values: Float32Array): number
}

/** Conversions of halves do eight at a time; the twin does the rest. */
const HALVES_AT_ONCE = 8
/** Where addDelta leaves its two f64: in the unused first bytes of the memory. */
const NORMS_AT = 64

type NameOf<K> = { [N in keyof KernelExports]: KernelExports[N] extends K ? N : never }[keyof KernelExports]

const ENCODERS: Partial<Record<EncodedType, NameOf<EncodeBlocks>>> = {
  q8_0: 'encodeQ8_0',
  q4_0: 'encodeQ4_0',
  q4_1: 'encodeQ4_1',
  q5_0: 'encodeQ5_0',
  q5_1: 'encodeQ5_1',
  q2_k: 'encodeQ2_K',
  q3_k: 'encodeQ3_K',
  q4_k: 'encodeQ4_K',
  q5_k: 'encodeQ5_K',
  q6_k: 'encodeQ6_K',
  iq4_nl: 'encodeIq4_NL',
  iq4_xs: 'encodeIq4_XS',
}

/** Types without a search have no use for importance. */
const IGNORES_IMPORTANCE: ReadonlySet<EncodedType> = new Set<EncodedType>(['q8_0'])

/** Whether a kernel writes the type; without one it is the twin's speed. */
export function hasKernel(type: EncodedType): boolean {
  return type === 'f32' || type === 'f16' || type === 'bf16' || ENCODERS[type] !== undefined
}

/** @param twin  the plain-JS truth */
export function createKernelArithmetic(kernels: Kernels, twin: TileArithmetic): TileArithmetic {
  const { run, arena } = kernels
  return {
    widen(type, bytes, into) {
      const widen = type === 'F16' ? run.widenF16 : type === 'BF16' ? run.widenBf16 : undefined
      const whole = into.length - (into.length % HALVES_AT_ONCE)
      if (widen === undefined || bytes.byteLength !== into.length * 2) return twin.widen(type, bytes, into)
      inPieces(kernels, { elements: whole, bytesPerElement: [2, 4] }, bytes, into, (from, to, count) => widen(from.byteOffset, to.byteOffset, count))
      if (whole < into.length) twin.widen(type, bytes.subarray(whole * 2), into.subarray(whole))
    },

    lowRank(B, A, scale, rank, cols, into) {
      if (!multiplyFactors(run, arena, { B, A, scale, rank, cols, into })) twin.lowRank(B, A, scale, rank, cols, into)
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

    addDelta(into, delta, norms) {
      const mark = arena.mark()
      const [to, from] = [place(arena, into), place(arena, delta)]
      if (to === undefined || from === undefined) twin.addDelta(into, delta, norms)
      else {
        run.addDelta(to.byteOffset, from.byteOffset, into.length, NORMS_AT)
        const [ofDelta = 0, ofWeight = 0] = new Float64Array(to.buffer, NORMS_AT, 2)
        norms.delta += ofDelta
        norms.weight += ofWeight
        copyBack(to, into)
      }
      arena.release(mark)
    },

    largestMagnitude(values) {
      return arena.holds(values) ? run.largestMagnitude(values.byteOffset, values.length) >>> 0 : twin.largestMagnitude(values)
    },

    encode(type, from, into, cols, importance) {
      const name = importance === undefined || IGNORES_IMPORTANCE.has(type) ? ENCODERS[type] : undefined
      if (type === 'f16' || type === 'bf16') narrow(type, from, into, cols)
      else if (name === undefined || !isWhole(type, from, into, cols)) twin.encode(type, from, into, cols, importance)
      else encodeBlocks(type, run[name], from, into)
    },
  }

  function narrow(type: 'f16' | 'bf16', from: Float32Array, into: Uint8Array, cols: number): void {
    const kernel = type === 'f16' ? run.narrowF16 : run.narrowBf16
    const whole = into.byteLength === from.length * 2 ? from.length - (from.length % HALVES_AT_ONCE) : 0
    inPieces(kernels, { elements: whole, bytesPerElement: [4, 2] }, from, into, (piece, to, count) => kernel(piece.byteOffset, to.byteOffset, count))
    if (whole < from.length) twin.encode(type, from.subarray(whole), into.subarray(whole * 2), cols)
  }

  function encodeBlocks(type: EncodedType, kernel: EncodeBlocks, from: Float32Array, into: Uint8Array): void {
    const { blockElements, blockBytes } = QUANT_TYPES[type]
    inPieces(kernels, { elements: from.length, bytesPerElement: [4, blockBytes / blockElements] }, from, into, (piece, to, count) => {
      const blocks = count / blockElements
      for (let block = 0; block < blocks; block++) {
        block += kernel(piece.byteOffset + block * blockElements * 4, to.byteOffset + block * blockBytes, blocks - block)
        if (block === blocks) return
        const odd = new Float32Array(piece.buffer, piece.byteOffset + block * blockElements * 4, blockElements)
        twin.encode(type, odd, new Uint8Array(to.buffer, to.byteOffset + block * blockBytes, blockBytes), blockElements)
      }
    })
  }
}

/** Whether there are whole rows of whole blocks and room for them; the twin says what is wrong. */
function isWhole(type: EncodedType, from: Float32Array, into: Uint8Array, cols: number): boolean {
  const { blockElements, blockBytes } = QUANT_TYPES[type]
  return cols > 0 && cols % blockElements === 0 && from.length % cols === 0 && into.byteLength === (from.length / blockElements) * blockBytes
}
