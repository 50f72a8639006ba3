/**
 * Blocks of MXFP4 from the layout of checkpoints into that of GGUF: no value changes, bits move. The codes are the same; a
 * GGUF block has its scale before it, and in byte i elements i and i + 16 where checkpoints have 2i and 2i + 1.
 *
 * Law: conversion/gpt_oss.py `transform_nibble_layout`, base.py `repack_mxfp4_blocks` (llama.cpp 0c1e570).
 */
import { InternalError } from '../core/errors.js'
import { MX_BLOCK, mxfp4Row, type Mxfp4Matrix } from '../core/mxfp4-rows.js'
import { QUANT_TYPES } from '../core/quant-types.js'
import { programShape, type RowProgram } from '../core/row-program.js'
import type { TileReader } from './tile-reader.js'

const CODE_BYTES = MX_BLOCK / 2
const { blockBytes: BLOCK_BYTES } = QUANT_TYPES.mxfp4

const READ_IN_VAIN = 4 // rows that are read for one that is wanted: every second one of experts that hold gate and up in turn

/** Writes rows [first, …) of a program that only moves MXFP4, as many as `into` holds. */
export function moveMxfp4(reader: TileReader, program: RowProgram, first: number, into: Uint8Array): void {
  const { cols } = programShape(program)
  const rowBytes = (cols / MX_BLOCK) * BLOCK_BYTES
  const count = into.byteLength / rowBytes
  for (let done = 0; done < count;) {
    const { matrix, rows } = runFrom(program, first + done, count - done)
    moveRows(reader, matrix, rows, into.subarray(done * rowBytes, (done + rows.length) * rowBytes))
    done += rows.length
  }
}

/** Rows of one matrix that are worth one read. */
function runFrom(program: RowProgram, first: number, most: number): { matrix: Mxfp4Matrix; rows: number[] } {
  const start = mxfp4Row(program, first)
  if (start === undefined) throw new InternalError('rows that are no stored MXFP4 cannot be moved')
  const rows = [start.row]
  for (let last = start.row; rows.length < most;) {
    const next = mxfp4Row(program, first + rows.length)
    if (next?.matrix.codes !== start.matrix.codes || next.row <= last || next.row - start.row >= READ_IN_VAIN * (rows.length + 1)) break
    rows.push((last = next.row))
  }
  return { matrix: start.matrix, rows }
}

function moveRows(reader: TileReader, { codes, scales }: Mxfp4Matrix, rows: readonly number[], into: Uint8Array): void {
  const perRow = codes.cols / MX_BLOCK
  const [first = 0, last = 0] = [rows[0], rows.at(-1)]
  const codeBytes = readRows(reader, codes, first, last, perRow * CODE_BYTES)
  const scaleBytes = readRows(reader, scales, first, last, perRow)
  rows.forEach((row, i) => {
    const block = (row - first) * perRow
    moveRow(codeBytes.subarray(block * CODE_BYTES), scaleBytes.subarray(block, block + perRow), into.subarray(i * perRow * BLOCK_BYTES))
  })
}

function moveRow(codes: Uint8Array, scales: Uint8Array, into: Uint8Array): void {
  for (let block = 0, from = 0, to = 0; block < scales.length; block++, from += CODE_BYTES) {
    into[to++] = scales[block]!
    for (let i = 0; i < CODE_BYTES; i++) {
      const shift = (i & 1) * 4
      const low = (codes[from + (i >> 1)]! >> shift) & 15
      const high = (codes[from + CODE_BYTES / 2 + (i >> 1)]! >> shift) & 15
      into[to++] = low | (high << 4)
    }
  }
}

/** Rows [first, last], packed. */
function readRows(reader: TileReader, { tensor, offset, rowStride }: Mxfp4Matrix['codes'], first: number, last: number, rowBytes: number): Uint8Array {
  const into = new Uint8Array((last - first + 1) * rowBytes)
  const position = tensor.offset + offset + first * rowStride
  if (rowStride === rowBytes) reader.read(tensor.source, into, position)
  else
    for (let row = 0; row * rowBytes < into.byteLength; row++)
      reader.read(tensor.source, into.subarray(row * rowBytes, (row + 1) * rowBytes), position + row * rowStride)
  return into
}
