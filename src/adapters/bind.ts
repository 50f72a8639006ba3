/**
 * One module of an adapter and the tensor of the base that it is of -> deltas, factors turned the way the base stores its
 * matrices. One row per kind of module; each says what shape its update has, which decides whether the base fits.
 *
 * Law: PEFT 0.21.2 tuners/<type>/layer.py `get_delta_weight`, `merge`.
 */
import { MismatchError, quoted, UnsupportedError } from '../core/errors.js'
import type { Delta, LowRank } from '../core/delta.js'
import { asMatrix, rowsOf, transposed, wholeMatrix, type MatrixView } from '../core/row-program.js'
import { elementCount, sameShape, shapeText } from '../core/shape.js'
import type { TensorInfo } from '../core/tensor-info.js'
import type { AdapterModule, DiffusionKind, ModuleKind } from './adapter-file.js'
import { groupedBinder, loralibBinder } from './bind-fused.js'
import { ggufBinder } from './bind-gguf.js'
import { turnedBinder } from './bind-turned.js'
import { change, doesNotFit, oriented, type Binder, type Bound, type Lies, type UpdateShape } from './bound.js'
import { colCount, factor, kroneckerFactor, placeOf, rowCount, size, tensorOf, vector } from './factors.js'

/** Kinds that are bound here: modules of pipelines and of stacked experts are not. */
type BoundKind = Exclude<ModuleKind, DiffusionKind | 'switch'>

const BINDERS: { readonly [K in BoundKind]: Binder } = {
  lora: { shape: loraShape, bind: bindLora },
  embedding: {
    shape: (module) => ({ out: size(module, 'embeddingA', 1), inputs: size(module, 'embeddingB', 0), fixed: true }),
    bind: (bound) => {
      const { module } = bound
      const pair = { B: transposed(factor(module, 'embeddingA')), A: transposed(factor(module, 'embeddingB')) }
      const magnitude = module.factors.get('magnitude')
      return [magnitude === undefined ? { variant: 'lora', ...change(bound), ...pair } : dora(bound, pair, magnitude, 'columns', pair.A.cols)]
    },
  },
  adalora: {
    shape: (module) => ({ out: size(module, 'bareB', 0), inputs: size(module, 'bareA', 1) }),
    bind: (bound) => {
      const [B, A] = [factor(bound.module, 'bareB'), factor(bound.module, 'bareA')]
      const values = vector(bound.module, 'bareE', A.rows)
      return [{ variant: 'lora', ...change(bound), ...oriented({ B, A }, bound), rowsOfA: values }]
    },
  },
  ia3: { bind: bindIa3, shape: ia3Shape },
  loha: {
    shape: (module) => ({ out: size(module, 'hada1A', 0), inputs: size(module, 'hada1B', 1), flattens: true }),
    bind: (bound) => {
      const left = oriented({ B: factor(bound.module, 'hada1A'), A: factor(bound.module, 'hada1B') }, bound)
      const right = oriented({ B: factor(bound.module, 'hada2A'), A: factor(bound.module, 'hada2B') }, bound)
      return [{ variant: 'loha', ...change(bound), left, right }]
    },
  },
  lokr: {
    shape: (module) => {
      const [left, right] = [kroneckerFactor(module, 'lokr1', 'lokr1A', 'lokr1B'), kroneckerFactor(module, 'lokr2', 'lokr2A', 'lokr2B')]
      return { out: rowCount(left) * rowCount(right), inputs: colCount(left) * colCount(right), flattens: true }
    },
    bind: (bound) => {
      const turn = (one: LowRank | MatrixView): LowRank | MatrixView => ('tensor' in one ? (bound.isTransposed ? transposed(one) : one) : oriented(one, bound))
      const left = turn(kroneckerFactor(bound.module, 'lokr1', 'lokr1A', 'lokr1B'))
      const right = turn(kroneckerFactor(bound.module, 'lokr2', 'lokr2A', 'lokr2B'))
      return [{ variant: 'lokr', ...change(bound), left, right }]
    },
  },
  vera: {
    shape: (module) => ({ out: size(module, 'veraRowsOfB', 0), inputs: 0 }),
    bind: bindVera,
  },
  pvera: {
    shape: (module) => ({ out: size(module, 'veraRowsOfB', 0), inputs: 0 }),
    bind: bindVera,
  },
  delora: {
    shape: (module) => ({ out: size(module, 'deloraB', 0), inputs: size(module, 'deloraA', 1) }),
    bind: (bound) => {
      const { module, isTransposed } = bound
      const pair = { B: factor(module, 'deloraB'), A: factor(module, 'deloraA') }
      if (isTransposed)
        throw new UnsupportedError('the base stores its matrix transposed (Conv1D): DeLoRA on it is not yet supported; merge it with PEFT.', placeOf(module))
      return [{ variant: 'delora', ...change(bound), ...pair, strength: vector(module, 'deloraLambda', 1), norms: vector(module, 'deloraNorm', pair.A.cols) }]
    },
  },
  hira: {
    shape: (module) => ({ out: size(module, 'hiraB', 0), inputs: size(module, 'hiraA', 1) }),
    bind: (bound) => [{ variant: 'hira', ...change(bound), ...oriented({ B: factor(bound.module, 'hiraB'), A: factor(bound.module, 'hiraA') }, bound) }],
  },
  miss: {
    shape: (module) => ({ out: size(module, 'miss', 1), inputs: 0 }),
    bind: (bound) => {
      const block = transposed(factor(bound.module, 'miss'))
      const inputs = bound.weight.shape[1] ?? 0
      if (bound.isTransposed || inputs % block.cols !== 0)
        throw new UnsupportedError(
          `its blocks of ${block.cols} columns do not fill the base's ${quoted(bound.weight.name)} ${shapeText(bound.weight.shape)}: not yet supported; merge it with PEFT.`,
          placeOf(bound.module),
        )
      return [{ variant: 'miss', ...change(bound), value: block }]
    },
  },
  loralib: loralibBinder,
  grouped: groupedBinder,
  turned: turnedBinder,
  gguf: ggufBinder,
  tokens: { bind: bindTokens },
  whole: { bind: bindWhole },
}

