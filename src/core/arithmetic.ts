/**
 * The arithmetic that the engine needs, as an interface: plain JavaScript fills it (src/merge/reference.ts and
 * src/quantize/reference.ts, the truth), kernels may fill it faster with the same bytes.
 *
 * All buffers belong to the caller. Bytes are little-endian and aligned to their element.
 */
import type { PlainFloat } from './dtypes.js'

/** Types that f32 rows can be encoded into. */
export type EncodedType = 'f32' | 'f16' | 'bf16' | 'q8_0'

export interface Arithmetic {
  /** Widens packed elements into f32, bit by bit. `bytes` holds exactly `into.length` elements. */
  widen(dtype: PlainFloat, bytes: Uint8Array, into: Float32Array): void
  /**
   * `into = scale * (B · A)` by the law of the sum: for k ascending acc = fround(acc + fround(b * a)), then fround(acc * scale).
   * B (rows x rank), A (rank x cols), into (rows x cols); `scale` is an f32.
   */
  lowRank(B: Float32Array, A: Float32Array, scale: number, rank: number, cols: number, into: Float32Array): void
  /** `into = fround(into + term)`, element by element. */
  add(into: Float32Array, term: Float32Array): void
  /** Encodes whole rows. `into` has exactly the bytes that the type needs for `from.length` elements. */
  encode(type: EncodedType, from: Float32Array, into: Uint8Array): void
}
