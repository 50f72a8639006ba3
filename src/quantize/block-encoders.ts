/**
 * The plain-JS truth of every block type: f32 rows in, bytes of the type out, with or without importance.
 *
 * Law: `ggml_quantize_chunk` of llama.cpp 0c1e570 as built for x86-64: f32 arithmetic, every operation rounded, none fused.
 * Types without a search (q8_0, ternary, mxfp4) ignore importance. NaN and infinity are refused before: range.ts.
 */
import type { BlockType } from './block-formats.js'
import type { BlockEncoder } from './blocks.js'
import { encodeIq4Nl, encodeIq4Xs } from './iq4.js'
import { encodeQ2K, encodeQ4K, encodeQ5K } from './k-quants-affine.js'
import { encodeQ3K, encodeQ6K } from './k-quants-symmetric.js'
import { encodeQ4_0, encodeQ4_1, encodeQ5_0, encodeQ5_1 } from './legacy-quants.js'
import { encodeMxfp4 } from './mxfp4.js'
import { ENCODERS } from './reference.js'
import { encodeTq1_0, encodeTq2_0 } from './ternary.js'

export const BLOCK_ENCODERS: Readonly<Record<BlockType, BlockEncoder>> = {
  q8_0: (from, into) => ENCODERS.q8_0(from, into),
  q4_0: encodeQ4_0,
  q4_1: encodeQ4_1,
  q5_0: encodeQ5_0,
  q5_1: encodeQ5_1,
  q2_k: encodeQ2K,
  q3_k: encodeQ3K,
  q4_k: encodeQ4K,
  q5_k: encodeQ5K,
  q6_k: encodeQ6K,
  iq4_nl: encodeIq4Nl,
  iq4_xs: encodeIq4Xs,
  tq1_0: encodeTq1_0,
  tq2_0: encodeTq2_0,
  mxfp4: encodeMxfp4,
}
