/** Matrices seen in stored tensors, as plain data: whole, in part, transposed, one of several. Nothing is read or moved. */
import { InternalError } from './errors.js'
import { elementCount, rowShape } from './shape.js'
import type { TensorInfo } from './tensor-info.js'

/**
 * A matrix seen in a stored tensor: element (i, j) is at `offset + i * rowStride + j * colStride`, counted in elements.
 * Strides let one packed tensor hold many factors (experts) and let A·x be read as its transpose.
 */
export interface MatrixView {
  readonly tensor: TensorInfo
  readonly rows: number
  readonly cols: number
  readonly offset: number
  readonly rowStride: number
  readonly colStride: number
}

/** A stored matrix of two dimensions as a view of itself. */
export function wholeMatrix(tensor: TensorInfo): MatrixView {
  const [rows, cols] = tensor.shape
  if (rows === undefined || cols === undefined || tensor.shape.length !== 2)
    throw new InternalError('a matrix of two dimensions wanted', { tensor: tensor.name })
  return { tensor, rows, cols, offset: 0, rowStride: cols, colStride: 1 }
}

/** A stored tensor as rows and columns of core/shape.ts: a bias is one column. */
export function rowsOf(tensor: TensorInfo): MatrixView {
  const { rows, cols } = rowShape(tensor.shape)
  return { tensor, rows, cols, offset: 0, rowStride: cols, colStride: 1 }
}

/** The elements of a packed tensor as rows of another length. */
export function asMatrix(tensor: TensorInfo, rows: number, cols: number): MatrixView {
  if (rows * cols !== elementCount(tensor.shape)) throw new InternalError(`${rows} x ${cols} are not its elements`, { tensor: tensor.name })
  return { tensor, rows, cols, offset: 0, rowStride: cols, colStride: 1 }
}

/** Rows for columns, without moving anything. */
export function transposed({ tensor, rows, cols, offset, rowStride, colStride }: MatrixView): MatrixView {
  return { tensor, rows: cols, cols: rows, offset, rowStride: colStride, colStride: rowStride }
}

/** Rows [first, first + rows) of a view. */
export function rowSlice(view: MatrixView, first: number, rows: number): MatrixView {
  return { ...view, rows, offset: view.offset + first * view.rowStride }
}

/** The matrices (rows x cols) that lie one after the other in a tensor. */
export function matricesIn(tensor: TensorInfo, count: number, rows: number, cols: number): MatrixView[] {
  return Array.from({ length: count }, (_, i) => ({ tensor, rows, cols, offset: i * rows * cols, rowStride: cols, colStride: 1 }))
}
