/**
 * What sd-scripts and LyCORIS train that rotates or scales the base: OFT and BOFT of outputs, IA³.
 *
 * Law: sd-scripts networks/oft.py, oft_flux.py (a list of blocks for each part of a fused matrix); LyCORIS 4.1 modules/{diag_oft,boft,ia3}.py. A rotation
 * is (I + Q)(I − Q)⁻¹ with Q = blocks − blocksᵀ; OFT multiplies its transpose with the rows, BOFT itself. Both shrink Q when all blocks together are longer
 * than the constraint, which they store as alpha, times the outputs.
 */
import type { Delta } from '../../core/delta.js'
import type { Rotation } from '../../core/delta-others.js'
import { InternalError, MismatchError, quoted } from '../../core/errors.js'
import { rowSlice, asMatrix, type MatrixView } from '../../core/matrix-view.js'
import { elementCount, shapeText } from '../../core/shape.js'
import { placeOfTensor, type TensorInfo } from '../../core/tensor-info.js'
import { asMatrixOf, changeOfRows, ofOutputs, outputsOf, requireWhole, shapeOf, type BoundPiece } from './diffusion-bound.js'
import { doesNotFit, countOption, placeOf, tensorOf } from '../bind/factors.js'

const BLOCK_LISTS = ['oftBlocks', 'oftBlocks1', 'oftBlocks2', 'oftBlocks3'] as const

/** Blocks that rotate as many rows each. */
export function bindOrthogonal(bound: BoundPiece): Delta[] {
  const { module, piece, out } = bound
  const { weight } = shapeOf(bound)
  const lists = BLOCK_LISTS.flatMap((role) => module.factors.get(role) ?? [])
  const wanted = piece.part ?? { first: 0, count: out }
  const rescale = rescaleOf(bound)
  const deltas: Delta[] = []
  let start = 0
  for (const tensor of lists) {
    const [count, size] = squareBlocks(tensor, 3)
    const [from, to] = [Math.max(start, wanted.first), Math.min(start + count * size, wanted.first + wanted.count)]
    if (from < to) {
      if ((from - start) % size !== 0 || (to - start) % size !== 0) requireWhole(bound, `has blocks of ${size} outputs`)
      const all = asMatrix(tensor, count, size * size)
      const rotation = {
        blocks: rowSlice(all, (from - start) / size, (to - from) / size),
        size,
        form: { holds: 'difference' as const },
        ...together(bound, count * size, all),
      }
      const rows = { first: (piece.rows?.first ?? 0) + from - wanted.first, count: to - from }
      const isAll = piece.rows === undefined && rows.count === outputsOf(piece)
      if (!isAll && weight.shape.length > 2) throw doesNotFit(tensor, weight)
      const factors = rescale && rowSlice(rescale, from - wanted.first, to - from)
      const own = { ...changeOfRows(bound), ...(isAll ? asMatrixOf(bound) : { rows }) }
      deltas.push({ variant: 'rotateRows', ...own, rotation, ...(factors === undefined ? {} : { factors }) })
    }
    start += count * size
  }
  if (start !== out) throw doesNotCover(bound, start)
  return deltas
}

/** Stages of blocks, each of which rotates outputs that are twice as far apart as in the one before; the base is seen with its outputs as columns. */
export function bindButterfly(bound: BoundPiece): Delta[] {
  const { module, out } = bound
  const { inputs } = shapeOf(bound)
  requireWhole(bound, 'rotates outputs that are far apart (BOFT)')
  const tensor = tensorOf(module, 'oftBlocks')
  const [count, size, stages] = squareBlocks(tensor, 4)
  if (count * size !== out) throw doesNotCover(bound, count * size)
  if (size % 2 !== 0 || count % 2 ** (stages - 1) !== 0)
    throw new MismatchError(`has ${stages} stages of ${count} blocks of ${size}: no butterfly has these.`, placeOfTensor(tensor))
  const all = asMatrix(tensor, stages * count, size * size)
  const rotations = Array.from({ length: stages }, (_, stage): Rotation => {
    const half = 2 ** stage * (size / 2)
    const columns = { shape: [out / (2 * half), 2, half], order: [0, 2, 1] }
    return { blocks: rowSlice(all, stage * count, count), size, form: { holds: 'difference', inverse: true }, columns, ...together(bound, out, all) }
  })
  const rescale = rescaleOf(bound)
  const factors = rescale === undefined ? {} : { factors: { ...rescale, rows: 1, cols: out, rowStride: out, colStride: 1 } }
  return [
    { variant: 'rotate', ...changeOfRows(bound), seenAs: { rows: inputs, cols: out, transposed: bound.piece.isTransposed !== true }, rotations, ...factors },
  ]
}

/** `W ∘ (1 + weight)`, for each output or for each input. */
export function bindModulation(bound: BoundPiece): Delta[] {
  const { module } = bound
  const { weight, out, channels, inputs } = shapeOf(bound)
  const trained = tensorOf(module, 'modulation')
  const count = elementCount(trained.shape)
  const own = { variant: 'modulate' as const, ...changeOfRows(bound), ...asMatrixOf(bound) }
  if (count !== (module.actsOnInputs === true ? channels : out)) throw doesNotFit(trained, weight)
  if (module.actsOnInputs !== true) return [{ ...own, by: ofOutputs(bound, trained), span: 1 }]
  return [{ ...own, by: asMatrix(trained, 1, count), span: inputs / channels }]
}

function squareBlocks(tensor: TensorInfo, dimensions: 3 | 4): [count: number, size: number, stages: number] {
  const [size = 0, cols = 0] = tensor.shape.slice(-2)
  if (tensor.shape.length !== dimensions || size !== cols)
    throw new MismatchError(`has shape ${shapeText(tensor.shape)}; square blocks are wanted.`, placeOfTensor(tensor))
  const [count = 0, stages = 1] = tensor.shape.slice(0, -2).toReversed()
  return [count, size, stages]
}

/** The length that all blocks of some outputs may have together; 0 means any. */
function together({ module }: BoundPiece, outputs: number, blocks: MatrixView): Pick<Rotation, 'together'> {
  const limit = countOption(module, 'constraint') * outputs
  if (!(limit >= 0)) throw new InternalError('a constraint that is no length')
  return limit === 0 ? {} : { together: { limit, blocks } }
}

/** LyCORIS' factor for each output, the piece's. */
function rescaleOf(bound: BoundPiece): MatrixView | undefined {
  const rescale = bound.module.factors.get('rescale')
  if (rescale === undefined) return undefined
  if (elementCount(rescale.shape) !== bound.out) throw doesNotFit(rescale, shapeOf(bound).weight)
  return ofOutputs(bound, rescale)
}

function doesNotCover(bound: BoundPiece, outputs: number): MismatchError {
  const { weight, out } = shapeOf(bound)
  return new MismatchError(
    `its blocks are of ${outputs} outputs; the base's ${quoted(weight.name)} has ${out}. Is it the base that the adapter was trained on?`,
    placeOf(bound.module),
  )
}
