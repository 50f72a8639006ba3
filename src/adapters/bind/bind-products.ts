/**
 * Modules whose update is an elementwise, Kronecker or repeated product, or made of the base itself, bound.
 *
 * Law: PEFT 0.21.2 tuners/{loha,lokr,miss,glora,deft,peanut}/layer.py.
 */
import { MismatchError, quoted, UnsupportedError } from '../../core/errors.js'
import type { Delta } from '../../core/delta.js'
import type { Factor } from '../../core/factor.js'
import { ACTIVATIONS, type Activation } from '../../core/activations.js'
import { matricesIn, asMatrix, transposed, type MatrixView } from '../../core/matrix-view.js'
import { elementCount, shapeText } from '../../core/shape.js'
import type { AdapterModule } from '../adapter-file.js'
import { asMatrixOf, biasChange, change, sidesOf, wholePieces, type Binder, type Bound } from './bound.js'
import { colCount, countOption, factor, flagOption, length, pairOf, placeOf, rowCount, size, sized, storedFactor, tensorOf } from './factors.js'
import type { FactorRole } from '../key-suffixes.js'

const HADA_1 = { a: 'hada1A', b: 'hada1B', core: 'hada1Core' } as const
const HADA_2 = { a: 'hada2A', b: 'hada2B', core: 'hada2Core' } as const
const LOKR_1 = { whole: 'lokr1', a: 'lokr1A', b: 'lokr1B' } as const
const LOKR_2 = { whole: 'lokr2', a: 'lokr2A', b: 'lokr2B', core: 'lokr2Core' } as const

export const loha: Binder = {
  shape: (module) => {
    const left = storedFactor(module, HADA_1)
    return { out: rowCount(left), inputs: colCount(left), flattens: true, fixed: true }
  },
  bind: (bound) => {
    const [left, right] = [storedFactor(bound.module, HADA_1), storedFactor(bound.module, HADA_2)]
    if (rowCount(left) !== rowCount(right) || colCount(left) !== colCount(right))
      throw new MismatchError(
        `its products are ${shapeText([rowCount(left), colCount(left)])} and ${shapeText([rowCount(right), colCount(right)])}.`,
        placeOf(bound.module),
      )
    return [{ variant: 'loha', ...change(bound), left, right }]
  },
}

export const lokr: Binder = {
  shape: (module) => {
    const [left, right] = [storedFactor(module, LOKR_1), storedFactor(module, LOKR_2)]
    return { out: rowCount(left) * rowCount(right), inputs: colCount(left) * colCount(right), flattens: true, fixed: true }
  },
  bind: (bound) => [{ variant: 'lokr', ...change(bound), left: storedFactor(bound.module, LOKR_1), right: rightFactors(bound.module) }],
}

/**
 * A whole second factor of three dimensions (Conv1d) is multiplied by torch.kron as a stack of matrices, in training too:
 * the blocks of its first dimension lie one under the other.
 */
function rightFactors(module: AdapterModule): readonly Factor[] {
  const whole = module.factors.get('lokr2')
  if (whole?.shape.length !== 3) return [storedFactor(module, LOKR_2)]
  const [count = 0, rows = 0, cols = 0] = whole.shape
  return matricesIn(whole, count, rows, cols)
}

/** A block holds for every group of columns; "mini" repeats it along the rows too; "bat" has one for each group of rows, and turns the base with it. */
export const miss: Binder = {
  shape: (module) => {
    const { shape } = tensorOf(module, 'miss')
    const mode = module.options?.get('init_weights')
    return { out: mode === 'mini' ? 0 : mode === 'bat' ? (shape[0] ?? 0) * (shape[1] ?? 0) : (shape[1] ?? 0), inputs: 0, fixed: true }
  },
  bind: (bound) => {
    const { module } = bound
    const { out, inputs } = sidesOf(bound)
    if (module.options?.get('init_weights') === 'bat') return [bat(bound, out, inputs)]
    const value = transposed(factor(module, 'miss'))
    wholePieces(bound, 'blocks', value.rows, out)
    return [{ variant: 'miss', ...change(bound), value }]
  },
}

function bat(bound: Bound, out: number, inputs: number): Delta {
  const tensor = tensorOf(bound.module, 'miss')
  const [count = 0, rows = 0, cols = 0] = tensor.shape
  if (tensor.shape.length !== 3 || rows !== cols || count * rows !== out)
    throw new MismatchError(
      `has shape ${shapeText(tensor.shape)}; square blocks that fill ${out} rows are wanted ("init_weights" is "bat").`,
      placeOf(bound.module),
    )
  wholePieces(bound, 'blocks', cols, inputs)
  return { variant: 'bat', ...change(bound), blocks: matricesIn(tensor, count, rows, cols) }
}

