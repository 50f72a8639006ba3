/**
 * A module of an adapter for a diffusion pipeline that has found its tensors, and what the ways to bind it (bind-diffusion.ts) say of them.
 * A matrix may be stored as a convolution of size 1, and the other way round: what counts is (out x everything else).
 */
import type { Delta } from '../../core/delta.js'
import type { Factor, LowRank, SeenAs } from '../../core/factor.js'
import { MismatchError, quoted, UnsupportedError } from '../../core/errors.js'
import { rowSlice, asMatrix, type MatrixView } from '../../core/matrix-view.js'
import { elementCount, shapeText } from '../../core/shape.js'
import { placeOfTensor, type TensorInfo } from '../../core/tensor-info.js'
import type { AdapterModule } from '../adapter-file.js'
import type { DiffusionRole } from './diffusion-keys.js'
import { doesNotFit, placeOf, tensorOf, tucker } from '../bind/factors.js'
import type { ModulePiece } from './module-places.js'

/** A module, and one of the pieces that the base has it in. */
export interface BoundPiece {
  readonly module: AdapterModule
  /** Its path in the base. */
  readonly path: string
  readonly piece: ModulePiece
  /** Outputs of the whole module. */
  readonly out: number
}

/** The base's weight; outputs (of the whole module), inputs, and these with the kernel. */
export function shapeOf({ module, path, piece: { weight, isTransposed }, out }: BoundPiece): {
  weight: TensorInfo
  out: number
  channels: number
  inputs: number
} {
  if (weight === undefined) throw new MismatchError(`its module ${quoted(path)} has a bias in the base, but no weight.`, placeOf(module))
  const channels = weight.shape[isTransposed === true ? 0 : 1] ?? 1
  return { weight, out, channels, inputs: isTransposed === true ? channels : elementCount(weight.shape.slice(1)) }
}

/** Outputs that a piece has. */
export function outputsOf({ part, rows, weight, bias, isTransposed }: ModulePiece): number {
  return (part ?? rows)?.count ?? (isTransposed === true ? weight?.shape[1] : (weight ?? bias)?.shape[0]) ?? 0
}

/** @throws MismatchError unless the module's update is of this shape */
export function requireFit(bound: BoundPiece, out: number, inputs: number): void {
  const own = shapeOf(bound)
  if (own.out === out && own.inputs === inputs) return
  const { module, piece } = bound
  const factors = [...module.factors].map(([role, { shape }]) => `${role} ${shapeText(shape)}`)
  const part = piece.rows === undefined && piece.part === undefined ? '' : `${shapeText([own.out, own.inputs])} with `
  throw new MismatchError(
    `its update is ${shapeText([out, inputs])} (${factors.join(', ')}), but the base's ${quoted(own.weight.name)} is ${part}${shapeText(own.weight.shape)}. Is it the base that the adapter was trained on?`,
    placeOf(module),
  )
}

/** @throws UnsupportedError when the base has the module in several tensors, and the method cannot be told for each by itself */
export function requireWhole({ module, path, piece }: BoundPiece, what: string): void {
  if (piece.part === undefined) return
  throw new UnsupportedError(
    `${what}, and the base keeps the module ${quoted(path)} in several tensors, or in another order: merge it into the checkpoint that has it as it was trained.`,
    placeOf(module),
  )
}

/** What a delta of the piece's weight says of itself; its `part` is for updates that do not depend on the base. */
export function change(bound: BoundPiece): ReturnType<typeof changeOfRows> & Pick<Delta, 'part'> {
  const { part } = bound.piece
  return { ...changeOfRows(bound), ...(part === undefined ? {} : { part }) }
}

/** The same for a delta that is of the piece only. */
export function changeOfRows({ module, piece, out }: BoundPiece): Pick<Delta, 'target' | 'module' | 'rank' | 'scale' | 'rows' | 'seenAs'> {
  const { weight, bias, rows, isTransposed } = piece
  return {
    target: weight?.name ?? bias?.name ?? '',
    module: module.component === undefined ? module.name : `${module.component}.${module.name}`,
    rank: module.rank,
    scale: module.scale,
    ...(rows === undefined ? {} : { rows }),
    ...(isTransposed === undefined ? {} : { seenAs: { rows: out, cols: weight?.shape[0] ?? 0, transposed: true } }),
  }
}

/** A low-rank update, of the piece's rows only. */
export function lowRankDelta(bound: BoundPiece, { B, A }: LowRank): Delta {
  const { part } = bound.piece
  return { variant: 'lora', ...changeOfRows(bound), B: part === undefined ? B : rowSlice(B, part.first, part.count), A }
}

/** The base as (out x everything else), where it is not stored so. */
export function asMatrixOf(bound: BoundPiece): { seenAs?: SeenAs } {
  const { weight, out, inputs } = shapeOf(bound)
  return weight.shape.length === 2
    ? {} // which a transposed one has already
    : { seenAs: { rows: out, cols: inputs, transposed: false } }
}

/** What was trained for the bias of the module. */
export function biasDelta(bound: BoundPiece, trained: TensorInfo, scale: number): Delta {
  const { path, piece, out } = bound
  if (piece.bias === undefined) throw new MismatchError(`changes a bias, but the base's ${quoted(path)} has none.`, placeOfTensor(trained))
  if (elementCount(trained.shape) !== out) throw doesNotFit(trained, piece.bias)
  return { variant: 'sum', ...change(bound), rank: 0, scale, target: piece.bias.name, value: asMatrix(trained, out, 1) }
}

/** The piece's rows of values that the module has one of for each output, as a column. */
export function ofOutputs({ piece: { part }, out }: BoundPiece, tensor: TensorInfo): MatrixView {
  const column = asMatrix(tensor, out, 1)
  return part === undefined ? column : rowSlice(column, part.first, part.count)
}

/** A tensor as (first dimension x everything else). */
export function matrixOf(tensor: TensorInfo): MatrixView {
  return asMatrix(tensor, tensor.shape[0] ?? 0, elementCount(tensor.shape.slice(1)))
}

/** A low-rank pair: (out x rank) and (rank x everything else). @throws MismatchError when they cannot be multiplied */
export function pairOf(module: AdapterModule, b: DiffusionRole, a: DiffusionRole): LowRank {
  const [B, A] = [tensorOf(module, b), tensorOf(module, a)]
  const [rank = 0] = A.shape
  const [out = 0] = B.shape
  if (elementCount(B.shape) !== out * rank)
    throw new MismatchError(`has shape ${shapeText(B.shape)}, its partner ${shapeText(A.shape)}: they cannot be multiplied.`, placeOfTensor(B))
  return { B: asMatrix(B, out, rank), A: matrixOf(A) }
}

/** A factor of a product: stored whole, as a low-rank pair, or as a core between two factors. */
export function factorOf(module: AdapterModule, roles: { whole?: DiffusionRole; a: DiffusionRole; b: DiffusionRole; core?: DiffusionRole }): Factor {
  const whole = roles.whole && module.factors.get(roles.whole)
  if (whole !== undefined) return matrixOf(whole)
  const core = roles.core && module.factors.get(roles.core)
  if (core === undefined) return pairOf(module, roles.a, roles.b)
  return tucker(core, matrixOf(tensorOf(module, roles.a)), matrixOf(tensorOf(module, roles.b)))
}
