/**
 * One module of an adapter for a diffusion pipeline and the tensors of the base that it is of -> deltas. One row per kind.
 *
 * Law: LyCORIS 4.1 modules/*.py `forward` (its `get_merged_weight` scales LoHa and LoKr twice); sd-scripts networks/lora.py.
 */
import type { Delta } from '../../core/delta.js'
import { MismatchError, UnsupportedError } from '../../core/errors.js'
import { asMatrix, rowsOf, transposed } from '../../core/matrix-view.js'
import { elementCount, shapeText } from '../../core/shape.js'
import type { AdapterModule, DiffusionKind } from '../adapter-file.js'
import { bindLycorisGlora } from './bind-lycoris-glora.js'
import { bindButterfly, bindModulation, bindOrthogonal } from './bind-lycoris-rotations.js'
import {
  asMatrixOf,
  biasDelta,
  change,
  changeOfRows,
  factorOf,
  lowRankDelta,
  matrixOf,
  ofOutputs,
  outputsOf,
  pairOf,
  requireFit,
  requireWhole,
  shapeOf,
} from './diffusion-bound.js'
import type { BoundPiece } from './diffusion-bound.js'
import type { DiffusionRole } from './diffusion-keys.js'
import { doesNotFit, colCount, placeOf, rowCount, tensorOf, tucker } from '../bind/factors.js'
import type { ModulePlace } from './module-places.js'

const LYCORIS_EPSILON = 2 ** -23 // torch.finfo(torch.float32).eps, which it adds to a norm before it divides

const BINDERS: { readonly [K in DiffusionKind]: (bound: BoundPiece) => Delta[] } = {
  locon: bindLocon,
  hadamard: (bound) => {
    const { module } = bound
    const left = factorOf(module, { a: 'hada1A', b: 'hada1B', core: 'hada1T' })
    const right = factorOf(module, { a: 'hada2A', b: 'hada2B', core: 'hada2T' })
    for (const one of [left, right]) requireFit(bound, rowCount(one), colCount(one))
    return decomposed(bound, { variant: 'loha', ...change(bound), left, right })
  },
  kronecker: (bound) => {
    const { module } = bound
    const left = factorOf(module, { whole: 'lokr1', a: 'lokr1A', b: 'lokr1B' })
    const right = factorOf(module, { whole: 'lokr2', a: 'lokr2A', b: 'lokr2B', core: 'lokr2T' })
    requireFit(bound, rowCount(left) * rowCount(right), colCount(left) * colCount(right))
    return decomposed(bound, { variant: 'lokr', ...change(bound), left, right: [right] })
  },
  lycorisGlora: bindLycorisGlora,
  orthogonal: bindOrthogonal,
  butterfly: bindButterfly,
  modulation: bindModulation,
  difference: (bound) => differences(bound, 'difference', 'biasDifference'),
  norm: (bound) => differences(bound, 'normDifference', 'normBiasDifference'),
}

/** @throws MismatchError when base and module do not fit, UnsupportedError where the base keeps apart what the method needs together */
export function bindDiffusionModule(module: AdapterModule, { path, pieces }: ModulePlace): Delta[] {
  const { kind } = module
  if (!isDiffusionKind(kind)) throw new UnsupportedError(`${kind} is not known in diffusion pipelines.`, placeOf(module))
  const out = pieces.reduce((sum, piece) => sum + outputsOf(piece), 0)
  return pieces.flatMap((piece) => BINDERS[kind]({ module, path, piece, out }))
}

function isDiffusionKind(kind: AdapterModule['kind']): kind is DiffusionKind {
  return Object.hasOwn(BINDERS, kind)
}

