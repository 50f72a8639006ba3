/**
 * One module of an adapter for a diffusion pipeline and the tensors of the base that it is of -> deltas. One row per kind.
 * A matrix may be stored as a convolution of size 1, and the other way round: what counts is (out x everything else).
 *
 * Law: LyCORIS 4.1 modules/*.py `forward` (its `get_merged_weight` scales LoHa and LoKr twice); sd-scripts networks/lora.py.
 */
import type { Delta, LowRank } from '../core/delta.js'
import { MismatchError, quoted, UnsupportedError, type Place } from '../core/errors.js'
import { asMatrix, rowsOf, type MatrixView } from '../core/row-program.js'
import { elementCount, shapeText } from '../core/shape.js'
import type { TensorInfo } from '../core/tensor-info.js'
import type { AdapterModule, DiffusionKind } from './adapter-file.js'
import type { DiffusionRole } from './diffusion-keys.js'
import { placeOf, tensorOf } from './factors.js'
import type { ModulePlace, RowRange } from './part-names.js'

/** A module and where it lies in the base. */
interface BoundModule {
  readonly module: AdapterModule
  readonly place: ModulePlace
}

const BINDERS: { readonly [K in DiffusionKind]: (bound: BoundModule) => Delta[] } = {
  locon: bindLocon,
  hadamard: (bound) => {
    const { module } = bound
    const left = pairOf(module, 'hada1A', 'hada1B')
    const right = pairOf(module, 'hada2A', 'hada2B')
    if (module.factors.has('hada1T') || module.factors.has('hada2T') || module.factors.has('doraScale')) return notYet(bound)
    requireFit(bound, left.B.rows, left.A.cols)
    requireFit(bound, right.B.rows, right.A.cols)
    return [{ variant: 'loha', ...change(bound), left, right }]
  },
  kronecker: (bound) => {
    const { module } = bound
    const left = factorOf(module, 'lokr1', 'lokr1A', 'lokr1B')
    if (module.factors.has('lokr2T') || module.factors.has('doraScale')) return notYet(bound)
    const right = factorOf(module, 'lokr2', 'lokr2A', 'lokr2B')
    requireFit(bound, rowCount(left) * rowCount(right), colCount(left) * colCount(right))
    return [{ variant: 'lokr', ...change(bound), left, right: [right] }]
  },
  lycorisGlora: notYet,
  modulation: notYet,
  difference: (bound) => differences(bound, 'difference', 'biasDifference'),
  norm: (bound) => differences(bound, 'normDifference', 'normBiasDifference'),
}

/** @throws MismatchError when base and module do not fit */
export function bindDiffusionModule(module: AdapterModule, place: ModulePlace): Delta[] {
  if (!isDiffusionKind(module.kind)) throw new UnsupportedError(`${module.kind} is not known in diffusion pipelines.`, placeOf(module))
  return BINDERS[module.kind]({ module, place })
}

function isDiffusionKind(kind: AdapterModule['kind']): kind is DiffusionKind {
  return Object.hasOwn(BINDERS, kind)
}

function bindLocon(bound: BoundModule): Delta[] {
  const { module } = bound
  if (module.factors.has('mid')) return notYet(bound)
  const { weight, out, inputs } = shapeOf(bound)
  const A = tensorOf(module, 'A')
  const pair = pairOf(module, 'B', 'A')
  requireFit(bound, pair.B.rows, pair.A.cols)
  // a kernel of another shape may have as many elements
  if (A.shape.length > 2 && weight.shape.length > 2 && shapeText(A.shape.slice(1)) !== shapeText(weight.shape.slice(1))) throw doesNotFit(A, weight)
  const magnitude = module.factors.get('magnitude')
  if (magnitude !== undefined && elementCount(magnitude.shape) !== pair.B.rows) throw doesNotFit(magnitude, weight)
  const scaled = module.factors.get('doraScale')
  let updated: Delta = { variant: 'lora', ...change(bound), ...pair }
  if (magnitude !== undefined) updated = { ...updated, variant: 'dora', magnitude, along: 'rows', features: out }
  else if (scaled !== undefined) updated = { ...updated, variant: 'dora', magnitude: scaled, ...decomposition(bound, scaled, out, inputs) }
  const trained = module.factors.get('trainedBias')
  return trained === undefined ? [updated] : [updated, biasDelta(bound, trained, module.scale)]
}

/**
 * Whether LyCORIS' magnitudes are of outputs (out x 1 …) or of inputs (1 x in …). It adds the smallest step of f32 to a norm, against
 * dividing by zero, which is left out here: that is within the rounding of f32.
 */
