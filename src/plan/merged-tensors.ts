/**
 * The base with all adapters added, tensor by tensor, before any output format: what both a merged folder and a GGUF are
 * made of, so that the two can never disagree.
 */
import { isEmbedding, tiedEmbedding, untiedName } from '../adapters/tied.js'
import type { Backwards } from '../architectures/backwards.js'
import { isReadableType } from '../core/arithmetic.js'
import { InternalError, nameList, UnsupportedError } from '../core/errors.js'
import { lastPart } from '../core/paths.js'
import type { DequantizedFacts, Model } from '../core/model.js'
import { isArray, isObject, type JsonObject } from '../core/json.js'
import { programShape, type RowProgram } from '../core/row-program.js'
import { elementCount, rowShape } from '../core/shape.js'
import { storedBytes } from '../core/stored-types.js'
import type { TensorInfo } from '../core/tensor-info.js'
import { compareNames } from '../formats/safetensors/name-order.js'
import { combined } from '../merge/combined.js'
import { combineAdapters, rankLeft, type WeightedAdapter } from '../merge/combine.js'
import { describeRule, SUM, type CombineRule } from '../merge/combine-rule.js'
import { effectiveScale, mergedProgram, type WeightedDelta } from '../merge/variants.js'
import { ggufMerge, type GgufMerge, type MergedRows } from './merged-gguf.js'
import type { AppliedDelta, PlannedAdapter } from './plan.js'

/** One tensor of the base, merged. */
export interface MergedTensor {
  /** What it is: the base's tensor, by a name of its own where the base shares it, with more rows where an adapter replaces it. */
  readonly base: TensorInfo
  readonly program: RowProgram
  /** Empty for tensors that no adapter touches. */
  readonly applied: readonly AppliedDelta[]
}

export interface MergedModel {
  /** By name, in the base's order. */
  readonly tensors: ReadonlyMap<string, MergedTensor>
  readonly adapters: readonly PlannedAdapter[]
  /** Fields of config.json that are others than the base's. */
  readonly config: ConfigChanges
  readonly notes: readonly string[]
  /** The base's: what is stored otherwise than it is read. */
  readonly dequantized: DequantizedFacts | undefined
}

export type ConfigChanges = ReadonlyMap<'tie_word_embeddings' | 'vocab_size', boolean | number>

export interface MergeModelOptions {
  /** For a base that is a GGUF: finds tensors by the names that adapters know, and their rows' order. */
  readonly backwards?: Backwards | undefined
  readonly combine?: CombineRule | undefined
}

/**
 * Combines base and adapters.
 * @throws UnsupportedError when an adapter changes a tensor that cannot be read as f32
 */
export function mergeModel(model: Model, given: readonly WeightedAdapter[], { backwards, combine = SUM }: MergeModelOptions = {}): MergedModel {
  const { adapters, deltas, notes } = combineAdapters(given)
  // one adapter is what it is, in PEFT too
  const rule = adapters.length > 1 ? combine : SUM
  const rank = rankLeft(rule, adapters)
  const origins = untiedOrigins(model, adapters, deltas)
  const untied = new Map<string, TensorInfo>()
  for (const [name, shared] of origins) {
    const tensor = model.tensors.get(shared)
    if (tensor !== undefined) untied.set(name, { ...tensor, name })
  }
  if (model.gguf !== undefined)
    checkGguf(model, deltas, { unties: adapters.some(({ adapter }) => (adapter.untied?.size ?? 0) > 0), hasOutput: backwards?.hasOutput ?? true })
  const original = originalTensors(model, backwards)
  const merged = (base: RowProgram, own: readonly WeightedDelta[]): RowProgram => mergedProgram(base, combined(own, rule, rank), original)
  const merge =
    model.gguf === undefined
      ? (base: TensorInfo): MergedRows => {
          const own = deltas.get(base.name) ?? []
          return { program: merged(storedProgram(model, base, origins.get(base.name) ?? base.name), own), own }
        }
      : ggufMerge({ tensors: model.tensors, backwards, ...byNames(deltas, adapters), merged })
  const tensors = new Map<string, MergedTensor>()
  const unused = new Set(deltas.keys())
  for (const base of inFileOrder(model, untied)) {
    const { name } = base
    const { program, own } = merge(base)
    for (const one of [name, ...(backwards?.units.get(name)?.sources ?? []).map((source) => source.name)]) unused.delete(one)
    if (own.length > 0 && !isReadableType(base.dtype)) {
      throw new UnsupportedError(`is ${base.dtype}, which cannot be merged into. Use the 16-bit model that this one was made from.`, {
        file: base.source.name,
        tensor: name,
      })
    }
    tensors.set(name, { base: resized(base, program), program, applied: own.map(appliedDelta) })
  }
  if (unused.size > 0) throw new InternalError(`no tensor of the base takes what adapters change in ${nameList([...unused])}`, { file: model.label })
  const planned = adapters.map(({ adapter, weight, digest }) => ({
    label: adapter.label,
    kind: adapter.kind,
    weight,
    tensorCount: adapter.deltas.length,
    digest,
    ...(adapter.read === undefined || adapter.read.length === 0 ? {} : { read: adapter.read }),
  }))
  const config = configChanges(model, tensors, untied)
  const method =
    combine.method === 'sum' ? [] : [rule === combine ? describeRule(rule, rank) : `${combine.method} needs several adapters: one is added as it is`]
  return {
    tensors,
    adapters: planned,
    config,
    dequantized: model.dequantized,
    notes: [...given.flatMap(({ adapter }) => adapter.notes), ...notes, ...method, ...configNotes(config)],
  }
}

