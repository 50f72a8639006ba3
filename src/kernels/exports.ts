/** What kernels.wasm exports (assembly/index.ts). Pointers are byte offsets in its memory; counts are elements. */

/**
 * Writes or reads blocks, and returns how many: it stops before one that it leaves to the twin. Encoders of types that search take importance:
 * the address of `cols` weights (0: none), where `from` is whole rows of as many elements, and the sums of squares of the rows or super-blocks.
 */
export type ConvertBlocks = (from: number, into: number, blocks: number, importance?: number, cols?: number, squares?: number) => number

export interface KernelExports {
  /** The first byte that the kernels do not use themselves. */
  readonly firstFree: () => number

  readonly widenF16: (from: number, into: number, count: number) => void
  readonly widenBf16: (from: number, into: number, count: number) => void
  readonly narrowF16: (from: number, into: number, count: number) => void
  readonly narrowBf16: (from: number, into: number, count: number) => void

  /** Packs rows [first, first + count) of A (rank x cols), which lie at `from`. */
  readonly packA: (from: number, first: number, count: number, rank: number, cols: number, into: number) => void
  readonly packB: (from: number, rows: number, rank: number, into: number) => void
  /** Of packed factors. */
  readonly product: (B: number, A: number, scale: number, rank: number, rows: number, cols: number, into: number) => void
  readonly addProduct: (B: number, A: number, scale: number, rank: number, rows: number, cols: number, W: number) => void
  readonly add: (into: number, term: number, count: number) => void
  readonly addDelta: (W: number, delta: number, rows: number, cols: number) => void
  /** Before addProduct or addDelta. */
  readonly beginSums: () => void
  /** Writes the two sums of squares as f64 at `norms`. @returns the bits of the largest magnitude, signed */
  readonly endSums: (norms: number) => number
  /** Counts of elements that are a multiple of 4; write two u32 at `into`: deltas other than 0, and those of them that the type loses. */
  readonly countLostF16: (W: number, delta: number, count: number, into: number) => void
  readonly countLostBf16: (W: number, delta: number, count: number, into: number) => void
  readonly largestMagnitude: (values: number, count: number) => number

  /** Of each of `count` runs of `size` elements, a multiple of 32; writes whole vectors. */
  readonly sumSquares: (from: number, size: number, count: number, into: number) => void

  readonly encodeQ8_0: ConvertBlocks
  readonly encodeQ4_0: ConvertBlocks
  readonly encodeQ4_1: ConvertBlocks
  readonly encodeQ5_0: ConvertBlocks
  readonly encodeQ5_1: ConvertBlocks
  readonly encodeQ2_K: ConvertBlocks
  readonly encodeQ3_K: ConvertBlocks
  readonly encodeQ4_K: ConvertBlocks
  readonly encodeQ5_K: ConvertBlocks
  readonly encodeQ6_K: ConvertBlocks
  readonly encodeIq4_NL: ConvertBlocks
  readonly encodeIq4_XS: ConvertBlocks
  readonly encodeTq1_0: ConvertBlocks
  readonly encodeTq2_0: ConvertBlocks
  readonly encodeMxfp4: ConvertBlocks

  readonly decodeQ8_0: ConvertBlocks
  readonly decodeQ4_0: ConvertBlocks
  readonly decodeQ4_1: ConvertBlocks
  readonly decodeQ5_0: ConvertBlocks
  readonly decodeQ5_1: ConvertBlocks
  readonly decodeQ2_K: ConvertBlocks
  readonly decodeQ3_K: ConvertBlocks
  readonly decodeQ4_K: ConvertBlocks
  readonly decodeQ5_K: ConvertBlocks
  readonly decodeQ6_K: ConvertBlocks
  readonly decodeIq4_NL: ConvertBlocks
  readonly decodeIq4_XS: ConvertBlocks
  readonly decodeTq1_0: ConvertBlocks
  readonly decodeTq2_0: ConvertBlocks
  readonly decodeMxfp4: ConvertBlocks
}
