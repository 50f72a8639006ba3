/**
 * Modules whose update is made of low-rank products, bound: LoRA and its kin.
 *
 * Law: PEFT 0.21.2 tuners/{lora,adalora,vera,pvera,delora,hira,gralora,randlora,vblora,tinylora}/layer.py `get_delta_weight`.
 */
import { MismatchError, quoted } from '../../core/errors.js'
import type { Delta } from '../../core/delta.js'
import type { LowRank } from '../../core/factor.js'
import type { MixtureChoice } from '../../core/adapter-nodes.js'
import { asMatrix, rowsOf, transposed, wholeMatrix, type MatrixView } from '../../core/matrix-view.js'
import { elementCount, sameShape, shapeText } from '../../core/shape.js'
import { placeOfTensor, type TensorInfo } from '../../core/tensor-info.js'
import type { AdapterModule } from '../adapter-file.js'
import { asMatrixOf, change, oriented, sidesOf, wholePieces, type Binder, type Bound, type UpdateShape } from './bound.js'
import { doesNotFit, dimensions, factor, length, pairOf, placeOf, size, sized, tensorOf, vector } from './factors.js'

export const lora: Binder = { shape: loraShape, bind: bindLora }

export const embedding: Binder = {
  shape: (module) => ({ out: size(module, 'embeddingA', 1), inputs: size(module, 'embeddingB', 0), fixed: true }),
  bind: (bound) => {
    const { module } = bound
    const pair = { B: transposed(factor(module, 'embeddingA')), A: transposed(factor(module, 'embeddingB')) }
    const magnitude = module.factors.get('magnitude')
    return [magnitude === undefined ? { variant: 'lora', ...change(bound), ...pair, turned: true } : dora(bound, pair, magnitude, 'columns', pair.A.cols)]
  },
}

export const adalora: Binder = {
  shape: (module) => ({ out: size(module, 'bareB', 0), inputs: size(module, 'bareA', 1), flattens: true }),
  bind: (bound) => {
    const pair = pairOf(bound.module, 'bareB', 'bareA')
    return [{ variant: 'lora', ...change(bound), ...oriented(pair, bound), rowsOfA: vector(bound.module, 'bareE', pair.A.rows) }]
  },
}

/** An embedding has one column of A for each token: its update lies as the vocabulary does. */
export const hira: Binder = {
  shape: (module) =>
    module.factors.has('hiraEmbeddingA')
      ? { out: size(module, 'hiraEmbeddingA', 1), inputs: size(module, 'hiraEmbeddingB', 0), fixed: true }
      : { out: size(module, 'hiraB', 0), inputs: elementCount(tensorOf(module, 'hiraA').shape.slice(1)), flattens: true },
  bind: (bound) => {
    const { module } = bound
    if (module.factors.has('hiraEmbeddingA')) {
      const pair = { B: transposed(factor(module, 'hiraEmbeddingA')), A: transposed(factor(module, 'hiraEmbeddingB')) }
      return [{ variant: 'hira', ...change(bound), ...pair }]
    }
    const pair = kernelPair(bound, tensorOf(module, 'hiraA'), tensorOf(module, 'hiraB'))
    return [{ variant: 'hira', ...change(bound), ...oriented(pair, bound), ...(bound.isTransposed ? {} : asMatrixOf(bound)) }]
  },
}

export const delora: Binder = {
  shape: (module) => ({ out: size(module, 'deloraB', 0), inputs: size(module, 'deloraA', 1), fixed: true }),
  bind: (bound) => {
    const { module } = bound
    const pair = pairOf(module, 'deloraB', 'deloraA')
    return [{ variant: 'delora', ...change(bound), ...pair, strength: vector(module, 'deloraLambda', 1), norms: vector(module, 'deloraNorm', pair.A.cols) }]
  },
}

/** VeRA and pVeRA: the shared projections are as large as the largest module, each takes its part. */
export const vera: Binder = {
  shape: (module) => ({ out: length(module, 'veraRowsOfB'), inputs: 0 }),
  bind: (bound) => {
    const { module } = bound
    const { out, inputs } = sidesOf(bound)
    const given = length(module, 'veraRowsOfA')
    const rank = module.kind === 'pvera' ? given / 2 : given // pVeRA: means, then variances that only training uses
    const [A, B] = [part(bound, 'veraA', rank, inputs), part(bound, 'veraB', out, rank)]
    const rowsOfA = { ...vector(module, 'veraRowsOfA', given), rows: rank }
    return [{ variant: 'lora', ...change(bound), rank, B, A, rowsOfB: vector(module, 'veraRowsOfB', out), rowsOfA, ...turnedOnly(bound) }]
  },
}

