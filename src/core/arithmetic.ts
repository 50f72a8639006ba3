/**
 * The arithmetic that the engine needs, as an interface: plain JavaScript fills it (src/merge/reference.ts and
 * src/quantize/reference.ts, the truth), kernels may fill it faster with the same bytes.
 *
 * All buffers belong to the caller. Bytes are little-endian and aligned to their element.
 */
import { isPlainFloat, type PlainFloat } from './dtypes.js'
import { isBlockType, type QuantType } from './quant-types.js'

/** Types that f32 rows can be encoded into. */
export const ENCODED_TYPES = [
  ...(['f32', 'f16', 'bf16'] as const),
  ...(['q8_0', 'q4_0', 'q4_1', 'q5_0', 'q5_1'] as const),
  ...(['q2_k', 'q3_k', 'q4_k', 'q5_k', 'q6_k'] as const),
  ...(['iq4_nl', 'iq4_xs', 'tq1_0', 'tq2_0', 'mxfp4'] as const),
] as const satisfies readonly QuantType[]

export type EncodedType = (typeof ENCODED_TYPES)[number]

/** Stored types that can be read as f32. */
export type ReadableType = PlainFloat | Exclude<EncodedType, 'f32' | 'f16' | 'bf16'>

export function isEncodedType(type: string): type is EncodedType {
  return ENCODED_TYPES.some((one) => one === type)
}

export function isReadableType(type: string): type is ReadableType {
  return isPlainFloat(type) || (isBlockType(type) && isEncodedType(type))
}

export interface Arithmetic {
  /** Reads packed elements or blocks as f32: plain types bit by bit. `bytes` holds exactly `into.length` elements. */
  widen(type: ReadableType, bytes: Uint8Array, into: Float32Array): void
  /**
   * `into = scale * (B · A)` by the law of the sum: for k ascending acc = fround(acc + fround(b * a)), then fround(acc * scale).
   * B (rows x rank), A (rank x cols), into (rows x cols); `scale` is an f32.
   */
  lowRank(B: Float32Array, A: Float32Array, scale: number, rank: number, cols: number, into: Float32Array): void
  /** `into = fround(into + term)`, element by element. */
  add(into: Float32Array, term: Float32Array): void
  /**
   * Encodes whole rows.
   * @param into        exactly the bytes that the type needs for `from.length` elements
   * @param cols        elements of a row, whole blocks
   * @param importance  weight of the errors of each column; types without a search ignore it
   */
  encode(type: EncodedType, from: Float32Array, into: Uint8Array, cols: number, importance?: Float32Array): void
}
