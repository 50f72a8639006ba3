/** Rows of factors: views of stored tensors as packed f32, checked. NaN and infinity are refused, which no trained adapter has. */
import { elementBytes as bytesOfElement, isPlainFloat } from '../core/dtypes.js'
import { InternalError } from '../core/errors.js'
import type { MatrixView } from '../core/matrix-view.js'
import { elementCount } from '../core/shape.js'
import { readStrided } from '../core/strided-view.js'
import { placeOfTensor, type TensorInfo } from '../core/tensor-info.js'
import type { TileArithmetic } from '../kernels/kernel-arithmetic.js'
import { notFinite } from './non-finite.js'
import type { TileReader } from './tile-reader.js'

/** What reading factors uses of an evaluator. */
export interface Desk {
  readonly arithmetic: TileArithmetic
  readonly reader: TileReader
  /** Elements of a stored tensor, from one on. */
  read(tensor: TensorInfo, firstElement: number, into: Float32Array): void
  /** Lend a buffer for the time of `use`. */
  borrow(byteLength: number, use: (buffer: Uint8Array) => void): void
  borrowFloats(count: number, use: (buffer: Float32Array) => void): void
  /** Computes something once per output tensor, and keeps it. */
  kept(key: MatrixView, count: number, fill: (into: Float32Array) => void): Float32Array
  hasNonFinite(values: Float32Array): boolean
}

/** Elements of a factor A that are read at once, unless one row has more. */
export const FACTOR_ELEMENTS = 65_536

/** Parts of a stack (experts) have factors of their own: from here on, those of parts before make room. */
export const KEPT_OF_STACK_BYTES = 8_388_608

/** All of a factor A as products want it, kept until the next tensor; it passes by in a few rows at a time. */
export function packedFactor(desk: Desk, view: MatrixView): Float32Array {
  const { rows: rank, cols } = view
  return desk.kept(view, desk.arithmetic.packedElements(rank, cols), (packed) => {
    const rowsAtOnce = Math.max(1, Math.floor(FACTOR_ELEMENTS / cols))
    for (let first = 0; first < rank; first += rowsAtOnce) {
      desk.borrowFloats(Math.min(rowsAtOnce, rank - first) * cols, (rows) => {
        viewRows(desk, view, first, rows)
        desk.arithmetic.packRows(rows, first, rank, cols, packed)
      })
    }
  })
}

/** Rows of a view from row `first` on. @throws MismatchError */
export function viewRows(desk: Desk, view: MatrixView, first: number, into: Float32Array): void {
  if (view.colStride !== 1 || view.rowStride !== view.cols) return stridedRows(desk, view, first, into)
  desk.read(view.tensor, view.offset + first * view.cols, into)
  if (desk.hasNonFinite(into)) throw notFinite(view.tensor, into, view.offset + first * view.cols)
}

function stridedRows(desk: Desk, view: MatrixView, first: number, into: Float32Array): void {
  const { tensor, cols, offset, rowStride, colStride } = view
  if (!isPlainFloat(tensor.dtype)) return rowsOfBlocks(desk, view, first, into)
  gatherRows(desk, view, first, into)
  const index = desk.hasNonFinite(into) ? into.findIndex((value) => !Number.isFinite(value)) : -1
  if (index >= 0) throw notFinite(tensor, into, offset + (first + Math.floor(index / cols)) * rowStride + (index % cols) * colStride - index)
}

/** Rows of a view of plain numbers, whatever they are. */
export function gatherRows(desk: Desk, view: MatrixView, first: number, into: Float32Array): void {
  const { tensor, rows, cols, offset, rowStride, colStride } = view
  const { dtype } = tensor
  if (!isPlainFloat(dtype)) throw new InternalError(`${dtype} has no elements that a view could show`, placeOfTensor(tensor))
  if (colStride === 1 && rowStride === cols) return desk.read(tensor, offset + first * cols, into)
  const elementBytes = bytesOfElement(dtype)
  const strided = { offset: tensor.offset + offset * elementBytes, elementBytes, shape: [rows, cols], strides: [rowStride, colStride] }
  desk.borrow(into.length * elementBytes, (packed) => {
    readStrided({ ...strided, reversedBytes: 1, flippedBytes: [] }, packed, first * cols * elementBytes, (bytes, at) =>
      desk.reader.read(tensor.source, bytes, at),
    )
    desk.arithmetic.widen(dtype, packed, into)
  })
}

/** Blocks have no addressable elements: the whole tensor is read. */
function rowsOfBlocks(desk: Desk, view: MatrixView, first: number, into: Float32Array): void {
  desk.borrowFloats(elementCount(view.tensor.shape), (all) => {
    desk.read(view.tensor, 0, all)
    if (desk.hasNonFinite(all)) throw notFinite(view.tensor, all, 0)
    for (let i = 0; i < into.length; i++) {
      const col = i % view.cols
      into[i] = all[view.offset + (first + (i - col) / view.cols) * view.rowStride + col * view.colStride]!
    }
  })
}
