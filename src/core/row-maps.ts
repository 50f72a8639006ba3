/**
 * Ways to take a row program apart without computing anything: a range of its rows, its transpose, its elements as an
 * array that is cut and turned. Where the parts of a program allow it, the change is pushed down to what they read, so
 * that a transposed matrix with adapters is a transposed read with transposed factors, row by row, the same bits.
 */
import { InternalError } from './errors.js'
import { rowSlice, rowsOf, transposed } from './matrix-view.js'
import { inRows, programShape, type RowProgram } from './row-program.js'
import { elementCount } from './shape.js'
import { transposedCodes, type PackedCodes } from './packed-codes.js'
import { isPlainFloat } from './dtypes.js'

type Blockwise = Extract<RowProgram, { op: 'blockwise' }>

/** Rows [first, first + rows) of a program. */
export function rowRange(program: RowProgram, first: number, rows: number): RowProgram {
  const own = programShape(program)
  if (first === 0 && rows === own.rows) return program
  switch (program.op) {
    case 'read':
      return isPlainFloat(program.tensor.dtype) ? { op: 'gather', view: rowSlice(rowsOf(program.tensor), first, rows) } : sliced(program, first, rows)
    case 'gather':
    case 'view':
      return { op: program.op, view: rowSlice(program.view, first, rows) }
    case 'lowRank':
      return { ...program, B: rowSlice(program.B, first, rows) }
    case 'add':
      return { op: 'add', base: rowRange(program.base, first, rows), deltas: program.deltas.map((delta) => rowRange(delta, first, rows)) }
    case 'stack':
      return stackRange(program.parts, first, rows)
    case 'fill':
      return { ...program, rows }
    case 'codes':
      return first % program.codes.packRows === 0 ? { op: 'codes', codes: codesRange(program.codes, first, rows) } : sliced(program, first, rows)
    case 'blockwise':
      return blockwiseRange(program, first, rows)
    default:
      return sliced(program, first, rows)
  }
}

/** Rows for columns. Only programs that cannot be read the other way round are computed whole. */
export function transpose(program: RowProgram): RowProgram {
  const own = programShape(program)
  switch (program.op) {
    case 'read':
      return isPlainFloat(program.tensor.dtype) ? { op: 'gather', view: transposed(rowsOf(program.tensor)) } : { op: 'transpose', input: program }
    case 'gather':
    case 'view':
      return { op: program.op, view: transposed(program.view) }
    case 'lowRank': // the same products in the same order
      return { op: 'lowRank', B: transposed(program.A), A: transposed(program.B), scale: program.scale }
    case 'product':
    case 'truncatedProduct':
      return { ...program, B: transpose(program.A), A: transpose(program.B) }
    case 'multiply':
    case 'kron':
      return { op: program.op, left: transpose(program.left), right: transpose(program.right) }
    case 'stack':
      return { op: 'beside', parts: program.parts.map(transpose) }
    case 'beside':
      return { op: 'stack', parts: program.parts.map(transpose) }
    case 'add':
      return { op: 'add', base: transpose(program.base), deltas: program.deltas.map(transpose) }
    case 'become': // outermost, so that what has changed is still measured
      return { op: 'become', base: transpose(program.base), changed: transpose(program.changed) }
    case 'scale':
    case 'round':
    case 'addConstant':
    case 'apply':
      return { ...program, input: transpose(program.input) }
    case 'transpose':
      return program.input
    case 'codes':
      return { op: 'codes', codes: transposedCodes(program.codes) }
    case 'blockwise':
      return transposedBlocks(program)
    case 'fill':
      return { op: 'fill', rows: own.cols, cols: own.rows, value: program.value }
    default:
      return { op: 'transpose', input: program }
  }
}

/** What part of an array is wanted, and in which order of dimensions. */
export interface Cut {
  /** First index per dimension; 0 where not given. */
  readonly starts?: readonly number[]
  /** Indices per dimension; all where not given. */
  readonly sizes?: readonly number[]
  /** Of the dimensions, after cutting. */
  readonly order?: readonly number[]
}

