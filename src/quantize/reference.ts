/**
 * The plain-JS truth of every tensor type: f32 rows in, bytes of the type out, Math.fround after every operation.
 *
 * Law: gguf-py quants.py and ggml-quants.c `quantize_row_*_ref` (llama.cpp 0c1e570), which agree in every byte.
 */
import { bytesOf } from '../core/bytes.js'
import { InternalError } from '../core/errors.js'
import { narrowBf16s, narrowF16, narrowF16s } from '../core/float16.js'
import { roundHalfAway } from './block-numbers.js'

const Q8_0_ELEMENTS = 32
const Q8_0_BYTES = 34

type Encoder = (from: Float32Array, into: Uint8Array) => void

/** How plain types and q8_0 are written; the other block types: block-encoders.ts. NaN and infinity are kept by the float types; the engine refuses them for the others. */
export const ENCODERS: Readonly<Record<'f32' | 'f16' | 'bf16' | 'q8_0', Encoder>> = {
  f32: (from, into) => into.set(bytesOf(from)),
  f16: (from, into) => narrowF16s(bitsOf(from), halves(into)),
  bf16: (from, into) => narrowBf16s(bitsOf(from), halves(into)),
  q8_0: encodeQ8_0,
}

/**
 * Blocks of 32: scale d = max|x| / 127 as f16, then 32 signed bytes round(x / d), halves away from zero.
 * The quotient uses the f32 d, not the stored f16 one.
 */
function encodeQ8_0(from: Float32Array, into: Uint8Array): void {
  if (from.length % Q8_0_ELEMENTS !== 0) throw new InternalError(`q8_0 wants whole blocks of ${Q8_0_ELEMENTS}, got ${from.length} elements`)
  const scale = new Float32Array(1)
  const scaleBits = new Uint32Array(scale.buffer)
  for (let start = 0, out = 0; start < from.length; start += Q8_0_ELEMENTS, out += Q8_0_BYTES) {
    let largest = 0
    for (let i = start; i < start + Q8_0_ELEMENTS; i++) largest = Math.max(largest, Math.abs(from[i]!))
    const d = Math.fround(largest / 127)
    let inverse = d === 0 ? 0 : Math.fround(1 / d)
    if (inverse === Infinity) inverse = 0 // a subnormal d: the reference's casts of infinity give 0 too
    scale[0] = d
    const half = narrowF16(scaleBits[0]!)
    into[out] = half & 0xff
    into[out + 1] = half >>> 8
    for (let i = 0; i < Q8_0_ELEMENTS; i++) into[out + 2 + i] = roundHalfAway(Math.fround(from[start + i]! * inverse))
  }
}

function bitsOf(values: Float32Array): Uint32Array {
  return new Uint32Array(values.buffer, values.byteOffset, values.length)
}

function halves(bytes: Uint8Array): Uint16Array {
  return new Uint16Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 2)
}
