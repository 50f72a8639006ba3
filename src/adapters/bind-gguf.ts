/**
 * Modules with GGUF names -> modules of the base, and their factors -> deltas.
 *
 * Law: llama.cpp 0c1e570 src/llama-adapter.cpp, tools/export-lora: `W += scale * (B · A)` on the tensor as the file has it. A
 * checkpoint may have its rows in another order (rope): the product is taken there.
 */
import type { Delta, LowRank } from '../core/delta.js'
import { MismatchError, quoted, UnsupportedError } from '../core/errors.js'
import { transposed } from '../core/matrix-view.js'
import { sameShape, shapeText } from '../core/shape.js'
import type { TensorInfo } from '../core/tensor-info.js'
import type { AdapterFile, AdapterModule } from './adapter-file.js'
import { change, type Binder, type Bound, type Lies } from './bound.js'
import { expertPairs, factor, placeOf, tensorOf } from './factors.js'

/** Where a tensor with a GGUF name lies in the base. */
export interface GgufPlace {
  /** Whole names that it may have, or, of all experts, the path before their numbers. */
  readonly names: readonly string[]
  readonly orders: readonly { readonly shape: readonly number[]; readonly order: readonly number[] }[]
  readonly part: string | undefined
}

/** What the host knows of the base's tensors by GGUF names. */
export interface GgufNames {
  /** `general.architecture` of the base, or what it would be. */
  readonly architecture: string
  /** @param shape  of the tensor, outermost dimension first */
  readonly find: (name: string, shape: readonly number[]) => GgufPlace | undefined
}

/**
 * The modules of a GGUF adapter by the names that the base has.
 * @throws UnsupportedError when the base does not say what its tensors are in GGUF, MismatchError for another architecture
 */
export function placedModules(file: AdapterFile, namesOf: (() => GgufNames | undefined) | undefined): readonly AdapterModule[] {
  const { ggufArchitecture, label } = file
  if (ggufArchitecture === undefined) return file.modules
  const names = namesOf?.()
  if (names === undefined)
    throw new UnsupportedError('is a GGUF adapter: to know its names in the base, the model’s folder with config.json is needed, or the base as GGUF.', {
      file: label,
    })
  if (names.architecture !== ggufArchitecture)
    throw new MismatchError(
      `the adapter is for ${quoted(ggufArchitecture)}, the base is ${quoted(names.architecture)}. Is it the base that it was trained on?`,
      {
        file: label,
      },
    )
  return file.modules.map((module) => placed(module, names))
}

function placed(module: AdapterModule, { find, architecture }: GgufNames): AdapterModule {
  const target = `${module.name}.weight`
  const place = find(target, module.kind === 'whole' ? (module.factors.get('weight')?.shape ?? []) : updateShapeOf(module))
  if (place === undefined || (module.kind === 'whole' && place.orders.length > 0))
    throw new UnsupportedError(
      `${quoted(target)} of ${architecture} is not made of whole rows of one tensor of the checkpoint: merge the adapter into the GGUF of the base, or the PEFT adapter that it was converted from into this one.`,
      placeOf(module),
    )
  const [name = '', ...aliases] = place.names.map((one) => one.replace(/\.weight$/, ''))
  if (place.part !== undefined) return { ...module, kind: 'switch', name, part: place.part }
  return { ...module, name, aliases, ggufName: module.name, rowOrders: place.orders }
}

/** Of the tensor that a module's update is for. */
function updateShapeOf(module: AdapterModule): readonly number[] {
  const [A, B] = [tensorOf(module, 'A').shape, tensorOf(module, 'B').shape]
  if (isTokenEmbedding(module)) return [A[0] ?? 0, B[0] ?? 0]
  return [...B.slice(0, -1), A.at(-1) ?? 0]
}

function isTokenEmbedding({ name, ggufName }: AdapterModule): boolean {
  return (ggufName ?? name) === 'token_embd'
}

/** The factors of a matrix as (rows x rank) and (rank x columns) of it. */
function pairOf(module: AdapterModule): LowRank & { readonly turned?: true } {
  const [A, B] = [factor(module, 'A'), factor(module, 'B')]
  return isTokenEmbedding(module) ? { B: A, A: transposed(B), turned: true } : { B, A }
}

export const ggufBinder: Binder = { lies: ggufLies, bind: bindGguf }

/** llama.cpp has all matrices (out x in); a checkpoint may not. */
function ggufLies(module: AdapterModule, weight: TensorInfo): Lies {
  const wanted = updateShapeOf(module)
  if (sameShape(weight.shape, wanted)) return 'fixed'
  throw new MismatchError(
    `its update is ${shapeText(wanted)}, but the base's ${quoted(weight.name)} is ${shapeText(weight.shape)}. Is it the base that the adapter was trained on?`,
    placeOf(module),
  )
}

function bindGguf(bound: Bound): Delta[] {
  const { module } = bound
  const [A, B] = [tensorOf(module, 'A'), tensorOf(module, 'B')]
  if (A.shape.length === 3) return [{ variant: 'experts', ...change(bound), parts: expertPairs(A, B) }]
  const { rowOrders = [] } = module
  return [{ variant: 'lora', ...change(bound), ...pairOf(module), ...(rowOrders.length === 0 ? {} : { rowOrders }) }]
}
