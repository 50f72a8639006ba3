/** Binds the plain-JS truth to the interface that the engine calls. Kernels will bind here too, with the same bytes. */
import type { Arithmetic } from '../core/arithmetic.js'
import { widenBf16s, widenF16s } from '../core/float16.js'
import { add, lowRank } from '../merge/reference.js'
import { ENCODERS } from '../quantize/reference.js'

export const PLAIN_ARITHMETIC: Arithmetic = {
  widen(dtype, bytes, into) {
    const bits = new Uint32Array(into.buffer, into.byteOffset, into.length)
    if (dtype === 'F32') new Uint8Array(into.buffer, into.byteOffset, into.byteLength).set(bytes)
    else (dtype === 'F16' ? widenF16s : widenBf16s)(new Uint16Array(bytes.buffer, bytes.byteOffset, into.length), bits)
  },
  lowRank,
  add,
  encode: (type, from, into) => ENCODERS[type](from, into),
}
