/** The tensors of an adapter's module, by what they are to it, as matrices and vectors. */
import type { LowRank } from '../core/delta.js'
import { MismatchError, nameList, quoted, type Place } from '../core/errors.js'
import { asMatrix, wholeMatrix, type MatrixView } from '../core/row-program.js'
import { elementCount, shapeText } from '../core/shape.js'
import type { TensorInfo } from '../core/tensor-info.js'
import type { AdapterModule } from './adapter-file.js'
import type { FactorRole } from './key-suffixes.js'

/** The first tensor of a module, which messages name. */
export function placeOf({ factors }: Pick<AdapterModule, 'factors'>): Place {
  const [first] = factors.values()
  return first === undefined ? {} : { file: first.source.name, tensor: first.name }
}

/** A factor of LoKr: stored whole, or as a low-rank pair. */
export function kroneckerFactor(module: AdapterModule, whole: FactorRole, a: FactorRole, b: FactorRole): LowRank | MatrixView {
  const tensor = module.factors.get(whole)
  if (tensor !== undefined) return asMatrix(tensor, tensor.shape[0] ?? 0, elementCount(tensor.shape.slice(1)))
  const pair = { B: factor(module, a), A: factor(module, b) }
  if (pair.B.cols !== pair.A.rows)
    throw new MismatchError(
      `its factors ${shapeText([pair.B.rows, pair.B.cols])} and ${shapeText([pair.A.rows, pair.A.cols])} cannot be multiplied.`,
      placeOf(module),
    )
  return pair
}

/** Rows of such a factor. */
export function rowCount(one: LowRank | MatrixView): number {
  return 'tensor' in one ? one.rows : one.B.rows
}

/** Columns of such a factor. */
export function colCount(one: LowRank | MatrixView): number {
  return 'tensor' in one ? one.cols : one.A.cols
}

/** @throws MismatchError when the module has none */
export function tensorOf(module: AdapterModule, role: FactorRole): TensorInfo {
  const tensor = module.factors.get(role)
  if (tensor === undefined)
    throw new MismatchError(`module ${quoted(module.name)} has no ${role}, only ${nameList([...module.factors.keys()])}.`, placeOf(module))
  return tensor
}

/** A factor as a matrix. @throws MismatchError when it has other than two dimensions */
export function factor(module: AdapterModule, role: FactorRole): MatrixView {
  const tensor = tensorOf(module, role)
  if (tensor.shape.length !== 2)
    throw new MismatchError(`has shape ${shapeText(tensor.shape)} where a matrix of two dimensions is wanted.`, {
      file: tensor.source.name,
      tensor: tensor.name,
    })
  return wholeMatrix(tensor)
}

/** Some rows of a matrix. */
export function rowSlice(view: MatrixView, first: number, rows: number): MatrixView {
  return { ...view, rows, offset: view.offset + first * view.rowStride }
}

/** A vector as a column. */
export function vector(module: AdapterModule, role: FactorRole, length: number): MatrixView {
  const tensor = tensorOf(module, role)
  if (elementCount(tensor.shape) !== length)
    throw new MismatchError(`has shape ${shapeText(tensor.shape)}; ${length} values are wanted.`, { file: tensor.source.name, tensor: tensor.name })
  return asMatrix(tensor, length, 1)
}

/** One dimension of a factor. */
export function size(module: AdapterModule, role: FactorRole, axis: number): number {
  return tensorOf(module, role).shape[axis] ?? 0
}
