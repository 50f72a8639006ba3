/**
 * Modules that rotate, mirror or scale the base, bound.
 *
 * Law: PEFT 0.21.2 tuners/{oft,boft,hra,road,ia3}/layer.py `merge`.
 */
import { MismatchError, quoted, UnsupportedError } from '../../core/errors.js'
import type { Delta } from '../../core/delta.js'
import type { RoadDelta, Rotation } from '../../core/delta-others.js'
import type { CayleyForm } from '../../core/adapter-nodes.js'
import { asMatrix, transposed, type MatrixView } from '../../core/matrix-view.js'
import { elementCount, shapeText } from '../../core/shape.js'
import type { AdapterModule } from '../adapter-file.js'
import { asMatrixOf, biasChange, change, sidesOf, wholePieces, type Binder, type Bound, type UpdateShape } from './bound.js'
import { countOption, dimensions, factor, flagOption, length, placeOf, size, tensorOf, vector } from './factors.js'

/** Rows of the upper triangles of blocks; one row may stand for all. On an embedding it turns the other way round. */
export const oft: Binder = {
  shape: (module) => {
    const { rows, cols } = factor(module, oftRole(module))
    return { out: 0, inputs: rows === 1 ? 0 : rows * blockSize(module, cols), flattens: true, fixed: true }
  },
  bind: (bound) => {
    const { module } = bound
    const blocks = factor(module, oftRole(module))
    const blockElements = blockSize(module, blocks.cols)
    wholePieces(bound, 'blocks of columns', blockElements, sidesOf(bound).inputs)
    const rotation: Rotation = { blocks, size: blockElements, form: oftForm(module, blocks.rows) }
    return [{ variant: 'rotate', ...change(bound), rotations: [rotation], ...asMatrixOf(bound) }]
  },
}

function oftRole({ factors }: AdapterModule): 'oft' | 'oftEmbedding' {
  return factors.has('oft') ? 'oft' : 'oftEmbedding'
}

/** n(n − 1)/2 elements are above the diagonal of a block of n. */
function blockSize(module: AdapterModule, elements: number): number {
  const found = (1 + Math.sqrt(1 + 8 * elements)) / 2
  if (!Number.isInteger(found)) throw new MismatchError(`has rows of ${elements} elements, which is no triangle of a square block.`, placeOf(module))
  return found
}

function oftForm(module: AdapterModule, rows: number): CayleyForm {
  const terms = countOption(module, 'num_cayley_neumann_terms')
  return {
    holds: 'skew',
    ...(flagOption(module, 'use_cayley_neumann') ? { series: { terms, halvesLast: !flagOption(module, 'old_cayley_neumann') } } : {}),
    ...(flagOption(module, 'coft') ? { limit: countOption(module, 'eps') / Math.sqrt(rows) } : {}),
    ...(oftRole(module) === 'oftEmbedding' ? { inverse: true } : {}),
  }
}

/** Factors of a butterfly: each rotates neighbours of other distances, after a permutation that follows from the sizes. */
export const boft: Binder = {
  shape: (module) => {
    const [, count = 0, rows = 0] = dimensions(module, 'boft', 4)
    return { out: length(module, 'boftRows'), inputs: count * rows, flattens: true, fixed: true }
  },
  bind: (bound) => {
    const { module } = bound
    const tensor = tensorOf(module, 'boft')
    const [stages = 0, count = 0, rows = 0, cols = 0] = dimensions(module, 'boft', 4)
    if (rows !== cols) throw new MismatchError(`has shape ${shapeText(tensor.shape)}; square blocks are wanted.`, placeOf(module))
    if (stages > 1 && (rows % 2 !== 0 || count % 2 ** (stages - 1) !== 0))
      throw new MismatchError(`has ${stages} stages of ${count} blocks of ${rows}: no butterfly has these.`, placeOf(module))
    const view = asMatrix(tensor, stages * count, rows * cols)
    const rotations = Array.from({ length: stages }, (_, stage): Rotation => {
      const blocks = { ...view, rows: count, offset: stage * count * view.cols }
      // blocks in pairs of halves: those of even places first. The first stage leaves all where they are
      const columns = { shape: [count / 2 ** stage, 2, 2 ** stage, rows / 2], order: [0, 2, 1, 3] }
      return { blocks, size: rows, form: { holds: 'full' }, ...(stage === 0 ? {} : { columns }) }
    })
    return [{ variant: 'rotate', ...change(bound), rotations, factors: vector(module, 'boftRows', sidesOf(bound).out), ...asMatrixOf(bound) }]
  },
}

