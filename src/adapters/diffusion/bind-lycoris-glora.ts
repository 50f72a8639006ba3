/**
 * LyCORIS' GLoRA: `W += scale * (W · a1 · a2 + b1 · b2)`, with a core `bm` between the last two if there is one.
 *
 * Law: LyCORIS 4.1 modules/glora.py `_glora_weight`. Before LyCORIS 2 the pairs were the other way round (a2 · a1, b2 · b1): shapes tell which is which,
 * and what fits both ways is an error.
 */
import type { Delta } from '../../core/delta.js'
import { MismatchError, UnsupportedError } from '../../core/errors.js'
import { transposed, type MatrixView } from '../../core/matrix-view.js'
import { shapeText } from '../../core/shape.js'
import type { AdapterModule } from '../adapter-file.js'
import { asMatrixOf, change, changeOfRows, lowRankDelta, matrixOf, requireFit, shapeOf, type BoundPiece } from './diffusion-bound.js'
import { colCount, placeOf, rowCount, tensorOf, tucker } from '../bind/factors.js'

const MOST_KERNEL_ELEMENTS = 343 // 7 x 7 x 7, each of which is a row and a column of the plan; seen: 3 x 3

/** The first and the second matrix of a pair, as they are multiplied. */
interface Pairs {
  readonly through: { readonly left: MatrixView; readonly right: MatrixView }
  readonly plus: { readonly B: MatrixView; readonly A: MatrixView }
}

/** Deltas of a GLoRA module. @throws MismatchError when its matrices do not fit the base, or fit it in two ways */
export function bindLycorisGlora(bound: BoundPiece): Delta[] {
  const { module } = bound
  const { channels, inputs } = shapeOf(bound)
  const { through, plus } = pairsOf(bound)
  const core = module.factors.get('gloraBM')
  const kernel = inputs / channels
  if (kernel > MOST_KERNEL_ELEMENTS)
    throw new UnsupportedError(`is GLoRA of a convolution with ${kernel} elements for each input; up to ${MOST_KERNEL_ELEMENTS} are merged.`, placeOf(module))
  const mixing: Delta = { variant: 'through', ...changeOfRows(bound), ...asMatrixOf(bound), ...through, kernel }
  if (core === undefined) return [mixing, lowRankDelta(bound, plus)]
  const value = tucker(core, transposed(plus.B), plus.A)
  requireFit(bound, rowCount(value), colCount(value))
  return [mixing, { variant: 'sum', ...change(bound), value }]
}

function pairsOf(bound: BoundPiece): Pairs {
  const { module } = bound
  const { out, channels, inputs } = shapeOf(bound)
  const columns = module.factors.has('gloraBM') ? channels : inputs
  const fitting = [false, true].map((swapped) => pairs(module, swapped)).filter((one) => one.plus.B.rows === out && fits(one, channels, columns, module.rank))
  const [found, other] = fitting
  if (other !== undefined)
    throw new MismatchError(
      `has only square matrices ${shapeText([out, out])}: whether LyCORIS 2 or an older one wrote them cannot be told. Save it again with LyCORIS.`,
      placeOf(module),
    )
  if (found !== undefined) return found
  const { plus } = pairs(module, false)
  requireFit(bound, plus.B.rows, plus.A.cols)
  throw new MismatchError(
    `its factors do not belong together: a1 ${shapeOfFactor(module, 'gloraA1')}, a2 ${shapeOfFactor(module, 'gloraA2')}, b1 ${shapeOfFactor(module, 'gloraB1')}, b2 ${shapeOfFactor(module, 'gloraB2')}.`,
    placeOf(module),
  )
}

function pairs(module: AdapterModule, swapped: boolean): Pairs {
  const [a1, a2, b1, b2] = (['gloraA1', 'gloraA2', 'gloraB1', 'gloraB2'] as const).map((role) => matrixOf(tensorOf(module, role))) as [
    MatrixView,
    MatrixView,
    MatrixView,
    MatrixView,
  ]
  return swapped ? { through: { left: a2, right: a1 }, plus: { B: b2, A: b1 } } : { through: { left: a1, right: a2 }, plus: { B: b1, A: b2 } }
}

function fits({ through: { left, right }, plus: { B, A } }: Pairs, channels: number, columns: number, rank: number): boolean {
  return left.rows === channels && right.cols === channels && A.cols === columns && [left.cols, right.rows, B.cols, A.rows].every((one) => one === rank)
}

function shapeOfFactor(module: AdapterModule, role: 'gloraA1' | 'gloraA2' | 'gloraB1' | 'gloraB2'): string {
  return shapeText(tensorOf(module, role).shape)
}
