/** Every n-th row of a program, pushed down to what it reads: rows by turns of two matrices are the rows of each again. */
import { isPlainFloat } from './dtypes.js'
import { rowsOf, type MatrixView } from './matrix-view.js'
import { rowRange } from './row-maps.js'
import { programShape, type RowProgram } from './row-program.js'

/**
 * Rows first, first + step, first + 2 · step, …
 * @param program  of a multiple of `step` rows
 * @param first    less than `step`
 */
export function everyNth(program: RowProgram, step: number, first: number): RowProgram {
  const own = programShape(program)
  const rows = own.rows / step
  const every: RowProgram = { op: 'sliceRows', input: program, shape: [rows, step], starts: [0, first], sizes: [rows, 1] }
  switch (program.op) {
    case 'read':
      return isPlainFloat(program.tensor.dtype) ? { op: 'gather', view: everyRow(rowsOf(program.tensor), step, first) } : every
    case 'gather':
    case 'view':
      return { op: program.op, view: everyRow(program.view, step, first) }
    case 'lowRank':
      return { ...program, B: everyRow(program.B, step, first) }
    case 'add':
      return { op: 'add', base: everyNth(program.base, step, first), deltas: program.deltas.map((delta) => everyNth(delta, step, first)) }
    case 'stack':
      return program.parts.every((part) => programShape(part).rows % step === 0)
        ? { op: 'stack', parts: program.parts.map((part) => everyNth(part, step, first)) }
        : every
    case 'fill':
      return { ...program, rows }
    case 'sliceRows':
      return ofRange(program, step, first) ?? every
    case 'permuteRows':
      return ofTurns(program, step, 0, rows, first) ?? every
    default:
      return every
  }
}

/** Of some rows that follow one another. */
function ofRange({ input, shape, starts, sizes }: Extract<RowProgram, { op: 'sliceRows' }>, step: number, first: number): RowProgram | undefined {
  const [[start = 0], [count = 0]] = [starts, sizes]
  if (shape.length !== 1 || start % step !== 0 || input.op !== 'permuteRows') return undefined
  return ofTurns(input, step, start / step, count / step, first)
}

/** Of the rows of `step` matrices by turns: those of one of them. */
function ofTurns(
  { input, shape, order }: Extract<RowProgram, { op: 'permuteRows' }>,
  step: number,
  start: number,
  count: number,
  first: number,
): RowProgram | undefined {
  const isByTurns = shape[0] === step && order.at(-1) === 0 && order.every((axis, i) => axis === (i + 1) % order.length)
  if (!isByTurns) return undefined
  return rowRange(input, (first * programShape(input).rows) / step + start, count)
}

function everyRow(view: MatrixView, step: number, first: number): MatrixView {
  return { ...view, rows: view.rows / step, offset: view.offset + first * view.rowStride, rowStride: view.rowStride * step }
}
