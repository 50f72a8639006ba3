/**
 * Rows that are stored as blocks of MXFP4 and only moved: a GGUF can take their blocks as they are, without the loss that
 * reading and encoding them again would be. What enters is a row program, what leaves is where each of its rows lies.
 */
import type { PackedCodes } from './packed-codes.js'
import { permutedRow, slicedRow } from './row-order.js'
import { programShape, type RowProgram } from './row-program.js'

/** Numbers of a block, and bytes of their codes. */
export const MX_BLOCK = 32

/** A matrix of MXFP4 as checkpoints store it: codes, and a power of two for each block. */
export interface Mxfp4Matrix {
  readonly codes: PackedCodes
  readonly scales: PackedCodes
}

/** A row of a stored matrix. */
export interface Mxfp4Row {
  readonly matrix: Mxfp4Matrix
  readonly row: number
}

/** Whether a program does nothing but choose and order rows of MXFP4. */
export function movesMxfp4(program: RowProgram): boolean {
  if (program.op === 'stack') return program.parts.length > 0 && program.parts.every(movesMxfp4)
  if (program.op === 'permuteRows' || program.op === 'sliceRows') return movesMxfp4(program.input)
  return mxfp4Matrix(program) !== undefined
}

/** Where a row of such a program lies. */
export function mxfp4Row(program: RowProgram, row: number): Mxfp4Row | undefined {
  switch (program.op) {
    case 'permuteRows':
      return mxfp4Row(program.input, permutedRow(program.shape, program.order, row))
    case 'sliceRows':
      return mxfp4Row(program.input, slicedRow(program, row))
    case 'stack': {
      let rest = row
      const part = program.parts.find((one) => {
        const { rows } = programShape(one)
        if (rest < rows) return true
        rest -= rows
        return false
      })
      return part && mxfp4Row(part, rest)
    }
    default: {
      const matrix = mxfp4Matrix(program)
      return matrix && { matrix, row }
    }
  }
}

/** The matrix that a program reads as it is stored: rows of codes, two to a byte, the first one in the low half. */
function mxfp4Matrix(program: RowProgram): Mxfp4Matrix | undefined {
  if (program.op !== 'blockwise' || program.by !== 'times' || program.input.op !== 'codes' || program.grid.op !== 'codes') return undefined
  const { blockRows, blockCols, groups } = program
  const { codes } = program.input
  const { codes: scales } = program.grid
  const isNibbles = codes.table === 'e2m1' && codes.bits === 4 && codes.packCols === 2 && codes.shifts.join() === '0,4'
  const isByRows = codes.colStride === 1 && scales.colStride === 1 && scales.table === 'e8m0' && blockRows === 1
  return isNibbles && isByRows && blockCols === MX_BLOCK && groups === undefined && codes.cols % MX_BLOCK === 0 ? { codes, scales } : undefined
}
