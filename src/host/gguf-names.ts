/** What the tensors of a base are called in GGUF, for adapters that speak so; and in Hugging Face, for all others. */
import type { GgufNames } from '../adapters/bind/bind-gguf.js'
import { waysBackwards, type Backwards } from '../architectures/backwards.js'
import { checkpointPlaces } from '../architectures/checkpoint-places.js'
import { readHparams } from '../architectures/convert.js'
import { findArchitecture } from '../architectures/registry.js'
import { isReadableType } from '../core/arithmetic.js'
import { MismatchError, UnsupportedError } from '../core/errors.js'
import { textOf } from '../core/key-value.js'
import type { GgufFacts, Model } from '../core/model.js'
import type { TensorInfo } from '../core/tensor-info.js'

/**
 * @returns undefined for a base that has neither GGUF names nor a config that tells its architecture
 * @throws UnsupportedError when its architecture is not in the table
 */
export function ggufNamesOf(base: Model): GgufNames | undefined {
  if (base.gguf !== undefined) return namesOfGguf(base, base.gguf)
  if (base.config === undefined) return undefined
  const architecture = findArchitecture(base.config, 'config.json')
  const { config } = readHparams(architecture, base.config, 'config.json', base.tensors)
  return { architecture: architecture.gguf, find: checkpointPlaces(architecture, config, base.tensors) }
}

/** They are the base's own. */
function namesOfGguf({ tensors }: Model, { keyValues }: GgufFacts): GgufNames {
  const find: GgufNames['find'] = (name) => ({ shape: tensors.get(name)?.shape, places: [{ name, lay: undefined }] })
  return { architecture: textOf(keyValues, 'general.architecture') ?? '', find }
}

/** The tensors of a GGUF for adapters that speak so. What blocks they are stored in is not the adapters' business. */
export function tensorsByGgufName({ tensors }: Model): ReadonlyMap<string, TensorInfo> {
  return new Map([...tensors].map(([name, tensor]) => [name, { ...tensor, dtype: isReadableType(tensor.dtype) ? 'F32' : tensor.dtype }]))
}

/** Tensors by their names in the checkpoint; asked for one, also by other names that the table knows. */
class CheckpointTensors extends Map<string, TensorInfo> {
  private readonly find: Backwards['find']

  constructor(base: Model, { tensors, units, find }: Backwards) {
    super([...tensors].map(([name, { tensor }]) => [name, tensor]))
    for (const [name, tensor] of tensorsByGgufName(base)) if (!units.has(name)) this.set(name, tensor) // what no row makes of others has its own name only
    this.find = find
  }

  override get(name: string): TensorInfo | undefined {
    return super.get(name) ?? this.find(name)?.tensor
  }

  override has(name: string): boolean {
    return this.get(name) !== undefined
  }
}

/**
 * Names that adapters of Hugging Face find their tensors by in a GGUF: of several ways to name them the first with which
 * `bind` does not fail.
 * @throws what `bind` throws for the first way, when it fails for all; UnsupportedError when the architecture is not in the table
 */
export function boundBackwards<T>(
  base: Model,
  { keyValues }: GgufFacts,
  bind: (known: ReadonlyMap<string, TensorInfo>, backwards: Backwards) => T,
): { readonly bound: T; readonly backwards: Backwards } {
  const failures: Error[] = []
  for (const backwards of waysBackwards(textOf(keyValues, 'general.architecture') ?? '', keyValues, base.tensors, base.label)) {
    try {
      return { bound: bind(new CheckpointTensors(base, backwards), backwards), backwards }
    } catch (error) {
      if (!(error instanceof MismatchError || error instanceof UnsupportedError)) throw error
      failures.push(error)
    }
  }
  throw failures[0] ?? new UnsupportedError('has no tensors that an adapter could change.', { file: base.label })
}
