/**
 * How codes are packed, and numbers stored, in the layouts that exist: row programs that give them as f32. Shapes are
 * checked by whoever calls.
 */
import { isPlainFloat } from '../core/dtypes.js'
import type { CodeTable } from '../core/code-tables.js'
import { lowestFirst, type PackedCodes } from '../core/packed-codes.js'
import { inRows, type RowProgram } from '../core/row-program.js'
import type { RowShape } from '../core/shape.js'
import type { StoredType } from '../core/stored-types.js'
import type { TensorInfo } from '../core/tensor-info.js'
import { requireDtype } from './checkpoint.js'

/** Types of one byte whose codes mean numbers. */
const BYTE_TABLES: { readonly [D in StoredType]?: CodeTable } = {
  I8: 'signed',
  U8: 'unsigned',
  F8_E4M3: 'e4m3',
  F8_E5M2: 'e5m2',
  F8_E4M3FNUZ: 'e4m3fnuz',
  F8_E5M2FNUZ: 'e5m2fnuz',
  F8_E8M0: 'e8m0',
}

/**
 * A stored tensor as numbers, of any type that weights and scales come in.
 * @param table  what bytes of type U8 mean; integers unless given
 * @throws FormatError for other types
 */
export function stored(tensor: TensorInfo, shape: RowShape, table?: CodeTable): RowProgram {
  if (isPlainFloat(tensor.dtype)) return inRows({ op: 'read', tensor }, shape)
  const known = BYTE_TABLES[tensor.dtype]
  if (known === undefined) requireDtype(tensor, 'F32', 'F16', 'BF16', ...(Object.keys(BYTE_TABLES) as StoredType[]))
  return { op: 'codes', codes: bytesOf(tensor, shape, tensor.dtype === 'U8' && table !== undefined ? table : (known ?? 'unsigned')) }
}

/** One code to a byte. */
function bytesOf(tensor: TensorInfo, { rows, cols }: RowShape, table: CodeTable | TensorInfo): PackedCodes {
  return {
    tensor,
    rows,
    cols,
    wordBytes: 1,
    offset: 0,
    rowStride: cols,
    colStride: 1,
    packRows: 1,
    packCols: 1,
    shifts: [0],
    bits: 8,
    table,
    add: 0,
  }
}

/** Bytes that are looked up in a stored table of 256 numbers. */
export function lookedUp(tensor: TensorInfo, shape: RowShape, table: TensorInfo): RowProgram {
  return { op: 'codes', codes: bytesOf(tensor, shape, table) }
}

/** Two codes to a byte, neighbours in a row: the first one in its low or its high half. */
export function nibbles(tensor: TensorInfo, { rows, cols }: RowShape, table: CodeTable, first: 'low' | 'high'): RowProgram {
  const shifts = first === 'low' ? [0, 4] : [4, 0]
  return { op: 'codes', codes: { ...bytesOf(tensor, { rows, cols: cols / 2 }, table), cols, packCols: 2, bits: 4, shifts } }
}

/** Codes of two bits, four to a byte: those of one place, less 1. */
export function quarter(tensor: TensorInfo, shape: RowShape, index: number): RowProgram {
  return { op: 'codes', codes: { ...bytesOf(tensor, shape, 'unsigned'), bits: 2, shifts: [index * 2], add: -1 } }
}

/** Bits of a code and what is added to it. */
interface Integers {
  readonly bits: number
  readonly add?: number
  /** Where the codes of a word lie; from the lowest bit up unless given. */
  readonly shifts?: readonly number[]
}

/** Words that hold neighbours of a row. `perRow` words make a row, whose last one may not be full. */
export function packedInRows(tensor: TensorInfo, { rows, cols }: RowShape, integers: Integers): RowProgram {
  const words = wordsOf(tensor, integers)
  const perRow = Math.ceil(cols / words.shifts.length)
  return { op: 'codes', codes: { ...words, rows, cols, rowStride: perRow, colStride: 1, packRows: 1, packCols: words.shifts.length } }
}

/**
 * The transpose of words that hold neighbours of a column: how GPTQ stores (in x out).
 * @param shape  of what leaves
 */
export function turnedFromColumns(tensor: TensorInfo, { rows, cols }: RowShape, integers: Integers): RowProgram {
  const words = wordsOf(tensor, integers)
  return { op: 'codes', codes: { ...words, rows, cols, rowStride: 1, colStride: rows, packRows: 1, packCols: words.shifts.length } }
}

/** The transpose of words that hold neighbours of a row. */
export function turnedFromRows(tensor: TensorInfo, { rows, cols }: RowShape, integers: Integers): RowProgram {
  const words = wordsOf(tensor, integers)
  const perRow = Math.ceil(rows / words.shifts.length)
  return { op: 'codes', codes: { ...words, rows, cols, rowStride: 1, colStride: perRow, packRows: words.shifts.length, packCols: 1 } }
}

/** The transpose of a stored matrix of f32, f16 or bf16: scales that lie (groups x out). */
export function turnedGrid(tensor: TensorInfo, { rows, cols }: RowShape): RowProgram {
  return { op: 'gather', view: { tensor, rows, cols, offset: 0, rowStride: 1, colStride: rows } }
}

/** Words that hold neighbours of a column. */
export function packedInColumns(tensor: TensorInfo, { rows, cols }: RowShape, integers: Integers): RowProgram {
  const words = wordsOf(tensor, integers)
  return { op: 'codes', codes: { ...words, rows, cols, rowStride: cols, colStride: 1, packRows: words.shifts.length, packCols: 1 } }
}

const WORD_BYTES: { readonly [D in StoredType]?: 1 | 2 | 4 } = { U8: 1, I8: 1, I16: 2, U16: 2, I32: 4, U32: 4 }

/** Codes that fit into a word. @throws FormatError for words that are no integers */
export function codesPerWord(tensor: TensorInfo, bits: number): number {
  return lowestFirst(wordBytes(tensor), bits).length
}

function wordBytes(tensor: TensorInfo): 1 | 2 | 4 {
  const bytes = WORD_BYTES[tensor.dtype]
  if (bytes === undefined) requireDtype(tensor, 'I32', 'U32', 'I16', 'U16', 'I8', 'U8')
  return bytes ?? 4
}

function wordsOf(
  tensor: TensorInfo,
  { bits, add = 0, shifts }: Integers,
): Pick<PackedCodes, 'tensor' | 'wordBytes' | 'offset' | 'bits' | 'table' | 'add' | 'shifts'> {
  return { tensor, wordBytes: wordBytes(tensor), offset: 0, bits, table: 'unsigned', add, shifts: shifts ?? lowestFirst(wordBytes(tensor), bits) }
}
