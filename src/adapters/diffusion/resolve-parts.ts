/**
 * Modules of an adapter for a diffusion pipeline + the models that a base holds -> deltas. Strict accounting: every module finds
 * its model and its tensors, or is left out because the user asked for other models; anything else is an error.
 *
 * Stricter than its peers: sd-scripts and diffusers skip what they cannot place.
 */
import type { Delta } from '../../core/delta.js'
import { isPlainFloat } from '../../core/dtypes.js'
import { MismatchError, nameList, quoted, UnsupportedError, UsageError } from '../../core/errors.js'
import type { AdapterFile, AdapterModule } from '../adapter-file.js'
import { bindDiffusionModule } from './bind-diffusion.js'
import { placeOf } from '../bind/factors.js'
import { PartNames } from './part-names.js'
import { isSameModel, partsNamed, type BasePart } from './parts.js'

export interface ResolvedParts {
  /** In the order of the parts. */
  readonly deltas: readonly (readonly Delta[])[]
  readonly notes: readonly string[]
}

/** Modules of one model. */
interface Group {
  readonly component: string | undefined
  readonly modules: readonly AdapterModule[]
}

/**
 * Binds an adapter to the models of a base.
 * @param asked  the models to merge into; undefined: all that the adapter has something for
 * @throws MismatchError naming the model that the base lacks, or the tensor whose module it lacks; UsageError for models asked for that the adapter does not have
 */
export function resolveParts(file: AdapterFile, parts: readonly BasePart[], asked?: readonly string[]): ResolvedParts {
  const groups = groupsOf(file)
  requireAsked(file, groups, asked)
  const names = new Map(parts.map((part) => [part, new PartNames(part)]))
  const deltas = new Map<BasePart, Delta[]>(parts.map((part) => [part, []]))
  const takenBy = new Map<BasePart, string>()
  const notes: string[] = []
  for (const group of groups) {
    if (asked !== undefined && group.component !== undefined && !isAsked(group.component, asked, groups)) {
      notes.push(`${group.modules.length} modules of ${group.component} are left out: only ${asked.join(' and ')} was asked for.`)
      continue
    }
    const part = partOf(file, group, groups, parts, names, takenBy)
    const other = takenBy.get(part)
    if (other !== undefined)
      throw new MismatchError(
        `has modules for ${other} and for ${group.component}, and the base is one model that may be either: say which with --component ${other} or --component ${group.component}.`,
        { file: file.label },
      )
    if (group.component !== undefined) takenBy.set(part, group.component)
    for (const module of group.modules) deltas.get(part)?.push(...bind(module, part, names.get(part)))
  }
  for (const own of deltas.values()) checkTwice(own)
  return { deltas: parts.map((part) => deltas.get(part) ?? []), notes }
}

function groupsOf({ modules }: AdapterFile): Group[] {
  const groups = new Map<string | undefined, AdapterModule[]>()
  for (const module of modules) {
    const list = groups.get(module.component)
    if (list === undefined) groups.set(module.component, [module])
    else list.push(module)
  }
  const last = (component: string | undefined): number => (component === 'text_encoder_3' ? 1 : 0) // it may mean what no other does
  return [...groups].map(([component, own]) => ({ component, modules: own })).sort((a, b) => last(a.component) - last(b.component))
}

function requireAsked({ label }: AdapterFile, groups: readonly Group[], asked: readonly string[] = []): void {
  const known = groups.flatMap(({ component }) => component ?? [])
  if (known.length < groups.length) return // its keys do not say
  const unknown = asked.filter((component) => !known.some((one) => isAsked(one, [component], groups)))
  if (unknown.length > 0) throw new UsageError(`holds nothing for ${nameList(unknown)}, only for ${nameList(known)}.`, { file: label })
}

/** Whether the user means a group of modules, by the adapter's name of its model or by the pipeline's: sd-scripts' third text encoder may be the second. */
function isAsked(component: string, asked: readonly string[], groups: readonly Group[]): boolean {
  const isSecond = component === 'text_encoder_3' && groups.every((group) => group.component !== 'text_encoder_2')
  return asked.some((one) => isSameModel(one, component) || (isSecond && one === 'text_encoder_2'))
}

