/**
 * A module's tensor in the adapter's model -> the base's tensor. Tried in this order: the exact name; the table of
 * renames; known model prefixes taken off and put on, without and with renames; one unknown prefix put on. The first step
 * that finds something ends the search; more than one candidate in it is an error, never a choice.
 *
 * Law: docs of the project on adapter keys; transformers' base_model_prefix, and checkpoints saved without it.
 */
import { MismatchError, nameList, quoted, type Place } from '../core/errors.js'
import type { TensorInfo } from '../core/tensor-info.js'
import { nearestNames } from './nearest-names.js'
import { nameOf, Renames, templateOf } from './rename-paths.js'

/** base_model_prefix values and wrappers that checkpoints have or lack. */
const PREFIXES = [
  ...(['model', 'transformer', 'language_model', 'gpt_neox', 'backbone', 'thinker', 'text_model'] as const),
  ...(['bert', 'roberta', 'deberta', 'distilbert', 'electra', 'albert', 'vit', 'beit', 'new'] as const),
]
const COMBINED = ['model.language_model', 'language_model.model', 'model.model', 'model.text_model', 'thinker.model', 'text_model.model'] as const
const MAX_STRIPPED = 3
const MAX_UNKNOWN_COMPONENTS = 6 // components of an unknown prefix; deepest seen: 3

/** Finds tensors by module path. One per adapter: it also holds that one list of layers stays together. */
export class ModulePaths {
  private readonly base: ReadonlyMap<string, TensorInfo>
  private readonly renames: Renames
  private readonly known: ReadonlySet<string> = new Set(PREFIXES)
  private readonly additions: readonly string[] = ['', ...[...PREFIXES, ...COMBINED].map((prefix) => `${prefix}.`)]
  private templates: ReadonlySet<string> | undefined
  private endings: ReadonlyMap<string, readonly string[]> | undefined
  /** Of each template that was looked for: where it can be, step by step. */
  private readonly steps = new Map<string, readonly (readonly string[])[]>()
  /** For every list of modules, which prefix was exchanged for which. */
  private readonly exchanged = new Map<string, string>()

  /** @param types  model types that the base's config names; undefined when it has none */
  constructor(base: ReadonlyMap<string, TensorInfo>, types?: ReadonlySet<string>) {
    this.base = base
    this.renames = new Renames(types)
  }

  /**
   * A tensor of a module, or undefined when the base has none.
   * @param leaf   name of the tensor in its module
   * @param place  of the adapter tensor, for messages
   * @throws MismatchError when there are several, or when one list of layers falls apart
   */
  find(module: string, place: Place, leaf = 'weight'): TensorInfo | undefined {
    const name = `${module}.${leaf}`
    const exact = this.base.get(name)
    if (exact !== undefined) return this.together(module, leaf, exact, place)
    const { text, numbers } = templateOf(name)
    for (const step of this.stepsOf(text)) {
      const hits = step.flatMap((template) => this.base.get(nameOf(template, numbers)) ?? [])
      if (hits.length > 1) {
        throw new MismatchError(
          `its module ${quoted(module)} could be any of ${nameList(hits.map((hit) => hit.name))} in the base: rename the adapter's keys.`,
          place,
        )
      }
      const [hit] = hits
      if (hit !== undefined) return this.together(module, leaf, hit, place)
    }
    return undefined
  }

  /** Names of base tensors that look like a module's weight. */
  nearest(module: string): string[] {
    return nearestNames(`${module}.weight`, this.base.keys())
  }

  private stepsOf(template: string): readonly (readonly string[])[] {
    const known = this.steps.get(template)
    if (known !== undefined) return known
    this.templates ??= new Set([...this.base.keys()].map((name) => templateOf(name).text))
    const templates = this.templates
    const variants = this.renames.variants(template)
    const all = [template, ...variants.flat()]
    const steps = [
      ...variants,
      this.moved(template),
      all.slice(1).flatMap((variant) => this.moved(variant)),
      this.withUnknownPrefix(template),
      all.slice(1).flatMap((variant) => this.withUnknownPrefix(variant)),
    ]
    const found = steps.map((step) => [...new Set(step)].filter((one) => templates.has(one))).filter((step) => step.length > 0)
    this.steps.set(template, found)
    return found
  }

  private moved(template: string): string[] {
    const candidates: string[] = []
    let rest = template
    for (let stripped = 0; stripped <= MAX_STRIPPED; stripped++) {
      for (const addition of this.additions) candidates.push(`${addition}${rest}`)
      const dot = rest.indexOf('.')
      if (dot < 0 || !this.known.has(rest.slice(0, dot))) break
      rest = rest.slice(dot + 1)
    }
    return candidates
  }

  private withUnknownPrefix(template: string): readonly string[] {
    this.endings ??= indexEndings(this.templates ?? [])
    return this.endings.get(template) ?? []
  }

  /** Layers of one list (`layers.0`, `layers.1`, …) must all be found under the same prefix, else some belong to another model part. */
  private together(module: string, leaf: string, tensor: TensorInfo, place: Place): TensorInfo {
    const parts = module.split('.')
    const number = parts.findIndex((part) => /^\d+$/.test(part))
    if (number < 0) return tensor
    const list = parts.slice(0, number).join('.')
    const tail = `${parts.slice(number).join('.')}.${leaf}`
    if (!tensor.name.endsWith(tail)) return tensor // renamed
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

/** Endings of templates at their first dots -> the templates. */
function indexEndings(templates: Iterable<string>): Map<string, string[]> {
  const endings = new Map<string, string[]>()
  for (const template of templates) {
    let dot = template.indexOf('.')
    for (let i = 0; i < MAX_UNKNOWN_COMPONENTS && dot >= 0; i++) {
      const ending = template.slice(dot + 1)
      const before = endings.get(ending)
      if (before === undefined) endings.set(ending, [template])
      else before.push(template)
      dot = template.indexOf('.', dot + 1)
    }
  }
  return endings
}
