/**
 * The rows of an architecture read from right to left: the tensors of a GGUF file as the Hugging Face checkpoint has them,
 * under the names that adapters know them by. So an adapter goes into an existing GGUF by the same table that converts.
 *
 * Nothing is copied or computed: each tensor of the checkpoint is a program that reads the file.
 */
import { isReadableType } from '../core/arithmetic.js'
import { FormatError, InternalError, UnsupportedError } from '../core/errors.js'
import type { KeyValue } from '../core/key-value.js'
import type { RowProgram } from '../core/row-program.js'
import type { TensorInfo } from '../core/tensor-info.js'
import type { Config } from './config.js'
import type { Architecture, TensorRule } from './define.js'
import { matched } from './match.js'
import { configsOfMetadata } from './metadata-config.js'
import { architecturesOf } from './registry.js'
import { ROLES } from './roles.js'
import { targetNames, unitOfTargets, type RowUnit } from './row-unit.js'
import { TemplateTrie } from './templates.js'

/** A tensor of the checkpoint. */
export interface BackwardTensor {
  /** Its name and shape; as F32 where it can be read at all. Its bytes are not in one place: `original` reads them. */
  readonly tensor: TensorInfo
  readonly unit: RowUnit
  /** Its rows, from the file's. */
  readonly original: () => RowProgram
}

/** One way to name the tensors of a GGUF file. */
export interface Backwards {
  /** By their names in the checkpoint. */
  readonly tensors: ReadonlyMap<string, BackwardTensor>
  /** A tensor of the checkpoint by any name that the table knows it by. */
  readonly find: (name: string) => BackwardTensor | undefined
  /** By names in the file: what a tensor is a part of. None for tensors that no row makes of others (rope factors). */
  readonly units: ReadonlyMap<string, RowUnit>
  /** Whether the model has an output; where the file has none, it is the embedding. */
  readonly hasOutput: boolean
  /** `model_type` of the configs that it may have been made from. */
  readonly modelTypes: ReadonlySet<string>
}

/** A class of the table, and the numbers that its rows compute with. */
interface Reading {
  readonly architecture: Architecture
  readonly configOf: (block: number | undefined) => Config
  readonly rules: TemplateTrie<TensorRule>
  /** How many tensors of the file it has a row for. */
  readonly known: number
}

/**
 * Every way, the likeliest first. The file does not say which class of its architecture it was made of: one that knows all
 * of its tensors, before those that know some; and checkpoints of one class may have their tensors in several layouts.
 * @param name       value of `general.architecture`
 * @param keyValues  the file's metadata, for head counts
 * @throws UnsupportedError when the architecture is not in the table
 */
export function* waysBackwards(
  name: string,
  keyValues: readonly KeyValue[],
  tensors: ReadonlyMap<string, TensorInfo>,
  file: string,
): Generator<Backwards, void, undefined> {
  const readings = architecturesOf(name).map((architecture): Reading => {
    const rules = new TemplateTrie<TensorRule>()
    for (const rule of architecture.rules) for (const role of rule.roles) rules.add(ROLES[role].gguf + rule.suffix, rule)
    const known = [...tensors.keys()].filter((tensor) => rules.match(tensor).length > 0).length
    return { architecture, configOf: configsOfMetadata(architecture, keyValues, tensors, file), rules, known }
  })
  if (readings.length === 0)
    throw new UnsupportedError(
      `adapters cannot be merged into a GGUF of architecture "${name}" yet: how its tensors are named in Hugging Face is not known here. An adapter that is a GGUF itself can.`,
      { file },
    )
  for (const reading of readings.sort((a, b) => b.known - a.known)) {
    const layouts = [...tensors.keys()].reduce((most, tensor) => Math.max(most, reading.rules.match(tensor).length), 1)
    for (let preferred = 0; preferred < layouts; preferred++) yield backwardTensors(tensors, reading, preferred)
  }
}

/** @param preferred  which of the rows that make a tensor is tried first */
function backwardTensors(tensors: ReadonlyMap<string, TensorInfo>, { architecture, configOf, rules }: Reading, preferred: number): Backwards {
  const found = new Map<string, BackwardTensor>()
  const units = new Map<string, RowUnit>()
  for (const name of tensors.keys()) {
    if (units.has(name)) continue
    const matches = rules.match(name)
    const start = Math.min(preferred, matches.length - 1)
    for (const { value: rule, captures } of [...matches.slice(start), ...matches.slice(0, start)]) {
      const names = targetNames(rule, captures.block)
      const stored = names.flatMap((one) => (units.has(one) ? [] : (tensors.get(one) ?? [])))
      const unit = stored.length < names.length ? undefined : orNone(() => unitOfTargets(rule, captures, configOf(captures.block), stored))
      if (unit === undefined || unit.sources.some((source) => found.has(source.name))) continue
      for (const one of names) units.set(one, unit)
      for (const tensor of sourcesOf(unit, stored)) found.set(tensor.tensor.name, tensor)
      break
    }
  }
  const find = (name: string): BackwardTensor | undefined =>
    found.get(name) ?? found.get(orNone(() => tableName(matched(architecture, name, configOf(undefined)), units)) ?? '')
  const hasOutput = architecture.rules.some(({ roles }) => roles.includes('output'))
  return { tensors: found, find, units, hasOutput, modelTypes: new Set([architecture.definition.modelType]) }
}

/** The name of a row's piece among the sources of a unit that is made by the same words. */
function tableName(match: ReturnType<typeof matched>, units: ReadonlyMap<string, RowUnit>): string {
  if (typeof match !== 'object') return ''
  const { rule, piece, captures } = match
  const [target = ''] = targetNames(rule, captures.block)
  const unit = units.get(target)
  return unit?.rule.transforms.join() === rule.transforms.join() ? (unit.sources[captures.expert ?? piece]?.name ?? '') : ''
}

/** None where the file does not say what turning its rows back, or finding their names, needs. */
function orNone<T>(compute: () => T | undefined): T | undefined {
  try {
    return compute()
  } catch (error) {
    if (error instanceof FormatError) return undefined
    throw error
  }
}

function sourcesOf(unit: RowUnit, stored: readonly TensorInfo[]): BackwardTensor[] {
  const [first] = stored
  const { dtype } = stored.find((tensor) => !isReadableType(tensor.dtype)) ?? { dtype: 'F32' as const }
  let programs: readonly RowProgram[] | undefined // only of what adapters change
  const original = (i: number) => (): RowProgram => {
    programs ??= unit.toCheckpoint(stored.map((tensor) => ({ op: 'read', tensor })))
    const program = programs[i]
    if (program === undefined) throw new InternalError('has no rows in the file', { tensor: unit.sources[i]?.name ?? '' })
    return program
  }
  return unit.sources.flatMap(({ name, shape }, i) => (first === undefined ? [] : [{ tensor: { ...first, name, shape, dtype }, unit, original: original(i) }]))
}
