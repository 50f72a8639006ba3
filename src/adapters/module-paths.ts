/**
 * Module path of an adapter -> name of the base's weight. Tried in this order: the exact path; the family table; known
 * model prefixes taken off and put on; one unknown prefix put on. More than one candidate is an error, never a choice.
 *
 * Law: docs of the project on adapter keys; transformers' base_model_prefix, and checkpoints saved without it.
 */
import { MismatchError, nameList, quoted, type Place } from '../core/errors.js'
import type { TensorInfo } from '../core/tensor-info.js'
import { renamedModules } from './module-renames.js'
import { nearestNames } from './nearest-names.js'

/** base_model_prefix values and wrappers that checkpoints have or lack. */
const PREFIXES = ['model', 'transformer', 'language_model', 'gpt_neox', 'backbone', 'bert', 'roberta', 'deberta', 'distilbert', 'electra', 'albert'] as const
const COMBINED = ['model.language_model', 'language_model.model', 'model.model', 'model.text_model'] as const
const MAX_STRIPPED = 3
const MAX_UNKNOWN_COMPONENTS = 6 // components of an unknown prefix; deepest seen: 3

/** Finds weights by module path. One per adapter: it also holds that one list of layers stays together. */
export class ModulePaths {
  private readonly base: ReadonlyMap<string, TensorInfo>
  private readonly known: ReadonlySet<string> = new Set(PREFIXES)
  private readonly additions: readonly string[] = ['', ...[...PREFIXES, ...COMBINED].map((prefix) => `${prefix}.`)]
  private endings: Map<string, string[]> | undefined
  /** For every list of modules, which prefix was exchanged for which. */
  private readonly exchanged = new Map<string, string>()

  constructor(base: ReadonlyMap<string, TensorInfo>) {
    this.base = base
  }

  /**
   * A tensor of a module, or undefined when the base has none.
   * @param leaf   name of the tensor in its module
   * @param place  of the adapter tensor, for messages
   * @throws MismatchError when there are several, or when one list of layers falls apart
   */
  find(module: string, place: Place, leaf = 'weight'): TensorInfo | undefined {
    const exact = this.base.get(`${module}.${leaf}`)
    if (exact !== undefined) return this.together(module, leaf, exact, place)
    const renamed = this.only(
      renamedModules(module).map((name) => `${name}.${leaf}`),
      module,
      place,
    )
    if (renamed !== undefined) return renamed
    const moved = this.only(this.moved(module, leaf), module, place) ?? this.only(this.withUnknownPrefix(module, leaf), module, place)
    return moved && this.together(module, leaf, moved, place)
  }

  /** Names of base tensors that look like a module's weight. */
  nearest(module: string): string[] {
    return nearestNames(weightOf(module), this.base.keys())
  }

  private moved(module: string, leaf: string): string[] {
    const candidates = new Set<string>()
    let rest = module
    for (let stripped = 0; stripped <= MAX_STRIPPED; stripped++) {
      for (const addition of this.additions) candidates.add(`${addition}${rest}.${leaf}`)
      const dot = rest.indexOf('.')
      if (dot < 0 || !this.known.has(rest.slice(0, dot))) break
      rest = rest.slice(dot + 1)
    }
    return [...candidates]
  }

  private withUnknownPrefix(module: string, leaf: string): readonly string[] {
    this.endings ??= indexEndings(this.base.keys())
    return this.endings.get(`${module}.${leaf}`) ?? []
  }

  private only(names: readonly string[], module: string, place: Place): TensorInfo | undefined {
    const hits = names.flatMap((name) => this.base.get(name) ?? [])
    if (hits.length > 1) {
      throw new MismatchError(
        `its module ${quoted(module)} could be any of ${nameList(hits.map((hit) => hit.name))} in the base: rename the adapter's keys.`,
        place,
      )
    }
    return hits[0]
  }

  /** Layers of one list (`layers.0`, `layers.1`, …) must all be found under the same prefix, else some belong to another model part. */
  private together(module: string, leaf: string, tensor: TensorInfo, place: Place): TensorInfo {
    const parts = module.split('.')
    const number = parts.findIndex((part) => /^\d+$/.test(part))
    if (number < 0) return tensor
    const list = parts.slice(0, number).join('.')
    const tail = `${parts.slice(number).join('.')}.${leaf}`
    const prefix = tensor.name.slice(0, tensor.name.length - tail.length)
    const before = this.exchanged.get(list)
    if (before !== undefined && before !== prefix) {
      throw new MismatchError(
        `its module ${quoted(module)} would be ${quoted(tensor.name)} in the base, while others of ${quoted(list)} are under ${quoted(before)}: has the base fewer layers?`,
        place,
      )
    }
    this.exchanged.set(list, prefix)
    return tensor
  }
}

function weightOf(module: string): string {
  return `${module}.weight`
}

/** Endings of names at their first dots -> the names. */
function indexEndings(names: Iterable<string>): Map<string, string[]> {
  const endings = new Map<string, string[]>()
  for (const name of names) {
    let dot = name.indexOf('.')
    for (let i = 0; i < MAX_UNKNOWN_COMPONENTS && dot >= 0; i++) {
      const ending = name.slice(dot + 1)
      const before = endings.get(ending)
      if (before === undefined) endings.set(ending, [name])
      else before.push(name)
      dot = name.indexOf('.', dot + 1)
    }
  }
  return endings
}
