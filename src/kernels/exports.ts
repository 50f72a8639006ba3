/** What kernels.wasm exports (assembly/index.ts). Pointers are byte offsets in its memory; counts are elements. */

/** Writes blocks, and returns how many: it stops before one that it leaves to the twin. */
export type EncodeBlocks = (from: number, into: number, blocks: number) => number

export interface KernelExports {
  /** The first byte that the kernels do not use themselves. */
  readonly firstFree: () => number

  readonly widenF16: (from: number, into: number, count: number) => void
  readonly widenBf16: (from: number, into: number, count: number) => void
  readonly narrowF16: (from: number, into: number, count: number) => void
  readonly narrowBf16: (from: number, into: number, count: number) => void

  readonly packColumns: (A: number, rank: number, cols: number, first: number, count: number, into: number) => void
  readonly lowRank: (B: number, packed: number, scale: number, rank: number, rows: number, cols: number, first: number, count: number, into: number) => void
  readonly add: (into: number, term: number, count: number) => void
  /** Writes the two sums of squares as f64 at `norms`. */
  readonly addDelta: (W: number, delta: number, count: number, norms: number) => void
  readonly largestMagnitude: (values: number, count: number) => number

  readonly encodeQ8_0: EncodeBlocks
  readonly encodeQ4_0: EncodeBlocks
  readonly encodeQ4_1: EncodeBlocks
  readonly encodeQ5_0: EncodeBlocks
  readonly encodeQ5_1: EncodeBlocks
  readonly encodeQ2_K: EncodeBlocks
  readonly encodeQ3_K: EncodeBlocks
  readonly encodeQ4_K: EncodeBlocks
  readonly encodeQ5_K: EncodeBlocks
  readonly encodeQ6_K: EncodeBlocks
  readonly encodeIq4_NL: EncodeBlocks
  readonly encodeIq4_XS: EncodeBlocks
}
