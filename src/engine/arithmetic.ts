/** Binds the plain-JS truth to the interface that the engine calls, and the kernels, which give the same bytes. */
import { bytesOf } from '../core/bytes.js'
import { narrowBf16, narrowF16, widenBf16s, widenF16s } from '../core/float16.js'
import { Arena } from '../kernels/arena.js'
import { createKernelArithmetic, type TileArithmetic } from '../kernels/kernel-arithmetic.js'
import { openKernels } from '../kernels/load.js'
import { addNorms } from '../merge/norms.js'
import { add, lowRank } from '../merge/reference.js'
import { BLOCK_ENCODERS } from '../quantize/block-encoders.js'
import { BLOCK_DECODERS } from '../quantize/decode.js'
import { ENCODERS } from '../quantize/reference.js'

export const PLAIN_ARITHMETIC: TileArithmetic = {
  widen(type, bytes, into) {
    const bits = new Uint32Array(into.buffer, into.byteOffset, into.length)
    if (type === 'F32') bytesOf(into).set(bytes)
    else if (type === 'F16' || type === 'BF16') (type === 'F16' ? widenF16s : widenBf16s)(new Uint16Array(bytes.buffer, bytes.byteOffset, into.length), bits)
    else BLOCK_DECODERS[type](bytes, into)
  },
  lowRank,
  add,
  encode(type, from, into, cols, importance) {
    if (type === 'f32' || type === 'f16' || type === 'bf16') ENCODERS[type](from, into)
    else BLOCK_ENCODERS[type](from, into, cols, importance)
  },

  packedElements: (rank, cols) => rank * cols,
  packRows: (rows, first, _rank, cols, into) => into.set(rows, first * cols),
  product: ({ B, A, scale, rank, cols }, into) => lowRank(B, A, scale, rank, cols, into),

  addProduct(W, { B, A, scale, rank, cols }, norms) {
    const delta = new Float32Array(W.length)
    lowRank(B, A, scale, rank, cols, delta)
    this.addDelta(W, delta, cols, norms)
    return this.largestMagnitude(W)
  },

  addDelta(into, delta, cols, norms) {
    addNorms(into, delta, cols, norms)
    add(into, delta)
  },

  countLost(type, W, delta, losses) {
    const narrow = type === 'f16' ? narrowF16 : narrowBf16
    const merged = W.slice()
    add(merged, delta)
    const [before, after] = [new Uint32Array(W.buffer, W.byteOffset, W.length), new Uint32Array(merged.buffer)]
    for (let i = 0; i < W.length; i++) {
      if (delta[i] === 0) continue
      losses.changed++
      if (narrow(before[i]!) === narrow(after[i]!)) losses.lost++
    }
  },

  largestMagnitude(values) {
    const bits = new Uint32Array(values.buffer, values.byteOffset, values.length)
    let largest = 0
    for (let i = 0; i < bits.length; i++) largest = Math.max(largest, bits[i]! & 0x7fff_ffff)
    return largest
  },
}

/** What a worker computes with, and the memory that this works in without copies. */
export interface Workshop {
  readonly arithmetic: TileArithmetic
  readonly arena: Arena
}

/** The kernels where they run, else plain JavaScript. @param bytes that the arena shall hold */
export function openWorkshop(bytes: number): Workshop {
  const kernels = openKernels(bytes)
  if (kernels === undefined) return { arithmetic: PLAIN_ARITHMETIC, arena: new Arena(new ArrayBuffer(bytes), 0, bytes) }
  return { arithmetic: createKernelArithmetic(kernels, PLAIN_ARITHMETIC), arena: kernels.arena }
}
