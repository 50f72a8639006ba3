/** What the module exports: every pointer is a byte offset in the memory that it is given. */
export { widenF16, widenBf16, narrowF16, narrowBf16 } from './half-float'
export { packA, packB, product, addProduct } from './low-rank'
export { countLostF16, countLostBf16 } from './rounding'
export { add, addDelta, beginSums, endSums, largestMagnitude } from './sums'
export { encodeQ8_0, encodeQ4_0, encodeQ4_1, encodeQ5_0, encodeQ5_1 } from './small-blocks'
export { encodeQ2_K, encodeQ4_K, encodeQ5_K } from './k-quants-affine'
export { encodeQ3_K, encodeQ6_K } from './k-quants-symmetric'
export { encodeIq4_NL, encodeIq4_XS } from './iq4'
export { encodeMxfp4 } from './mxfp4'
export { encodeTq1_0, encodeTq2_0 } from './ternary'
export { sumSquares } from './importance'
export { decodeQ8_0, decodeQ4_0, decodeQ4_1, decodeQ5_0, decodeQ5_1, decodeIq4_NL, decodeIq4_XS, decodeMxfp4 } from './decode'
export { decodeQ2_K, decodeQ3_K, decodeQ4_K, decodeQ5_K, decodeQ6_K, decodeTq1_0, decodeTq2_0 } from './decode'

/** The first byte that is free for callers. */
export function firstFree(): usize {
  return __heap_base
}