export const hra: Binder = {
  shape: (module) => ({ out: 0, inputs: size(module, 'hra', 0), flattens: true, fixed: true }),
  bind: (bound) => {
    const vectors = transposed(factor(bound.module, 'hra'))
    return [{ variant: 'reflect', ...change(bound), vectors, orthogonal: flagOption(bound.module, 'apply_GS'), ...asMatrixOf(bound) }]
  },
}

/** Values per row of the weight: half as many (both of a pair share one), as many, or twice (one for each term). */
const ROAD_VARIANTS: ReadonlyMap<unknown, number> = new Map([
  ['road_1', 1 / 2],
  ['road_2', 1],
  ['road_4', 2],
])

export const road: Binder = {
  shape: (module) => ({ out: length(module, 'roadAngles') / (ROAD_VARIANTS.get(module.options?.get('variant')) ?? 1), inputs: 0, fixed: true }),
  bind: (bound) => {
    const { module, bias } = bound
    const { out } = sidesOf(bound)
    const group = countOption(module, 'group_size')
    if (group % 2 !== 0) throw new UnsupportedError(`"group_size" ${group} is odd: its rows cannot be paired.`, placeOf(module))
    wholePieces(bound, 'groups of rows', group, out)
    const perRow = ROAD_VARIANTS.get(module.options?.get('variant')) ?? 1
    const values = (role: 'roadAngles' | 'roadLengths', term: 0 | 1): MatrixView => {
      vector(module, role, out * perRow)
      const cols = group * Math.min(perRow, 1)
      return { tensor: tensorOf(module, role), rows: out / group, cols, offset: perRow > 1 ? term * cols : 0, rowStride: group * perRow, colStride: 1 }
    }
    const term = (which: 0 | 1): RoadDelta['first'] => ({ angles: values('roadAngles', which), lengths: values('roadLengths', which) })
    const rotation = { variant: 'road' as const, group, first: term(0), second: term(1), shared: perRow < 1 }
    const deltas: Delta[] = [{ ...change(bound), ...rotation }]
    if (bias !== undefined) deltas.push({ ...biasChange(bound, bias), ...rotation })
    return deltas
  },
}

export const ia3: Binder = { bind: bindIa3, shape: ia3Shape }

function ia3Shape(module: AdapterModule): UpdateShape {
  const { shape } = tensorOf(module, 'ia3')
  if (shape.length > 2) return { out: 0, inputs: 0, flattens: true }
  const [rows = 0, cols = 0] = shape
  return rows === 1 ? { out: 0, inputs: cols } : { out: rows, inputs: 0 }
}

/** A column scales the outputs, and with them the bias; a row scales the inputs. */
function bindIa3(bound: Bound): Delta[] {
  const { module, bias } = bound
  const tensor = tensorOf(module, 'ia3')
  if (tensor.shape.length > 2) return bindIa3Kernel(bound)
  const given = factor(module, 'ia3')
  if (given.rows !== 1 && given.cols !== 1) throw new MismatchError(`has shape ${shapeText(tensor.shape)} where a vector is wanted.`, placeOf(module))
  const by = bound.isTransposed ? transposed(given) : given
  const deltas: Delta[] = [{ variant: 'rescale', ...change(bound), by }]
  if (given.rows > 1 && bias !== undefined) deltas.push({ variant: 'rescale', ...biasChange(bound, bias), by: { ...given, cols: 1 } })
  return deltas
}

/** Of a convolution: one value per channel, of the outputs or (feedforward_modules) of the inputs. */
function bindIa3Kernel(bound: Bound): Delta[] {
  const { module, weight, bias } = bound
  const [out = 0, inputs = 0, ...kernel] = weight.shape
  const count = length(module, 'ia3')
  const tensor = tensorOf(module, 'ia3')
  if (flagOption(module, 'feedforward')) {
    const groups = count / inputs
    if (!Number.isInteger(groups) || out % groups !== 0)
      throw new MismatchError(`scales ${count} input channels, but a kernel of the base's ${quoted(weight.name)} has ${inputs}.`, placeOf(module))
    const spread = { rows: groups === 1 ? 1 : out / groups, cols: elementCount(kernel) }
    return [{ variant: 'rescale', ...change(bound), by: asMatrix(tensor, groups, inputs), spread, ...asMatrixOf(bound) }]
  }
  const by = vector(module, 'ia3', out)
  const deltas: Delta[] = [{ variant: 'rescale', ...change(bound), by, ...asMatrixOf(bound) }]
  if (bias !== undefined) deltas.push({ variant: 'rescale', ...biasChange(bound, bias), by })
  return deltas
}