export const randlora: Binder = {
  shape: () => ({ out: 0, inputs: 0 }),
  bind: (bound) => {
    const { module } = bound
    const { out, inputs } = sidesOf(bound)
    const [longer, shorter] = [Math.max(out, inputs), Math.min(out, inputs)]
    const bases = size(module, 'randGamma', 0)
    if (bases !== Math.ceil(shorter / module.rank))
      throw new MismatchError(
        `has ${bases} bases; ${Math.ceil(shorter / module.rank)} are wanted for the base's ${quoted(bound.weight.name)}.`,
        placeOf(module),
      )
    const lambda = sized(module, 'randLambda', module.rank, bases)
    const gamma = sized(module, 'randGamma', bases, shorter)
    const [ranks = 0, , width = 0] = dimensions(module, 'randA', 3)
    const [height = 0, allBases = 0, ranksOfB = 0] = dimensions(module, 'randB', 3)
    if (ranks < module.rank || width < shorter || height < longer || allBases < bases || ranksOfB !== module.rank || size(module, 'randA', 1) !== 1)
      throw tooSmall(bound, 'randA', 'randB')
    const A = { tensor: tensorOf(module, 'randA'), rows: module.rank, cols: shorter, offset: 0, rowStride: width, colStride: 1 }
    const B = { tensor: tensorOf(module, 'randB'), rows: longer, cols: bases * module.rank, offset: 0, rowStride: allBases * ranksOfB, colStride: 1 }
    // as PEFT decides: the scaled bases are those of the shorter side, which are the inputs when both are as long
    return [{ variant: 'randlora', ...change(bound), B, A, lambda, gamma, turned: shorter !== inputs, ...turnedOnly(bound) }]
  },
}

export const vblora: Binder = {
  shape: (module) => {
    const { A, B } = pieces(module)
    const vectorLength = size(module, 'vbBank', 1)
    return { out: B * vectorLength, inputs: A * vectorLength }
  },
  bind: (bound) => {
    const { module } = bound
    const bank = factor(module, 'vbBank')
    const choice = (side: 'A' | 'B'): MixtureChoice => mixtureChoice(module, side, bank)
    return [{ variant: 'vblora', ...change(bound), bank, A: choice('A'), B: choice('B'), pieces: pieces(module), ...turnedOnly(bound) }]
  },
}

function pieces(module: AdapterModule): { A: number; B: number } {
  const stored = module.factors.has('vbLogitsA')
  return { A: size(module, stored ? 'vbLogitsA' : 'vbIdsA', 1), B: size(module, stored ? 'vbLogitsB' : 'vbIdsB', 0) }
}

function mixtureChoice(module: AdapterModule, side: 'A' | 'B', bank: MatrixView): MixtureChoice {
  const top = module.options?.get('topk')
  if (module.factors.has('vbLogitsA')) {
    const logits = tensorOf(module, `vbLogits${side}`)
    const choices = dimensions(module, `vbLogits${side}`, 3)[2] ?? 0
    if (choices !== bank.rows || typeof top !== 'number' || top > choices)
      throw new MismatchError(`chooses ${top} of ${choices} vectors, but the bank has ${bank.rows}.`, placeOfTensor(logits))
    return { by: 'logits', logits, top }
  }
  const [ids, weights] = [tensorOf(module, `vbIds${side}`), tensorOf(module, `vbWeights${side}`)]
  const [first = 0, second = 0, third = 0] = dimensions(module, `vbIds${side}`, 3)
  if (!sameShape(weights.shape, [first, second, third - 1]))
    throw new MismatchError(
      `has shape ${shapeText(weights.shape)}; one weight less than ids, ${shapeText([first, second, third - 1])}, is wanted.`,
      placeOf(module),
    )
  return { by: 'weights', weights, ids }
}

