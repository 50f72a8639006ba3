/**
 * Matrices of codes as quantized checkpoints pack them: several codes to a word, along rows or along columns, in any
 * order of bits. One description for all of them, plain data; src/engine/operations-packed.ts reads it.
 */
import type { CodeTable } from './code-tables.js'
import type { TensorInfo } from './tensor-info.js'

/**
 * The code of element (i, j) lies in word `offset + ⌊i / packRows⌋ * rowStride + ⌊j / packCols⌋ * colStride`, its lowest
 * bit at `shifts[(i mod packRows) * packCols + (j mod packCols)]`.
 */
export interface PackedCodes {
  readonly tensor: TensorInfo
  readonly rows: number
  readonly cols: number
  /** Bytes of a word, which is little-endian. */
  readonly wordBytes: 1 | 2 | 4
  /** Counted in words, as the strides are. */
  readonly offset: number
  readonly rowStride: number
  readonly colStride: number
  /** Rows that share a word; of these two one is 1. */
  readonly packRows: number
  readonly packCols: number
  readonly shifts: readonly number[]
  /** Of one code, at most 8. */
  readonly bits: number
  /** What a code stands for: a known table, or a stored one of f32. */
  readonly table: CodeTable | TensorInfo
  /** Added to what the table says; an integer. */
  readonly add: number
}

/**
 * How a coarser grid of numbers lies over a matrix, or over a stack of matrices. Element (i, j) belongs to row `⌊i / matrixRows⌋ * gridRows +
 * ⌊(i mod matrixRows) / blockRows⌋` of the grid, gridRows being its rows for each matrix, and to column `⌊j / blockCols⌋`, or the one that `groups` says.
 */
export interface Blocks {
  readonly blockRows: number
  readonly blockCols: number
  /** Rows of each matrix of the stack. */
  readonly matrixRows: number
  /** I32, one for each column. */
  readonly groups?: TensorInfo
}

/** The stored tensors that codes are read from. */
export function storedParts({ tensor, table }: PackedCodes): TensorInfo[] {
  return typeof table === 'string' ? [tensor] : [tensor, table]
}

const ROWS_ACROSS = 256 // of codes that lie in columns: fewer would read a few bytes here and there

/** Rows that share words, and enough of them where neighbours in a row lie far apart. */
export function rowsAtOnce({ packRows, colStride }: PackedCodes): number {
  return colStride === 1 ? packRows : Math.max(packRows, ROWS_ACROSS)
}

/** Rows for columns, without moving anything. */
export function transposedCodes(codes: PackedCodes): PackedCodes {
  const { rows, cols, rowStride, colStride, packRows, packCols } = codes
  return { ...codes, rows: cols, cols: rows, rowStride: colStride, colStride: rowStride, packRows: packCols, packCols: packRows }
}

/** `0, bits, 2·bits …`: codes from the lowest bit up. */
export function lowestFirst(wordBytes: number, bits: number): number[] {
  return Array.from({ length: Math.floor((wordBytes * 8) / bits) }, (_, i) => i * bits)
}
