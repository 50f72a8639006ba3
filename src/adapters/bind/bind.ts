/**
 * One module of an adapter and the tensor of the base that it is of -> deltas, factors turned the way the base stores its
 * matrices. One row per kind of module; each says what shape its update has, which decides whether the base fits.
 */
import { MismatchError, quoted } from '../../core/errors.js'
import type { Delta } from '../../core/delta.js'
import { elementCount, shapeText } from '../../core/shape.js'
import type { TensorInfo } from '../../core/tensor-info.js'
import type { AdapterModule, DiffusionKind, ModuleKind } from '../adapter-file.js'
import { adalora, delora, embedding, gralora, hira, lora, randlora, tinylora, vblora, vera } from './bind-low-rank.js'
import { deft, glora, loha, lokr, miss, peanut } from './bind-products.js'
import { boft, hra, ia3, oft, road } from './bind-rotations.js'
import { beft, c3a, sparse, tokens, whole } from './bind-values.js'
import { groupedBinder, loralibBinder } from './bind-fused.js'
import { ggufBinder } from './bind-gguf.js'
import { turnedBinder } from './bind-turned.js'
import type { Binder, Bound, Lies } from './bound.js'
import { placeOf } from './factors.js'

/** Kinds that are bound here: modules of pipelines and of stacked experts are not. */
type BoundKind = Exclude<ModuleKind, DiffusionKind | 'switch'>

const BINDERS: { readonly [K in BoundKind]: Binder } = {
  ...{ lora, embedding, adalora, vera, pvera: vera, hira, delora, gralora, randlora, vblora, tinylora },
  ...{ loha, lokr, miss, glora, deft, peanut },
  ...{ ia3, oft, boft, hra, road },
  ...{ sparse, c3a, beft, tokens, whole },
  ...{ loralib: loralibBinder, grouped: groupedBinder, turned: turnedBinder, gguf: ggufBinder },
}

/** @throws MismatchError when base and module do not fit */
export function bindModule(bound: Bound): Delta[] {
  const { kind } = bound.module
  return isBound(kind) ? BINDERS[kind].bind(bound) : []
}

const UNBOUND: Partial<Binder> = {}

function isBound(kind: ModuleKind): kind is BoundKind {
  return Object.hasOwn(BINDERS, kind)
}

/** Whether the shape of a module's own factors says how its update lies, not the base's alone. */
export function isCertain(module: AdapterModule): boolean {
  const { lies, shape } = isBound(module.kind) ? BINDERS[module.kind] : UNBOUND
  const { out = 0, inputs = 0 } = shape?.(module) ?? {}
  return lies !== undefined || (out > 0 && inputs > 0)
}

/**
 * How the update of a module lies in the base.
 * @throws MismatchError when it does not fit at all
 */
export function orientation(module: AdapterModule, weight: TensorInfo): Lies {
  const { lies, shape } = isBound(module.kind) ? BINDERS[module.kind] : UNBOUND
  if (lies !== undefined) return lies(module, weight)
  const wanted = shape?.(module)
  if (wanted === undefined) return 'fixed'
  const { out, inputs, flattens = false, fixed = false } = wanted
  const [rows = 0, ...rest] = weight.shape
  const cols = elementCount(rest)
  const fits = (a: number, b: number): boolean => (a === 0 || a === rows) && (b === 0 || b === cols)
  if (weight.shape.length === 2 || (flattens && weight.shape.length > 2)) {
    const turns = weight.shape.length === 2 && !fixed
    if (fits(out, inputs)) return !turns ? 'fixed' : fits(inputs, out) ? 'square' : 'plain'
    if (turns && fits(inputs, out)) return 'transposed'
  }
  const factors = [...module.factors].map(([role, { shape }]) => `${role} ${shapeText(shape)}`)
  const update = module.kind === 'lora' ? 'B·A' : 'its update'
  throw new MismatchError(
    `${update} is ${shapeText([out, inputs])} (${factors.join(', ')}), but the base's ${quoted(weight.name)} is ${shapeText(weight.shape)}. Is it the base that the adapter was trained on?`,
    placeOf(module),
  )
}
