/** Where the maps of rows of core/row-program.ts take each row from. */
import type { RowProgram } from './row-program.js'

/** The row of the input that `permuteRows` puts at output row `row`. */
export function permutedRow(shape: readonly number[], order: readonly number[], row: number): number {
  let rest = row
  let inputRow = 0
  for (let i = order.length - 1; i >= 0; i--) {
    const axis = order[i] ?? 0
    const size = shape[axis] ?? 1
    const index = rest % size
    rest = (rest - index) / size
    let stride = 1
    for (let inner = axis + 1; inner < shape.length; inner++) stride *= shape[inner] ?? 1
    inputRow += index * stride
  }
  return inputRow
}

/** The row of the input that `sliceRows` puts at output row `row`. */
export function slicedRow({ shape, starts, sizes }: Pick<Extract<RowProgram, { op: 'sliceRows' }>, 'shape' | 'starts' | 'sizes'>, row: number): number {
  let rest = row
  let inputRow = 0
  let stride = 1
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    const size = sizes[axis] ?? 1
    const index = rest % size
    rest = (rest - index) / size
    inputRow += ((starts[axis] ?? 0) + index) * stride
    stride *= shape[axis] ?? 1
  }
  return inputRow
}
