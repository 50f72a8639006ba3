/** What the module exports: every pointer is a byte offset in the memory that it is given. */
export { widenF16, widenBf16, narrowF16, narrowBf16 } from './half-float'
export { packColumns, lowRank } from './low-rank'
export { add, addDelta, largestMagnitude } from './sums'
export { encodeQ8_0, encodeQ4_0, encodeQ4_1, encodeQ5_0, encodeQ5_1 } from './small-blocks'
export { encodeQ2_K, encodeQ4_K, encodeQ5_K } from './k-quants-affine'
export { encodeQ3_K, encodeQ6_K } from './k-quants-symmetric'
export { encodeIq4_NL, encodeIq4_XS } from './iq4'

/** The first byte that is free for callers. */
export function firstFree(): usize {
  return __heap_base
}