/** Blocks on a grid of k by k: block (i, j) takes part j of B's ranks and part i of A's. */
export const gralora: Binder = {
  shape: (module) => ({
    out: size(module, 'graB', 0) * size(module, 'graB', 2),
    inputs: size(module, 'graA', 0) * size(module, 'graA', 1),
  }),
  bind: (bound) => {
    const { module } = bound
    const [k = 0, height = 0, ranks = 0] = dimensions(module, 'graA', 3)
    const [, ranksOfB = 0, width = 0] = dimensions(module, 'graB', 3)
    const own = ranks / k
    if (size(module, 'graB', 0) !== k || ranksOfB !== ranks || !Number.isInteger(own))
      throw new MismatchError(`its factors are of ${k} and ${size(module, 'graB', 0)} blocks with ${ranks} and ${ranksOfB} ranks.`, placeOf(module))
    const [A, B] = [tensorOf(module, 'graA'), tensorOf(module, 'graB')]
    const block = (i: number, j: number): LowRank => ({
      B: { tensor: B, rows: width, cols: own, offset: (i * ranks + j * own) * width, rowStride: 1, colStride: width },
      A: { tensor: A, rows: own, cols: height, offset: j * height * ranks + i * own, rowStride: 1, colStride: ranks },
    })
    const indices = Array.from({ length: k }, (_, i) => i)
    const deltas: Delta[] = [{ variant: 'grid', ...change(bound), blocks: indices.map((i) => indices.map((j) => block(i, j))), ...turnedOnly(bound) }]
    if (module.factors.has('graGeneralA')) {
      const pair = pairOf(module, 'graGeneralB', 'graGeneralA')
      deltas.push({ variant: 'lora', ...change(bound), rank: pair.A.rows, ...oriented(pair, bound) })
    }
    return deltas
  },
}

export const tinylora: Binder = {
  shape: (module) => ({ out: size(module, 'tinyB', 0), inputs: size(module, 'tinyA', 1) }),
  bind: (bound) => {
    const { module } = bound
    const pair = pairOf(module, 'tinyB', 'tinyA')
    const rank = pair.A.rows
    const count = length(module, 'tinyV.0')
    const P = tensorOf(module, 'tinyP')
    if (!sameShape(P.shape, [count, rank, rank]))
      throw new MismatchError(`has shape ${shapeText(P.shape)}; ${shapeText([count, rank, rank])} is wanted.`, placeOfTensor(P))
    const v = asMatrix(tensorOf(module, 'tinyV.0'), 1, count)
    return [{ variant: 'tinylora', ...change(bound), rank, ...pair, v, P: asMatrix(P, count, rank * rank), ...turnedOnly(bound) }]
  },
}

function loraShape(module: AdapterModule): UpdateShape {
  const [A, B] = [tensorOf(module, 'A'), tensorOf(module, 'B')]
  const isBlockwise = module.options?.has('nblocks') === true // then A may hold blocks of a diagonal: bindLora looks
  return { out: B.shape[0] ?? 0, inputs: isBlockwise ? 0 : elementCount(A.shape.slice(1)), flattens: A.shape.length > 2 }
}

function bindLora(bound: Bound): Delta[] {
  const { module } = bound
  const deltas: Delta[] = module.options?.has('nblocks') === true ? bindBlocks(bound) : bindPair(bound)
  const trained = module.factors.get('trainedBias')
  if (trained !== undefined) deltas.push(trainedBias(bound, trained))
  return deltas
}

function bindPair(bound: Bound): Delta[] {
  const { module } = bound
  const pair = kernelPair(bound, tensorOf(module, 'A'), tensorOf(module, 'B'))
  const magnitude = module.factors.get('magnitude')
  if (magnitude !== undefined) return [dora(bound, oriented(pair, bound), magnitude, bound.isTransposed ? 'columns' : 'rows', pair.B.rows)]
  if (!module.factors.has('diagonal')) return [{ variant: 'lora', ...change(bound), ...oriented(pair, bound) }]
  const { out, inputs } = sidesOf(bound)
  if (module.rank >= Math.min(out, inputs) || bound.isTransposed || bound.weight.shape.length !== 2)
    throw new MismatchError(
      `drops ${module.rank} singular components of the base's ${quoted(bound.weight.name)} ${shapeText(bound.weight.shape)}.`,
      placeOf(module),
    )
  return [
    { variant: 'truncate', ...change(bound), scale: 1 },
    { variant: 'lora', ...change(bound), ...pair, rowsOfA: vector(module, 'diagonal', module.rank) },
  ]
}