/** The shape that a module's update has, for messages and to see how the base stores its matrix. */
export function updateShape(module: AdapterModule): UpdateShape | undefined {
  return isBound(module.kind) ? BINDERS[module.kind].shape?.(module) : undefined
}

/** @throws MismatchError when base and module do not fit */
export function bindModule(bound: Bound): Delta[] {
  const { kind } = bound.module
  return isBound(kind) ? BINDERS[kind].bind(bound) : []
}

function isBound(kind: ModuleKind): kind is BoundKind {
  return Object.hasOwn(BINDERS, kind)
}

/**
 * How the update of a module lies in the base.
 * @throws MismatchError when it does not fit at all
 */
export function orientation(module: AdapterModule, weight: TensorInfo): Lies {
  const lies = isBound(module.kind) ? BINDERS[module.kind].lies : undefined
  if (lies !== undefined) return lies(module, weight)
  const wanted = updateShape(module)
  if (wanted === undefined) return 'fixed'
  const { out, inputs, flattens = false, fixed = false } = wanted
  const [rows = 0, ...rest] = weight.shape
  const cols = elementCount(rest)
  const fits = (a: number, b: number): boolean => (a === 0 || a === rows) && (b === 0 || b === cols)
  if (weight.shape.length === 2 || (flattens && weight.shape.length > 2)) {
    const turns = weight.shape.length === 2 && !fixed
    if (fits(out, inputs)) return fixed || !turns ? 'fixed' : fits(inputs, out) ? 'square' : 'plain'
    if (turns && fits(inputs, out)) return 'transposed'
  }
  const factors = [...module.factors].map(([role, { shape }]) => `${role} ${shapeText(shape)}`)
  const update = module.kind === 'lora' ? 'B·A' : 'its update'
  throw new MismatchError(
    `${update} is ${shapeText([out, inputs])} (${factors.join(', ')}), but the base's ${quoted(weight.name)} is ${shapeText(weight.shape)}. Is it the base that the adapter was trained on?`,
    placeOf(module),
  )
}

function loraShape(module: AdapterModule): UpdateShape {
  const [A, B] = [tensorOf(module, 'A'), tensorOf(module, 'B')]
  const flattens = A.shape.length > 2
  return { out: B.shape[0] ?? 0, inputs: elementCount(A.shape.slice(1)), flattens }
}

function bindLora(bound: Bound): Delta[] {
  const { module, weight, bias } = bound
  const [A, B] = [tensorOf(module, 'A'), tensorOf(module, 'B')]
  const place = placeOf(module)
  if (A.shape[0] !== module.rank)
    throw new MismatchError(`has shape ${shapeText(A.shape)}, rank ${A.shape[0]}, but its config gives it rank ${module.rank}.`, { ...place, tensor: A.name })
  if (A.shape.length > 2 && A.shape.length !== weight.shape.length)
    throw new MismatchError(`has shape ${shapeText(A.shape)}, but the base's ${quoted(weight.name)} is ${shapeText(weight.shape)}.`, place)
  if (elementCount(B.shape) !== (B.shape[0] ?? 0) * module.rank)
    throw new MismatchError(`has shape ${shapeText(B.shape)}; a second factor of (out x rank) is wanted.`, { ...place, tensor: B.name })
  const pair = { B: asMatrix(B, B.shape[0] ?? 0, module.rank), A: asMatrix(A, module.rank, elementCount(A.shape.slice(1))) }
  const magnitude = module.factors.get('magnitude')
  const features = pair.B.rows
  const deltas: Delta[] = [
    magnitude === undefined
      ? { variant: 'lora', ...change(bound), ...oriented(pair, bound) }
      : dora(bound, oriented(pair, bound), magnitude, bound.isTransposed ? 'columns' : 'rows', features),
  ]
  const trained = module.factors.get('trainedBias')
  if (trained !== undefined) {
    if (bias === undefined)
      throw new MismatchError(`is a trained bias (lora_bias), but the base's ${quoted(weight.name)} has no bias to add it to.`, {
        ...place,
        tensor: trained.name,
      })
    if (!sameShape(trained.shape, bias.shape)) throw doesNotFit(trained, bias, place)
    deltas.push({ variant: 'sum', ...change(bound), rank: 0, target: bias.name, value: rowsOf(trained) })
  }
  return deltas
}