function decomposition(bound: BoundModule, scaled: TensorInfo, out: number, inputs: number): { along: 'rows' | 'columns'; features: number } {
  const { weight } = shapeOf(bound)
  const count = elementCount(scaled.shape)
  if (scaled.shape[0] === out && count === out) return { along: 'rows', features: out }
  if (scaled.shape[0] !== 1 || count !== weight.shape[1]) throw doesNotFit(scaled, weight)
  if (count !== inputs)
    throw new UnsupportedError('is a magnitude of the inputs of a convolution, which is not yet supported: merge it with LyCORIS.', placeOf(bound.module))
  return { along: 'columns', features: inputs }
}

/** Trained differences of a weight and its bias, either or both. */
function differences(bound: BoundModule, ofWeight: DiffusionRole, ofBias: DiffusionRole): Delta[] {
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

function biasDelta(bound: BoundModule, trained: TensorInfo, scale: number): Delta {
  const { bias, rows, path } = bound.place
  const place = { file: trained.source.name, tensor: trained.name }
  if (bias === undefined) throw new MismatchError(`changes a bias, but the base's ${quoted(path)} has none.`, place)
  if (elementCount(trained.shape) !== (rows?.count ?? elementCount(bias.shape))) throw doesNotFit(trained, bias)
  return { variant: 'sum', ...change(bound), rank: 0, scale, target: bias.name, value: rowsOf(trained) }
}

/** The base's weight as (out x everything else). */
function shapeOf({ module, place: { weight, rows, path } }: BoundModule): { weight: TensorInfo; out: number; inputs: number } {
  if (weight === undefined) throw new MismatchError(`its module ${quoted(path)} has a bias in the base, but no weight.`, placeOf(module))
  const [first = 0, ...rest] = weight.shape
  return { weight, out: rows?.count ?? first, inputs: elementCount(rest) }
}

function requireFit(bound: BoundModule, out: number, inputs: number): void {
  const own = shapeOf(bound)
  if (own.out === out && own.inputs === inputs) return
  const { module } = bound
  const factors = [...module.factors].map(([role, { shape }]) => `${role} ${shapeText(shape)}`)
  const part = bound.place.rows === undefined ? '' : `${shapeText([own.out, own.inputs])} of `
  throw new MismatchError(
    `its update is ${shapeText([out, inputs])} (${factors.join(', ')}), but the base's ${quoted(own.weight.name)} is ${part}${shapeText(own.weight.shape)}. Is it the base that the adapter was trained on?`,
    placeOf(module),
  )
}

function doesNotFit(tensor: TensorInfo, target: TensorInfo): MismatchError {
  const place: Place = { file: tensor.source.name, tensor: tensor.name }
  return new MismatchError(
    `has shape ${shapeText(tensor.shape)}, but the base's ${quoted(target.name)} is ${shapeText(target.shape)}. Is it the base that the adapter was trained on?`,
    place,
  )
}

/** A low-rank pair: (out x rank) and (rank x everything else). @throws MismatchError when they cannot be multiplied */
function pairOf(module: AdapterModule, b: DiffusionRole, a: DiffusionRole): LowRank {
  const [B, A] = [tensorOf(module, b), tensorOf(module, a)]
  const [rank = 0, ...rest] = A.shape
  const [out = 0] = B.shape
  if (elementCount(B.shape) !== out * rank)
    throw new MismatchError(`has shape ${shapeText(B.shape)}, its partner ${shapeText(A.shape)}: they cannot be multiplied.`, {
      file: B.source.name,
      tensor: B.name,
    })
  return { B: asMatrix(B, out, rank), A: asMatrix(A, rank, elementCount(rest)) }
}

/** A factor of a Kronecker product: stored whole, or as a low-rank pair. */
function factorOf(module: AdapterModule, whole: DiffusionRole, b: DiffusionRole, a: DiffusionRole): LowRank | MatrixView {
  const tensor = module.factors.get(whole)
  return tensor === undefined ? pairOf(module, b, a) : asMatrix(tensor, tensor.shape[0] ?? 0, elementCount(tensor.shape.slice(1)))
}

function rowCount(one: LowRank | MatrixView): number {
  return 'tensor' in one ? one.rows : one.B.rows
}

function colCount(one: LowRank | MatrixView): number {
  return 'tensor' in one ? one.cols : one.A.cols
}

function notYet({ module }: BoundModule): Delta[] {
  throw new UnsupportedError('is of a kind of LyCORIS that is not yet supported: merge it with LyCORIS.', placeOf(module))
}

function change({ module, place: { weight, bias, rows } }: BoundModule): Pick<Delta, 'target' | 'module' | 'rank' | 'scale'> & { rows?: RowRange } {
  return {
    target: weight?.name ?? bias?.name ?? '',
    module: module.component === undefined ? module.name : `${module.component}.${module.name}`,
    rank: module.rank,
    scale: module.scale,
    ...(rows === undefined ? {} : { rows }),
  }
}