/** BD-LoRA: one factor is block-diagonal, and stored without the zeros: its shape says which. */
function bindBlocks(bound: Bound): Delta[] {
  const { module } = bound
  const count = Number(module.options?.get('nblocks'))
  const [A, B] = [factor(module, 'A'), factor(module, 'B')]
  const { inputs } = sidesOf(bound)
  const blocks = Array.from({ length: count }, (_, i) => i)
  if (B.cols === A.rows && A.cols === inputs) return [{ variant: 'lora', ...change(bound), ...oriented({ B, A }, bound) }]
  wholePieces(bound, 'blocks of ranks', A.rows / count, A.rows)
  if (B.cols * count === A.rows && A.cols === inputs) {
    wholePieces(bound, 'blocks of rows', B.rows / count, B.rows)
    const rows = blocks.map((i): readonly LowRank[] => [{ B: blockOfRows(B, i, count), A: blockOfRows(A, i, count) }])
    return [{ variant: 'grid', ...change(bound), blocks: rows, ...turnedOnly(bound) }]
  }
  if (B.cols === A.rows && A.cols * count === inputs) {
    const row = blocks.map((i): LowRank => ({ B: { ...B, cols: B.cols / count, offset: (i * B.cols) / count }, A: blockOfRows(A, i, count) }))
    return [{ variant: 'grid', ...change(bound), blocks: [row], ...turnedOnly(bound) }]
  }
  throw new MismatchError(
    `its factors ${shapeText([B.rows, B.cols])} and ${shapeText([A.rows, A.cols])} in ${count} blocks do not fit the base's ${quoted(bound.weight.name)} ${shapeText(bound.weight.shape)}.`,
    placeOf(module),
  )
}

/** Rows of block i of `count`. */
function blockOfRows(view: MatrixView, i: number, count: number): MatrixView {
  const rows = view.rows / count
  return { ...view, rows, offset: view.offset + i * rows * view.rowStride }
}

/** Factors that may be kernels of convolutions, as matrices. */
function kernelPair({ module, weight }: Bound, A: TensorInfo, B: TensorInfo): LowRank {
  const place = placeOf(module)
  if (A.shape[0] !== module.rank)
    throw new MismatchError(`has shape ${shapeText(A.shape)}, rank ${A.shape[0]}, but its config gives it rank ${module.rank}.`, { ...place, tensor: A.name })
  if (A.shape.length > 2 && A.shape.length !== weight.shape.length)
    throw new MismatchError(`has shape ${shapeText(A.shape)}, but the base's ${quoted(weight.name)} is ${shapeText(weight.shape)}.`, place)
  if (elementCount(B.shape) !== (B.shape[0] ?? 0) * module.rank)
    throw new MismatchError(`has shape ${shapeText(B.shape)}; a second factor of (out x rank) is wanted.`, { ...place, tensor: B.name })
  return { B: asMatrix(B, B.shape[0] ?? 0, module.rank), A: asMatrix(A, module.rank, elementCount(A.shape.slice(1))) }
}

function trainedBias(bound: Bound, trained: TensorInfo): Delta {
  const { module, weight, bias } = bound
  const place = placeOf(module)
  if (bias === undefined)
    throw new MismatchError(`is a trained bias (lora_bias), but the base's ${quoted(weight.name)} has no bias to add it to.`, {
      ...place,
      tensor: trained.name,
    })
  if (!sameShape(trained.shape, bias.shape)) throw doesNotFit(trained, bias)
  return { variant: 'sum', ...change(bound), rank: 0, target: bias.name, value: rowsOf(trained) }
}

function dora(bound: Bound, pair: LowRank, magnitude: TensorInfo, along: 'rows' | 'columns', features: number): Delta {
  if (elementCount(magnitude.shape) !== features) {
    throw new MismatchError(`has shape ${shapeText(magnitude.shape)}; one magnitude for each of ${features} features is wanted.`, placeOfTensor(magnitude))
  }
  return { variant: 'dora', ...change(bound), ...pair, magnitude, along, features }
}

/** Of a shared matrix the rows and columns that a module takes. */
function part(bound: Bound, role: 'veraA' | 'veraB', rows: number, cols: number): MatrixView {
  const whole = wholeMatrix(tensorOf(bound.module, role))
  if (whole.rows < rows || whole.cols < cols) throw tooSmall(bound, 'veraA', 'veraB')
  return { ...whole, rows, cols }
}

function tooSmall({ module, weight }: Bound, ...roles: readonly ('veraA' | 'veraB' | 'randA' | 'randB')[]): MismatchError {
  const shapes = roles.map((role) => `${quoted(tensorOf(module, role).name)} ${shapeText(tensorOf(module, role).shape)}`)
  return new MismatchError(`the shared ${shapes.join(' and ')} do not fit the base's ${quoted(weight.name)} ${shapeText(weight.shape)}.`, placeOf(module))
}

/** The formula is for (out x inputs); Conv1D has it transposed. */
function turnedOnly(bound: Bound): Pick<Delta, 'seenAs'> {
  return bound.isTransposed ? asMatrixOf(bound) : {}
}