function bindLocon(bound: BoundPiece): Delta[] {
  const { module } = bound
  const { weight } = shapeOf(bound)
  const core = module.factors.get('mid')
  const spatial = core ?? tensorOf(module, 'A')
  // a kernel of another shape may have as many elements
  if (spatial.shape.length > 2 && weight.shape.length > 2 && shapeText(spatial.shape.slice(2)) !== shapeText(weight.shape.slice(2)))
    throw doesNotFit(spatial, weight)
  const pair = pairOf(module, 'B', 'A')
  const value = core === undefined ? undefined : tucker(core, transposed(matrixOf(tensorOf(module, 'B'))), pair.A)
  const [out, inputs] = value === undefined ? [pair.B.rows, pair.A.cols] : [rowCount(value), colCount(value)]
  requireFit(bound, out, inputs)
  const deltas = decomposed(bound, value === undefined ? lowRankDelta(bound, pair) : { variant: 'sum', ...change(bound), value })
  const [trained, difference] = [module.factors.get('trainedBias'), module.factors.get('biasDifference')]
  if (trained !== undefined) deltas.push(biasDelta(bound, trained, module.scale))
  if (difference !== undefined) deltas.push(biasDelta(bound, difference, 1))
  return [...deltas, ...sparseRest(bound)]
}

/** Single elements that an extraction kept beside a low-rank update, as it saw the weight: (out x everything else). */
function sparseRest(bound: BoundPiece): Delta[] {
  const { module } = bound
  const { out, inputs } = shapeOf(bound)
  const [positions, values] = [module.factors.get('restPositions'), module.factors.get('restValues')]
  const size = [module.options?.get('rest.0'), module.options?.get('rest.1')]
  if (positions === undefined && values === undefined && size[0] === undefined) return []
  const count = values === undefined ? 0 : elementCount(values.shape)
  if (positions === undefined || values === undefined || shapeText(positions.shape) !== shapeText([2, count]) || size[0] !== out || size[1] !== inputs)
    throw new MismatchError(
      `its sparse rest (bias_indices ${shapeText(positions?.shape ?? [])}, bias_values ${shapeText(values?.shape ?? [])}, bias_size ${size.join(' x ')}) is none of a weight of ${out} x ${inputs}.`,
      placeOf(module),
    )
  requireWhole(bound, 'has a sparse rest')
  return [{ variant: 'sparse', ...changeOfRows(bound), ...asMatrixOf(bound), positions, values: asMatrix(values, count, 1) }]
}

/** An update, and the magnitudes that the sum of it and the base is given after it: DoRA, of PEFT (outputs) or of LyCORIS (outputs, out x 1 …, or inputs, 1 x in …). */
function decomposed(bound: BoundPiece, update: Delta): Delta[] {
  const { factors } = bound.module
  const [ofPeft, ofLycoris] = [factors.get('magnitude'), factors.get('doraScale')]
  const magnitude = ofPeft ?? ofLycoris
  if (magnitude === undefined) return [update]
  if (ofPeft !== undefined && ofLycoris !== undefined)
    throw new MismatchError('has magnitudes in two spellings (dora_scale, lora_magnitude_vector): which is meant cannot be told.', placeOf(bound.module))
  const { weight, out, channels, inputs } = shapeOf(bound)
  const count = elementCount(magnitude.shape)
  const own = {
    variant: 'magnitude' as const,
    ...changeOfRows(bound),
    rank: 0,
    scale: 1,
    ...asMatrixOf(bound),
    plus: ofPeft === undefined ? LYCORIS_EPSILON : 0,
  }
  if (count === out && (ofPeft !== undefined || magnitude.shape[0] === out))
    return [update, { ...own, magnitudes: ofOutputs(bound, magnitude), along: 'rows', span: 1 }]
  if (ofPeft !== undefined || magnitude.shape[0] !== 1 || count !== channels) throw doesNotFit(magnitude, weight)
  requireWhole(bound, 'has a magnitude for each input, of all outputs together')
  return [update, { ...own, magnitudes: asMatrix(magnitude, 1, count), along: 'columns', span: inputs / count }]
}

/** Trained differences of a weight and its bias, either or both. */
function differences(bound: BoundPiece, ofWeight: DiffusionRole, ofBias: DiffusionRole): Delta[] {
  const { module } = bound
  const deltas: Delta[] = []
  const own = module.factors.get(ofWeight)
  if (own !== undefined) {
    const { weight, out, inputs } = shapeOf(bound)
    if (elementCount(own.shape) !== out * inputs || own.shape[0] !== out) throw doesNotFit(own, weight)
    deltas.push({ variant: 'sum', ...change(bound), value: rowsOf(own) })
  }
  const bias = module.factors.get(ofBias)
  if (bias !== undefined) deltas.push(biasDelta(bound, bias, 1))
  return deltas
}