/** Paths that are products, columns or single values; those of the bias take the weight in. */
export const glora: Binder = {
  shape: (module) => {
    const product = ['A', 'B'].find((path) => module.factors.has(`glora${path as 'A' | 'B'}d`)) as 'A' | 'B' | undefined
    if (product !== undefined) return { out: size(module, `glora${product}d`, 0), inputs: size(module, `glora${product}u`, 1), fixed: true }
    const column = (['gloraA', 'gloraB'] as const).find((role) => module.factors.has(role))
    const rows = column === undefined ? 0 : length(module, column)
    return { out: rows > 1 ? rows : 0, inputs: 0, fixed: true }
  },
  bind: (bound) => {
    const { module, weight, bias } = bound
    const { out, inputs } = sidesOf(bound)
    const [times, plus] = [path(bound, 'A', out), path(bound, 'B', out)]
    const deltas: Delta[] = times === undefined && plus === undefined ? [] : [{ variant: 'glora', ...change(bound), times, plus }]
    const [by, ofBias, plusBias] = [path(bound, 'C', inputs), path(bound, 'D', out), path(bound, 'E', out)]
    if (by === undefined && ofBias === undefined && plusBias === undefined) return deltas
    if (bias === undefined) throw new MismatchError(`trains a bias, but the base's ${quoted(weight.name)} has none.`, placeOf(module))
    const product = by === undefined ? {} : { product: { weight: weight.name, by } }
    return [...deltas, { variant: 'glora', ...biasChange(bound, bias), times: ofBias, plus: plusBias, ...product }]
  },
}

/** What one path says: a product, a column with one value per row, or one value. */
function path({ module }: Bound, name: 'A' | 'B' | 'C' | 'D' | 'E', rows: number): Factor | undefined {
  if (name !== 'D' && name !== 'E' && (module.factors.has(`glora${name}d`) || module.factors.has(`glora${name}u`))) {
    const pair = pairOf(module, `glora${name}d`, `glora${name}u`)
    if (pair.B.rows !== rows) throw new MismatchError(`its path ${name} has ${pair.B.rows} rows; ${rows} are wanted.`, placeOf(module))
    return pair
  }
  const tensor = module.factors.get(`glora${name}`)
  if (tensor === undefined) return undefined
  const count = elementCount(tensor.shape)
  if (count !== rows && count !== 1) throw new MismatchError(`its path ${name} has ${count} values; ${rows} are wanted.`, placeOf(module))
  return asMatrix(tensor, count, 1)
}

export const deft: Binder = {
  shape: (module) => ({ out: size(module, 'deftP', 0), inputs: module.factors.has('deftR') ? size(module, 'deftR', 1) : 0 }),
  bind: (bound) => {
    const { module } = bound
    const { out, inputs } = sidesOf(bound)
    const rank = size(module, 'deftP', 1)
    const P = sized(module, 'deftP', out, rank)
    const removesOnly = flagOption(module, 'para')
    if (removesOnly === module.factors.has('deftR'))
      throw new MismatchError(`"para" is ${removesOnly}, but the file ${removesOnly ? 'holds' : 'lacks'} a deft_R for it.`, placeOf(module))
    const R = removesOnly ? undefined : sized(module, 'deftR', rank, inputs)
    const alpha = module.options?.get('alpha')
    const injection = typeof alpha === 'number' && alpha !== 0 ? alpha / rank : 1
    const basis = module.options?.get('decomposition_method') === 'qr' ? 'qr' : 'relu'
    return [{ variant: 'deft', ...change(bound), rank, P, R, injection, basis, ...(bound.isTransposed ? asMatrixOf(bound) : {}) }]
  },
}

export const peanut: Binder = {
  shape: (module) => ({ out: size(module, 'peanutB', 0), inputs: 0, fixed: true }),
  bind: (bound) => {
    const { module } = bound
    const { out } = sidesOf(bound)
    const layers = (role: 'encoder' | 'decoder'): MatrixView[] =>
      Array.from({ length: countOption(module, 'depth') }, (_, i) => sized(module, `${role}.${i}` satisfies FactorRole, module.rank, module.rank))
    const [encoders, decoders] = [layers('encoder'), layers('decoder')]
    const surplus = [...module.factors.keys()].filter((role) => /^(?:en|de)coder\./.test(role)).length - encoders.length - decoders.length
    if (surplus > 0) throw new MismatchError(`has more layers than "depth" ${encoders.length} says.`, placeOf(module))
    const scale = countOption(module, 'scaling')
    const [B, A] = [sized(module, 'peanutB', out, module.rank), sized(module, 'peanutA', module.rank, out)]
    return [{ variant: 'peanut', ...change(bound), scale, B, A, encoders, decoders, activation: activationOf(module) }]
  },
}

function activationOf(module: AdapterModule): Activation {
  const name = module.options?.get('act_fn')
  const known = ACTIVATIONS.find((one) => one === name)
  if (known === undefined) throw new UnsupportedError(`its activation ${quoted(String(name))} is not known here.`, placeOf(module))
  return known
}