/** The one part that a group of modules is for. */
function partOf(
  file: AdapterFile,
  group: Group,
  groups: readonly Group[],
  parts: readonly BasePart[],
  names: ReadonlyMap<BasePart, PartNames>,
  takenBy: ReadonlyMap<BasePart, string>,
): BasePart {
  const { component, modules } = group
  const named = component === undefined ? parts : partsNamed(parts, component, (part) => takenBy.has(part))
  const [only, ...more] = named
  if (only !== undefined && more.length === 0) return only
  const holding = named.filter((part) => modules.every((module) => isIn(module, names.get(part))))
  const [one, ...others] = holding
  if (one !== undefined && others.length === 0) return one
  const place = { file: file.label }
  if (one !== undefined)
    throw new MismatchError(`${shown(group)} could be of any of ${list(holding)}: rename the keys of the adapter, or name one model of the base.`, place)
  if (only !== undefined) throw notIn(group, named, names)
  const [unknown] = parts
  if (parts.length === 1 && unknown?.components.length === 0 && groups.length === 1) return unknown
  const wayOut =
    groups.length > 1
      ? `Name the folder of the whole pipeline, or merge only what it has with --component ${groups.find((other) => other !== group)?.component}.`
      : 'Name the model that it was trained for.'
  throw new MismatchError(`${shown(group)} has no place in the base, which is ${list(parts)}. ${wayOut}`, place)
}

function isIn({ name, isFlattened = false, factors }: AdapterModule, names: PartNames | undefined): boolean {
  return names?.find(name, isFlattened, placeOf({ factors })) !== undefined
}

/** Why none of several parts has all of a group. */
function notIn({ modules }: Group, parts: readonly BasePart[], names: ReadonlyMap<BasePart, PartNames>): MismatchError {
  const [best] = parts
    .map((part) => ({ part, missing: modules.filter((module) => !isIn(module, names.get(part))) }))
    .sort((a, b) => a.missing.length - b.missing.length)
  const [first] = best?.missing ?? []
  if (best === undefined || first === undefined) return new MismatchError('holds modules of no model of the base.')
  return notFound(first, names.get(best.part))
}

function shown({ component, modules }: Group): string {
  const [first] = modules
  return `${modules.length} modules${component === undefined ? '' : ` of ${component}`} (first ${quoted(first?.name ?? '')})`
}

function list(parts: readonly BasePart[]): string {
  return parts.map(({ components: [first] }) => first ?? 'a model of unknown kind').join(', ')
}

function bind(module: AdapterModule, part: BasePart, names: PartNames | undefined): Delta[] {
  const from = placeOf(module)
  if (part.components.length === 0 && module.isScaleAssumed === true)
    throw new MismatchError(
      'has no alpha, and the base is no model of a diffusion pipeline: its scale is unknown. Is it a PEFT adapter whose adapter_config.json is missing?',
      from,
    )
  const place = names?.find(module.name, module.isFlattened ?? false, from)
  if (place === undefined) throw notFound(module, names)
  for (const tensor of place.pieces.flatMap(({ weight, bias }) => [weight, bias]))
    if (tensor !== undefined && !isPlainFloat(tensor.dtype))
      throw new UnsupportedError(`the base's ${quoted(tensor.name)} is ${tensor.dtype} (quantized): use the 16-bit base.`, from)
  return bindDiffusionModule(module, place)
}

function notFound(module: AdapterModule, names: PartNames | undefined): MismatchError {
  const { name, component, isFlattened = false } = module
  const nearest = names?.nearest(name, isFlattened) ?? []
  const near = nearest.length === 0 ? 'the base has no such tensors' : `nearest are ${nameList(nearest)}`
  const where = component === undefined ? '' : ` of ${component}`
  return new MismatchError(
    `its module ${quoted(name)}${where} has no weight in the base; ${near}. Is it the base that the adapter was trained on?`,
    placeOf(module),
  )
}

/** No tensor, or part of one, is changed by two modules. */
function checkTwice(deltas: readonly Delta[]): void {
  const taken = new Map<string, Delta[]>()
  for (const delta of deltas) {
    const others = taken.get(delta.target) ?? []
    const other = others.find((one) => one.module !== delta.module && overlap(one, delta))
    if (other !== undefined)
      throw new MismatchError(
        `module ${quoted(delta.module)} would change ${quoted(delta.target)}, which ${quoted(other.module)} changes already: its keys are in two namings.`,
      )
    taken.set(delta.target, [...others, delta])
  }
}

function overlap({ rows: a }: Delta, { rows: b }: Delta): boolean {
  return a === undefined || b === undefined || (a.first < b.first + b.count && b.first < a.first + a.count)
}
