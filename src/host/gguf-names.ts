/** What the tensors of a base are called in GGUF, for adapters that speak so. */
import type { GgufNames } from '../adapters/bind-gguf.js'
import { knownBackwards } from '../architectures/backwards.js'
import { checkpointPlaces, ordersOf } from '../architectures/checkpoint-places.js'
import { readHparams } from '../architectures/convert.js'
import { findArchitecture } from '../architectures/registry.js'
import { textOf } from '../core/key-value.js'
import type { GgufFacts, Model } from '../core/model.js'

/**
 * @returns undefined for a base that has neither GGUF names nor a config that tells its architecture
 * @throws UnsupportedError when its architecture is not in the table
 */
export function ggufNamesOf(base: Model): GgufNames | undefined {
  if (base.gguf !== undefined) return namesOfGguf(base, base.gguf)
  if (base.config === undefined) return undefined
  const architecture = findArchitecture(base.config, 'config.json')
  const { config } = readHparams(architecture, base.config, 'config.json', base.tensors)
  return { architecture: architecture.gguf, find: checkpointPlaces(architecture, config) }
}

/** Tensors that other adapters know by another name have that one; so all adapters of a tensor meet, and are summed once. */
function namesOfGguf({ tensors, label }: Model, { keyValues }: GgufFacts): GgufNames {
  const architecture = textOf(keyValues, 'general.architecture') ?? ''
  const backwards = knownBackwards(architecture, keyValues, label)
  return {
    architecture,
    find: (name) => {
      const tensor = tensors.get(name)
      const back = tensor && backwards?.(tensor)
      return back === undefined ? { names: [name], orders: [], part: undefined } : { names: [back.name], orders: ordersOf(back.original), part: undefined }
    },
  }
}
