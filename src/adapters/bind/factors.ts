/** The tensors of an adapter's module, by what they are to it, as matrices and vectors. */
import type { Factor, LowRank, Tucker } from '../../core/factor.js'
import { InternalError, MismatchError, nameList, quoted, type Place } from '../../core/errors.js'
import { matricesIn, asMatrix, wholeMatrix, type MatrixView } from '../../core/matrix-view.js'
import { elementCount, shapeText } from '../../core/shape.js'
import { placeOfTensor, type TensorInfo } from '../../core/tensor-info.js'
import type { AdapterModule } from '../adapter-file.js'
import type { FactorRole } from '../key-suffixes.js'

/** The first tensor of a module, which messages name. */
export function placeOf({ factors }: Pick<AdapterModule, 'factors'>): Place {
  const [first] = factors.values()
  return first === undefined ? {} : placeOfTensor(first)
}

/** @param tensor  the adapter's @param target  the base's */
export function doesNotFit(tensor: TensorInfo, target: TensorInfo): MismatchError {
  return new MismatchError(
    `has shape ${shapeText(tensor.shape)}, but the base's ${quoted(target.name)} is ${shapeText(target.shape)}. Is it the base that the adapter was trained on?`,
    placeOfTensor(tensor),
  )
}

/** A factor that is stored whole, or as a low-rank pair, or with a core between the two (CP decomposition of a convolution's kernel). */
export function storedFactor(module: AdapterModule, { whole, a, b, core }: Partial<Record<'whole' | 'a' | 'b' | 'core', FactorRole>>): Factor {
  const tensor = whole === undefined ? undefined : module.factors.get(whole)
  if (tensor !== undefined) return asMatrix(tensor, tensor.shape[0] ?? 0, elementCount(tensor.shape.slice(1)))
  if (a === undefined || b === undefined) throw new InternalError('a factor without roles')
  const middle = core === undefined ? undefined : module.factors.get(core)
  if (middle !== undefined) return tucker(middle, factor(module, a), factor(module, b))
  const pair = { B: factor(module, a), A: factor(module, b) }
  if (pair.B.cols !== pair.A.rows)
    throw new MismatchError(
      `its factors ${shapeText([pair.B.rows, pair.B.cols])} and ${shapeText([pair.A.rows, pair.A.cols])} cannot be multiplied.`,
      placeOf(module),
    )
  return pair
}

/** A core with its two factors, (ranks x outputs) and (ranks x inputs). @throws MismatchError when they do not fit together */
export function tucker(core: TensorInfo, out: MatrixView, inputs: MatrixView): Tucker {
  const [outer = 0, inner = 0, ...kernel] = core.shape
  const cols = elementCount(kernel)
  if (kernel.length === 0 || outer !== out.rows || inner !== inputs.rows)
    throw new MismatchError(`has shape ${shapeText(core.shape)}; a core for factors of ${out.rows} and ${inputs.rows} ranks is wanted.`, placeOfTensor(core))
  return { core: matricesIn(core, outer, inner, cols), out, inputs }
}

/** The factors of experts that are stacked in two tensors, (experts x rank x inputs) and (experts x out x rank). */
export function expertPairs(A: TensorInfo, B: TensorInfo): LowRank[] {
  const each = (tensor: TensorInfo): MatrixView[] => matricesIn(tensor, A.shape[0] ?? 0, tensor.shape[1] ?? 0, tensor.shape[2] ?? 0)
  const ofA = each(A)
  return each(B).flatMap((matrix, expert) => {
    const partner = ofA[expert]
    return partner === undefined ? [] : [{ B: matrix, A: partner }]
  })
}

/** Rows of such a factor. */
export function rowCount(one: Factor): number {
  return 'tensor' in one ? one.rows : 'core' in one ? one.out.cols : one.B.rows
}

/** Columns of such a factor. */
export function colCount(one: Factor): number {
  return 'tensor' in one ? one.cols : 'core' in one ? one.inputs.cols * (one.core[0]?.cols ?? 0) : one.A.cols
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
    throw new MismatchError(`has shape ${shapeText(tensor.shape)} where a matrix of two dimensions is wanted.`, placeOfTensor(tensor))
  return wholeMatrix(tensor)
}

/** A factor, if the module has it. */
export function optionalFactor(module: AdapterModule, role: FactorRole): MatrixView | undefined {
  return module.factors.has(role) ? factor(module, role) : undefined
}

/** @throws MismatchError unless a tensor has so many dimensions */
export function dimensions(module: AdapterModule, role: FactorRole, count: number): readonly number[] {
  const tensor = tensorOf(module, role)
  if (tensor.shape.length !== count)
    throw new MismatchError(`has shape ${shapeText(tensor.shape)} where ${count} dimensions are wanted.`, placeOfTensor(tensor))
  return tensor.shape
}

/** @throws MismatchError unless a factor has this shape */
export function sized(module: AdapterModule, role: FactorRole, rows: number, cols: number): MatrixView {
  const view = factor(module, role)
  if (view.rows !== rows || view.cols !== cols)
    throw new MismatchError(`has shape ${shapeText([view.rows, view.cols])}; ${shapeText([rows, cols])} is wanted.`, placeOfTensor(view.tensor))
  return view
}

/** A vector as a column. */
export function vector(module: AdapterModule, role: FactorRole, length: number): MatrixView {
  const tensor = tensorOf(module, role)
  if (elementCount(tensor.shape) !== length)
    throw new MismatchError(`has shape ${shapeText(tensor.shape)}; ${length} values are wanted.`, placeOfTensor(tensor))
  return asMatrix(tensor, length, 1)
}

/** One dimension of a factor. */
export function size(module: AdapterModule, role: FactorRole, axis: number): number {
  return tensorOf(module, role).shape[axis] ?? 0
}

/** Number of elements of a factor. */
export function length(module: AdapterModule, role: FactorRole): number {
  return elementCount(tensorOf(module, role).shape)
}

/** A pair as it is stored. @throws MismatchError when the two cannot be multiplied */
export function pairOf(module: AdapterModule, B: FactorRole, A: FactorRole): LowRank {
  const pair = { B: factor(module, B), A: factor(module, A) }
  if (pair.B.cols !== pair.A.rows)
    throw new MismatchError(
      `its factors ${shapeText([pair.B.rows, pair.B.cols])} and ${shapeText([pair.A.rows, pair.A.cols])} cannot be multiplied.`,
      placeOf(module),
    )
  return pair
}

/** A field of the adapter's config. */
export function countOption({ options }: AdapterModule, name: string): number {
  const value = options?.get(name)
  if (typeof value !== 'number') throw new InternalError(`an option ${name} that is no number`)
  return value
}

export function flagOption({ options }: AdapterModule, name: string): boolean {
  return options?.get(name) === true
}