/** Changes by names in the checkpoint, and those of adapters in GGUF. */
function byNames(deltas: ReadonlyMap<string, readonly WeightedDelta[]>, adapters: readonly WeightedAdapter[]): Pick<GgufMerge, 'deltas' | 'fileDeltas'> {
  const chosen = (inFile: boolean): Map<string, readonly WeightedDelta[]> => {
    const own = [...deltas].map(([name, all]) => [name, all.filter((one) => (adapters[one.adapter]?.adapter.hasGgufNames === true) === inFile)] as const)
    return new Map(own.filter(([, all]) => all.length > 0))
  }
  return { deltas: chosen(false), fileDeltas: chosen(true) }
}

/** A tensor's own values. @param origin  its name, or that of the tensor that it was shared with */
function storedProgram({ dequantized }: Model, tensor: TensorInfo, origin: string): RowProgram {
  return dequantized?.programs.get(origin) ?? { op: 'read', tensor }
}

/** Tensors of the base before any adapter, by the names that adapters know. */
function originalTensors(model: Model, backwards: Backwards | undefined): (name: string) => RowProgram {
  const { tensors, label } = model
  return (name) => {
    const before = backwards?.tensors.get(name)
    if (before?.unit.changesValues === false) return before.original()
    const tensor = tensors.get(name)
    if (tensor === undefined) throw new InternalError(`no tensor of the base is ${name}`, { file: label })
    return storedProgram(model, tensor, name)
  }
}

/** One sentence per adapter, for the user. */
export function mergeDecisions({ adapters }: MergedModel): string[] {
  return adapters.map(
    ({ label, kind, weight, tensorCount }) => `${lastPart(label)}: ${kind}, ${tensorCount} tensors${weight === 1 ? '' : `, weight ${weight}`}`,
  )
}

/** What to worry about: what adapters bring, or that none is left of those given. */
export function mergeWarnings(given: readonly WeightedAdapter[], { adapters }: MergedModel): string[] {
  if (given.length > 0 && adapters.length === 0) return ['no adapter has a weight other than 0: the output equals the base']
  return adapters.flatMap((planned) => given.find(({ adapter: { label } }) => label === planned.label)?.adapter.warnings ?? [])
}

function appliedDelta({ delta, weight, adapter }: WeightedDelta): AppliedDelta {
  return { adapter, module: delta.module, variant: delta.variant, rank: delta.rank, scale: effectiveScale(delta, weight) }
}

/**
 * Tensors of their own for outputs that the base shares with its embedding, where adapters make the two differ: those that
 * adapters name, and those that keep the base's values while the embedding changes. By name, with that of the embedding.
 */
function untiedOrigins(
  { tensors, config }: Model,
  adapters: readonly WeightedAdapter[],
  deltas: ReadonlyMap<string, readonly WeightedDelta[]>,
): ReadonlyMap<string, string> {
  const untied = new Map<string, string>()
  for (const { adapter } of adapters) {
    for (const [name, shared] of adapter.untied ?? []) {
      if (tensors.has(shared)) untied.set(name, shared)
    }
  }
  const embedding = tiedEmbedding(tensors)
  if (untied.size > 0 || embedding === undefined || config?.get('tie_word_embeddings') === false) return untied
  const architectures = config?.get('architectures') ?? []
  const hasHead =
    isArray(architectures) && architectures.some((one) => typeof one === 'string' && /(?:ForCausalLM|LMHeadModel|ForConditionalGeneration)$/.test(one))
  const changes = deltas.get(embedding.name)?.some(({ delta }) => delta.keepsTie !== true) ?? false
  if (!hasHead || !changes) return untied
  return untied.set(untiedName('lm_head', embedding.name), embedding.name)
}

