/**
 * Modules with GGUF names -> modules of the base, and their factors -> deltas.
 *
 * Law: llama.cpp 0c1e570 src/llama-adapter.cpp, tools/export-lora: `W += scale * (B · A)` on the tensor as the file has it. A
 * checkpoint may have it in another order, as a part of a tensor, or as several: the product is taken there.
 */
import type { Delta, ExpertsDelta, LoraDelta, LowRank } from '../../core/delta.js'
import { MismatchError, quoted, UnsupportedError } from '../../core/errors.js'
import { transposed } from '../../core/matrix-view.js'
import type { RowProgram } from '../../core/row-program.js'
import { sameShape, shapeText } from '../../core/shape.js'
import type { TensorInfo } from '../../core/tensor-info.js'
import type { AdapterFile, AdapterModule } from '../adapter-file.js'
import type { BoundParameter } from './bind-experts.js'
import { change, type Binder, type Bound, type Lies } from './bound.js'
import { expertPairs, factor, placeOf, tensorOf } from './factors.js'

/** A tensor of the base that a tensor with a GGUF name is, or is made of, or is a part of. */
export interface GgufPlace {
  readonly name: string
  /** Takes what is added to the one with the GGUF name to what is added to this one; undefined where they are the same. */
  readonly lay: ((program: RowProgram) => RowProgram) | undefined
}

/** What the host knows of the base's tensors by GGUF names. */
export interface GgufNames {
  /** `general.architecture` of the base, or what it would be. */
  readonly architecture: string
  /**
   * A tensor's shape (outermost dimension first; not known where the base lacks it), and where it lies in the base: nowhere
   * when it holds other values. Undefined for names that no row has.
   */
  readonly find: (name: string) => { readonly shape: readonly number[] | undefined; readonly places: readonly GgufPlace[] } | undefined
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
  const found = find(target)
  if (found === undefined)
    throw new UnsupportedError(
      `${quoted(target)} of ${architecture} is made of nothing that the base has. Is it the base that the adapter was trained on?`,
      placeOf(module),
    )
  const [first, ...others] = found.places
  if (first?.lay === undefined && first !== undefined && others.length === 0) {
    return { ...module, name: first.name.replace(/\.weight$/, ''), ggufName: module.name }
  }
  if (first === undefined || module.kind === 'whole')
    throw new UnsupportedError(
      `${quoted(target)} of ${architecture} has other values than the checkpoint, or is several of its tensors: merge the adapter into the GGUF of the base, or the PEFT adapter that it was converted from into this one.`,
      placeOf(module),
    )
  const wanted = updateShapeOf(module)
  const { shape = [] } = found
  if (!sameShape(shape, wanted)) throw doesNotFit(module, wanted, target, shape)
  return { ...module, ggufPlaces: found.places }
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
  throw doesNotFit(module, wanted, weight.name, weight.shape)
}

function doesNotFit(module: AdapterModule, wanted: readonly number[], name: string, shape: readonly number[]): MismatchError {
  return new MismatchError(
    `its update is ${shapeText(wanted)}, but the base's ${quoted(name)} is ${shapeText(shape)}. Is it the base that the adapter was trained on?`,
    placeOf(module),
  )
}

function bindGguf(bound: Bound): Delta[] {
  return [{ ...change(bound), ...updateOf(bound.module) }]
}

/**
 * The deltas of a module that lies elsewhere than in one tensor of its own.
 * @returns undefined for any other module
 */
export function bindPlaces(module: AdapterModule): BoundParameter | undefined {
  const { ggufPlaces, name, rank, scale } = module
  if (ggufPlaces === undefined) return undefined
  const update = updateOf(module)
  const deltas = ggufPlaces.map(({ name: target, lay }): Delta => ({ ...update, module: name, rank, scale, target, ...(lay === undefined ? {} : { lay }) }))
  return { deltas, assumesPacking: false }
}

function updateOf(module: AdapterModule): Pick<LoraDelta, 'variant' | 'A' | 'B'> | Pick<ExpertsDelta, 'variant' | 'parts'> {
  const [A, B] = [tensorOf(module, 'A'), tensorOf(module, 'B')]
  return A.shape.length === 3 ? { variant: 'experts', parts: expertPairs(A, B) } : { variant: 'lora', ...pairOf(module) }
}
