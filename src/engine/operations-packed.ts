/**
 * What the nodes of quantized checkpoints mean: codes are unpacked and looked up, blocks get their scales and zero points.
 * Every operation is one of f32, rounded once, as torch does it.
 */
import { codeNumbers } from '../core/code-tables.js'
import { FormatError } from '../core/errors.js'
import type { PackedCodes } from '../core/packed-codes.js'
import { programShape, type RowProgram } from '../core/row-program.js'
import { readStrided } from '../core/strided-view.js'
import { placeOfTensor, type TensorInfo } from '../core/tensor-info.js'
import type { Bench } from './operations-adapters.js'

type Node<O extends RowProgram['op']> = Extract<RowProgram, { op: O }>

/** A bench that also gives the bytes of stored tensors. */
export interface PackedBench extends Bench {
  /** Fills `into` with bytes of the tensor from `position` on, counted from its first byte. */
  bytes(tensor: TensorInfo, into: Uint8Array, position: number): void
  borrow(byteLength: number, use: (buffer: Uint8Array) => void): void
}

/** Words of a tile, packed: those of one row after the other. */
interface Words {
  readonly words: Uint8Array | Uint16Array | Uint32Array
  readonly perRow: number
  /** Row of words that the first one lies in. */
  readonly first: number
}

export function evaluateCodes(bench: PackedBench, program: Node<'codes'>, first: number, into: Float32Array): void {
  const { codes } = program
  const { tensor, cols, wordBytes, packRows, packCols } = codes
  const count = into.length / cols
  const [low, high] = [Math.floor(first / packRows), Math.ceil((first + count) / packRows)]
  const perRow = Math.ceil(cols / packCols)
  const numbers = bench.kept(program, 2 ** codes.bits, (table) => fillTable(bench, codes, table))
  bench.borrow((high - low) * perRow * wordBytes, (bytes) => {
    if (codes.colStride === 1 && codes.rowStride === perRow) bench.bytes(tensor, bytes, (codes.offset + low * perRow) * wordBytes)
    else gather(bench, codes, perRow, bytes, low)
    unpack({ words: wordsOf(bytes, wordBytes), perRow, first: low }, codes, numbers, first, into)
  })
}

/** Words that do not lie one after the other. */
function gather(
  bench: PackedBench,
  { tensor, offset, rows, packRows, rowStride, colStride, wordBytes }: PackedCodes,
  perRow: number,
  into: Uint8Array,
  firstRow: number,
): void {
  const view = {
    offset: offset * wordBytes,
    elementBytes: wordBytes,
    shape: [Math.ceil(rows / packRows), perRow],
    strides: [rowStride, colStride],
    reversedBytes: 1,
    flippedBytes: [],
  }
  readStrided(view, into, firstRow * perRow * wordBytes, (part, at) => bench.bytes(tensor, part, at))
}

function fillTable(bench: PackedBench, { table, bits, add }: PackedCodes, into: Float32Array): void {
  if (typeof table === 'string') into.set(codeNumbers(table, bits))
  else bench.rows({ op: 'read', tensor: table }, 0, into)
  if (add !== 0) for (let code = 0; code < into.length; code++) into[code] = into[code]! + add
}

function wordsOf(bytes: Uint8Array, wordBytes: 1 | 2 | 4): Words['words'] {
  if (wordBytes === 1) return bytes
  const { buffer, byteOffset, byteLength } = bytes
  return wordBytes === 2 ? new Uint16Array(buffer, byteOffset, byteLength / 2) : new Uint32Array(buffer, byteOffset, byteLength / 4)
}

function unpack({ words, perRow, first: firstWord }: Words, codes: PackedCodes, numbers: Float32Array, first: number, into: Float32Array): void {
  const { cols, packRows, packCols, shifts, bits } = codes
  const mask = 2 ** bits - 1
  for (let at = 0, row = first; at < into.length; row++) {
    const shift = shifts[row % packRows]!
    let word = (Math.floor(row / packRows) - firstWord) * perRow
    for (const end = at + cols; at < end; word++) {
      if (packCols === 1) into[at++] = numbers[(words[word]! >>> shift) & mask]!
      else for (let i = 0; i < packCols && at < end; i++) into[at++] = numbers[(words[word]! >>> shifts[i]!) & mask]!
    }
  }
}

/** Changes elements [from, to) by one number. A Float32Array rounds what it is given: the f64 result of two f32 is exact enough for that to be f32 arithmetic. */
const APPLY: { readonly [B in Node<'blockwise'>['by']]: (values: Float32Array, from: number, to: number, by: number) => void } = {
  times: (values, from, to, by) => {
    for (let i = from; i < to; i++) values[i] = values[i]! * by
  },
  over: (values, from, to, by) => {
    for (let i = from; i < to; i++) values[i] = values[i]! / by
  },
  minus: (values, from, to, by) => {
    for (let i = from; i < to; i++) values[i] = values[i]! - by
  },
}

export function evaluateBlockwise(bench: PackedBench, program: Node<'blockwise'>, first: number, into: Float32Array): void {
  const { input, grid, by, blockRows, blockCols, matrixRows } = program
  const { rows, cols } = programShape(input)
  const shape = programShape(grid)
  const gridRows = shape.rows / (rows / matrixRows)
  const gridRow = (row: number): number => Math.floor(row / matrixRows) * gridRows + Math.floor((row % matrixRows) / blockRows)
  const groups = groupsOf(bench, program, cols, shape.cols)
  const apply = APPLY[by]
  bench.rows(input, first, into)
  const [low, high] = [gridRow(first), gridRow(first + into.length / cols - 1)]
  bench.borrowFloats((high - low + 1) * shape.cols, (values) => {
    bench.rows(grid, low, values)
    for (let start = 0, row = first; start < into.length; start += cols, row++) {
      const own = (gridRow(row) - low) * shape.cols
      if (groups !== undefined) for (let j = 0; j < cols; j++) apply(into, start + j, start + j + 1, values[own + groups[j]!]!)
      else for (let j = 0, block = own; j < cols; j += blockCols, block++) apply(into, start + j, start + Math.min(j + blockCols, cols), values[block]!)
    }
  })
}

/** Column of the grid for each column of the input, where that is not by blocks. @throws FormatError for a group that does not exist */
function groupsOf(bench: PackedBench, program: Node<'blockwise'>, cols: number, gridCols: number): Float32Array | undefined {
  const { groups } = program
  if (groups === undefined) return undefined
  return bench.kept(program, cols, (into) => {
    const bytes = new Uint8Array(cols * 4)
    bench.bytes(groups, bytes, 0)
    into.set(new Int32Array(bytes.buffer))
    const wrong = into.findIndex((group) => group < 0 || group >= gridCols)
    if (wrong >= 0) throw new FormatError(`column ${wrong} belongs to group ${into[wrong]}; there are ${gridCols} groups of scales.`, placeOfTensor(groups))
  })
}