/** Merging into a GGUF changes values only: it cannot give the output a tensor of its own (nor the vocabulary another size: ggufMerge). */
function checkGguf(
  { tensors, label }: Model,
  deltas: ReadonlyMap<string, readonly WeightedDelta[]>,
  { unties, hasOutput }: { readonly unties: boolean; readonly hasOutput: boolean },
): void {
  const sharesOutput = hasOutput && !tensors.has('output.weight')
  const differs = (name: string): boolean =>
    (isEmbedding(name) || name === 'token_embd.weight') && deltas.get(name)?.some(({ delta }) => delta.keepsTie !== true) === true
  if (unties || (sharesOutput && [...deltas.keys()].some(differs)))
    throw new UnsupportedError('the adapter makes output and embedding differ, which this file shares: merge into the folder that the file was made from.', {
      file: label,
    })
}

/**
 * The same model with its tensors as a merged folder of it has them: by name in each file, which those of a pickle need not be. A GGUF that adapters are merged
 * into keeps that order, so that it is the file that the merged folder would become.
 */
export function inNameOrder(model: Model): Model {
  const shards = model.shards.map((shard) => ({ ...shard, tensorNames: [...shard.tensorNames].sort(compareNames) }))
  const tensors = shards.flatMap(({ tensorNames }) => tensorNames.flatMap((name) => model.tensors.get(name) ?? []))
  return { ...model, shards, tensors: new Map(tensors.map((tensor) => [tensor.name, tensor])) }
}

/** All tensors, new ones where a merged folder has them: in its last file, by name. */
function inFileOrder({ tensors, shards }: Model, added: ReadonlyMap<string, TensorInfo>): TensorInfo[] {
  if (added.size === 0) return [...tensors.values()]
  const last = [...(shards.at(-1)?.tensorNames ?? []), ...added.keys()].sort(compareNames)
  const names = [...shards.slice(0, -1).flatMap(({ tensorNames }) => tensorNames), ...last]
  return names.flatMap((name) => tensors.get(name) ?? added.get(name) ?? [])
}

/** The tensor with the rows that a program gives it. */
function resized(base: TensorInfo, program: RowProgram): TensorInfo {
  const { rows } = programShape(program)
  if (base.shape.length < 2 || rows === rowShape(base.shape).rows) return base
  const shape = [rows, ...base.shape.slice(1)]
  return { ...base, shape, byteLength: storedBytes(base.dtype, elementCount(shape)) }
}

function configChanges({ tensors: before, config }: Model, tensors: ReadonlyMap<string, MergedTensor>, untied: ReadonlyMap<string, TensorInfo>): ConfigChanges {
  const changes = new Map<'tie_word_embeddings' | 'vocab_size', boolean | number>()
  if (untied.size > 0) changes.set('tie_word_embeddings', false)
  for (const [name, { base }] of tensors) {
    const rows = base.shape[0] ?? 0
    if (isEmbedding(name) && before.get(name)?.shape[0] !== rows && config?.has('vocab_size') === true) changes.set('vocab_size', rows)
  }
  return changes
}

/** The config as it will be written: a change goes wherever the field is, in the part for the text model too. */
export function changedConfig(config: JsonObject, changes: ConfigChanges): JsonObject {
  if (changes.size === 0) return config
  const changed = new Map(config)
  for (const [key, value] of changes) {
    const part = config.get('text_config')
    const inPart = part !== undefined && isObject(part) && part.has(key)
    if (isObject(part) && inPart) changed.set('text_config', new Map([...part, [key, value]]))
    if (!inPart || config.has(key)) changed.set(key, value)
  }
  return changed
}

function configNotes(changes: ConfigChanges): string[] {
  return [...changes].map(([key, value]) =>
    key === 'vocab_size'
      ? `the embedding has ${value} rows, as the adapter replaces it: vocab_size is ${value}`
      : 'output and embedding differ after merging: the output gets a tensor of its own, tie_word_embeddings is false',
  )
}