function dora(bound: Bound, pair: LowRank, magnitude: TensorInfo, along: 'rows' | 'columns', features: number): Delta {
  if (elementCount(magnitude.shape) !== features) {
    throw new MismatchError(`has shape ${shapeText(magnitude.shape)}; one magnitude for each of ${features} features is wanted.`, {
      file: magnitude.source.name,
      tensor: magnitude.name,
    })
  }
  return { variant: 'dora', ...change(bound), ...pair, magnitude, along, features }
}

function ia3Shape(module: AdapterModule): UpdateShape {
  const { rows, cols } = wholeMatrix(tensorOf(module, 'ia3'))
  return rows === 1 ? { out: 0, inputs: cols } : { out: rows, inputs: 0 }
}

/** A column scales the outputs, and with them the bias; a row scales the inputs. */
function bindIa3(bound: Bound): Delta[] {
  const { module, bias } = bound
  const given = wholeMatrix(tensorOf(module, 'ia3'))
  if (given.rows !== 1 && given.cols !== 1)
    throw new MismatchError(`has shape ${shapeText([given.rows, given.cols])} where a vector is wanted.`, placeOf(module))
  const by = bound.isTransposed ? transposed(given) : given
  const deltas: Delta[] = [{ variant: 'rescale', ...change(bound), by }]
  if (given.rows > 1 && bias !== undefined) deltas.push({ variant: 'rescale', ...change(bound), target: bias.name, by: { ...given, cols: 1 } })
  return deltas
}

/** The shared projections are as large as the largest module: each takes its part. */
function bindVera(bound: Bound): Delta[] {
  const { module, weight, isTransposed } = bound
  const [rows = 0, cols = 0] = weight.shape
  const [out, inputs] = isTransposed ? [cols, rows] : [rows, cols]
  const [A, B] = [wholeMatrix(tensorOf(module, 'veraA')), wholeMatrix(tensorOf(module, 'veraB'))]
  const given = elementCount(tensorOf(module, 'veraRowsOfA').shape)
  const rank = module.kind === 'pvera' ? given / 2 : given // pVeRA: means, then variances that only training uses
  if (A.rows < rank || A.cols < inputs || B.rows < out || B.cols < rank)
    throw new MismatchError(
      `the shared vera_A ${shapeText([A.rows, A.cols])} and vera_B ${shapeText([B.rows, B.cols])} are smaller than the base's ${quoted(weight.name)}.`,
      placeOf(module),
    )
  if (isTransposed)
    throw new UnsupportedError(
      `the base stores ${quoted(weight.name)} transposed (Conv1D): VeRA on it is not yet supported; merge it with PEFT.`,
      placeOf(module),
    )
  return [
    {
      variant: 'lora',
      ...change(bound),
      rank,
      B: { ...B, rows: out, cols: rank },
      A: { ...A, rows: rank, cols: inputs },
      rowsOfB: vector(module, 'veraRowsOfB', out),
      rowsOfA: { ...vector(module, 'veraRowsOfA', given), rows: rank },
    },
  ]
}

function bindTokens(bound: Bound): Delta[] {
  const { module, weight } = bound
  const { ids = [] } = module
  const values = tensorOf(module, 'tokens')
  const place = placeOf(module)
  const [rows = 0, cols] = weight.shape
  if (!sameShape(values.shape, [ids.length, cols ?? 0]) || weight.shape.length !== 2)
    throw new MismatchError(
      `has shape ${shapeText(values.shape)} for ${ids.length} token ids, but the base's ${quoted(weight.name)} is ${shapeText(weight.shape)}.`,
      place,
    )
  const beyond = ids.find((id) => id >= rows)
  if (beyond !== undefined) throw new MismatchError(`has a row for token ${beyond}, but the base's ${quoted(weight.name)} has ${rows} rows.`, place)
  if (new Set(ids).size !== ids.length) throw new MismatchError('has two rows for one token: which is meant cannot be told.', place)
  return [{ variant: 'tokens', ...change(bound), ids, values, keepsTie: true }]
}

/** A weight may have more rows than the base's: a vocabulary that was resized. */
function bindWhole(bound: Bound): Delta[] {
  const { module, weight, bias } = bound
  const place = placeOf(module)
  const deltas: Delta[] = []
  for (const [role, tensor] of module.factors) {
    const isBias = (role === 'bias' || role === 'baseBias') && !weight.name.endsWith('.bias')
    const target = isBias ? bias : weight
    if (target === undefined) throw new MismatchError(`replaces a bias, but the base's ${quoted(weight.name)} has none.`, { ...place, tensor: tensor.name })
    const resizes = tensor.shape.length === 2 && target.shape.length === 2 && tensor.shape[1] === target.shape[1]
    if (!sameShape(tensor.shape, target.shape) && !resizes) throw doesNotFit(tensor, target, place)
    deltas.push({ variant: 'replace', ...change(bound), target: target.name, tensor })
  }
  return deltas
}
