/** Binds the plain-JS truth to the interface that the engine calls. Kernels bind here too, with the same bytes. */
import type { Arithmetic } from '../core/arithmetic.js'
import { widenBf16s, widenF16s } from '../core/float16.js'
import { add, lowRank } from '../merge/reference.js'
import { BLOCK_ENCODERS } from '../quantize/block-encoders.js'
import { BLOCK_DECODERS } from '../quantize/decode.js'
import { ENCODERS } from '../quantize/reference.js'

export const PLAIN_ARITHMETIC: Arithmetic = {
  widen(type, bytes, into) {
    const bits = new Uint32Array(into.buffer, into.byteOffset, into.length)
    if (type === 'F32') new Uint8Array(into.buffer, into.byteOffset, into.byteLength).set(bytes)
    else if (type === 'F16' || type === 'BF16') (type === 'F16' ? widenF16s : widenBf16s)(new Uint16Array(bytes.buffer, bytes.byteOffset, into.length), bits)
    else BLOCK_DECODERS[type](bytes, into)
  },
  lowRank,
  add,
  encode(type, from, into, cols, importance) {
    if (type === 'f32' || type === 'f16' || type === 'bf16') ENCODERS[type](from, into)
    else BLOCK_ENCODERS[type](from, into, cols, importance)
  },
}
