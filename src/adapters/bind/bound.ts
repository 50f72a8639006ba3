/** A module that has found its tensors in the base, and what a way to bind it (bind.ts) says. */
import type { Delta } from '../../core/delta.js'
import type { LowRank, SeenAs } from '../../core/factor.js'
import { MismatchError, quoted } from '../../core/errors.js'
import { transposed } from '../../core/matrix-view.js'
import { elementCount, shapeText } from '../../core/shape.js'
import type { TensorInfo } from '../../core/tensor-info.js'
import type { AdapterModule } from '../adapter-file.js'
import { placeOf } from './factors.js'

/** A module and the base's tensors that it may change. */
export interface Bound {
  readonly module: AdapterModule
  readonly weight: TensorInfo
  /** The bias of the same module, when the base has one. */
  readonly bias: TensorInfo | undefined
  /** The base has inputs for rows: Conv1D. */
  readonly isTransposed: boolean
}

/** Outputs and inputs of the update of a module; 0 where it leaves one open. */
export interface UpdateShape {
  readonly out: number
  readonly inputs: number
  /** The weight may have more dimensions: all but the first count as inputs. */
  readonly flattens?: boolean
  /** The update lies as the base does, whatever that is: as rows of a vocabulary, or because the method knows no Conv1D. */
  readonly fixed?: boolean
}

/** How an update lies in the base: `square` may be either. */
export type Lies = 'plain' | 'transposed' | 'square' | 'fixed'

export interface Binder {
  /** Undefined: the base's shape is checked by `bind`. */
  readonly shape?: (module: AdapterModule) => UpdateShape
  /** Instead of `shape`, where only the base tells. @throws MismatchError when the update does not fit at all */
  readonly lies?: (module: AdapterModule, weight: TensorInfo) => Lies
  readonly bind: (bound: Bound) => Delta[]
}

/** What a delta says of itself. */
export function change({ module, weight }: Bound): Pick<Delta, 'target' | 'module' | 'rank' | 'scale'> {
  return { target: weight.name, module: module.name, rank: module.rank, scale: module.scale }
}

/** The same for the bias beside it. */
export function biasChange(bound: Bound, bias: TensorInfo): Pick<Delta, 'target' | 'module' | 'rank' | 'scale'> {
  return { ...change(bound), target: bias.name, rank: 0 }
}

/** The base as (out x inputs), whatever it is stored as. */
export function asMatrixOf({ weight: { shape }, isTransposed }: Bound): { seenAs?: SeenAs } {
  const [first = 1, ...rest] = shape
  const others = elementCount(rest)
  if (isTransposed) return { seenAs: { rows: others, cols: first, transposed: true } }
  return shape.length === 2 ? {} : { seenAs: { rows: first, cols: others, transposed: false } }
}

/** Outputs and inputs of the base's matrix. */
export function sidesOf({ weight: { shape }, isTransposed }: Bound): { out: number; inputs: number } {
  const [first = 1, ...rest] = shape
  const others = elementCount(rest)
  return isTransposed ? { out: others, inputs: first } : { out: first, inputs: others }
}

/** Factors as the base has its rows and columns; `turned` when those are not the adapter's. */
export function oriented({ B, A }: LowRank, { isTransposed }: Pick<Bound, 'isTransposed'>): LowRank & { readonly turned?: true } {
  return isTransposed ? { B: transposed(A), A: transposed(B), turned: true } : { B, A }
}

/** @throws MismatchError unless `length` is made of whole pieces */
export function wholePieces({ module, weight }: Bound, what: string, piece: number, length: number): void {
  if (piece > 0 && length % piece === 0) return
  throw new MismatchError(
    `its ${what} of ${piece} do not fill the ${length} of the base's ${quoted(weight.name)} ${shapeText(weight.shape)}. Is it the base that the adapter was trained on?`,
    placeOf(module),
  )
}