/**
 * The elements of a program, seen as an array `view`, cut and turned. What comes out has rows of as many columns as the
 * last dimensions that stay whole and in place: the caller gives it the shape it wants with {@link inRows}.
 */
export function rearranged(program: RowProgram, view: readonly number[], { starts = [], sizes = view, order = [...view.keys()] }: Cut): RowProgram {
  const own = programShape(program)
  if (elementCount(view) !== own.rows * own.cols) throw new InternalError(`${view.join(' x ')} are not its elements`)
  let unit = view.length
  while (unit > 0 && order[unit - 1] === unit - 1 && (starts[unit - 1] ?? 0) === 0 && sizes[unit - 1] === view[unit - 1]) unit--
  const cols = elementCount(view.slice(unit))
  const outer = view.slice(0, unit)
  let rows = inRows(program, { rows: elementCount(outer), cols })
  const kept = sizes.slice(0, unit)
  if (outer.some((size, axis) => kept[axis] !== size)) {
    const [axis] = [...outer.keys()].filter((i) => kept[i] !== outer[i])
    const onlyFirst = axis === 0 && outer.slice(1).every((size, i) => kept[i + 1] === size)
    const inner = elementCount(outer.slice(1))
    rows = onlyFirst
      ? rowRange(rows, (starts[0] ?? 0) * inner, (kept[0] ?? 0) * inner)
      : { op: 'sliceRows', input: rows, shape: outer, starts: outer.map((_, i) => starts[i] ?? 0), sizes: kept }
  }
  const turned = order.slice(0, unit)
  return turned.some((from, to) => from !== to) ? { op: 'permuteRows', input: rows, shape: kept, order: turned } : rows
}

function sliced(input: RowProgram, first: number, rows: number): RowProgram {
  return { op: 'sliceRows', input, shape: [programShape(input).rows], starts: [first], sizes: [rows] }
}

function codesRange(codes: PackedCodes, first: number, rows: number): PackedCodes {
  return { ...codes, rows, offset: codes.offset + (first / codes.packRows) * codes.rowStride }
}

/** A range that begins with a block, or lies in one. */
function blockwiseRange(program: Blockwise, first: number, rows: number): RowProgram {
  const { input, grid, blockRows, matrixRows } = program
  const matrix = Math.floor(first / matrixRows)
  const start = first - matrix * matrixRows
  const isInOne = Math.floor(start / blockRows) === Math.floor((start + rows - 1) / blockRows)
  if (rows === 0 || start + rows > matrixRows || (start % blockRows !== 0 && !isInOne)) return sliced(program, first, rows)
  const gridRows = programShape(grid).rows / (programShape(input).rows / matrixRows)
  const own = rowRange(grid, matrix * gridRows + Math.floor(start / blockRows), isInOne ? 1 : Math.ceil(rows / blockRows))
  return { ...program, input: rowRange(input, first, rows), grid: own, matrixRows: rows }
}

/** Blocks of one matrix the other way round. */
function transposedBlocks(program: Blockwise): RowProgram {
  const { input, grid, blockRows, blockCols, matrixRows, groups } = program
  const { rows, cols } = programShape(program)
  if (groups !== undefined || matrixRows !== rows) return { op: 'transpose', input: program }
  return { ...program, input: transpose(input), grid: transpose(grid), blockRows: blockCols, blockCols: blockRows, matrixRows: cols }
}

function stackRange(parts: readonly RowProgram[], first: number, rows: number): RowProgram {
  const taken: RowProgram[] = []
  let start = 0
  for (const part of parts) {
    const own = programShape(part).rows
    const [from, to] = [Math.max(first, start), Math.min(first + rows, start + own)]
    if (from < to) taken.push(rowRange(part, from - start, to - from))
    start += own
  }
  const [only] = taken
  return taken.length === 1 && only !== undefined ? only : { op: 'stack', parts: taken }
}
