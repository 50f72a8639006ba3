/**
 * A model's config and tensors -> what its GGUF holds: metadata of the architecture, and every tensor with its name,
 * shape and the program that gives its rows. Pure: no bytes are read here.
 *
 * Law: conversion/base.py `prepare_tensors` (llama.cpp 0c1e570).
 * Stricter here: a tensor that is missing, or of a layer that config.json does not have, is an error; the reference
 * does not notice, and the file fails when it is loaded, or answers nonsense.
 */
import { FormatError, InternalError, UnsupportedError, nameList } from '../core/errors.js'
import type { JsonObject } from '../core/json.js'
import type { KeyValue } from '../core/key-value.js'
import type { RowProgram } from '../core/row-program.js'
import { Collector } from './collect.js'
import { effectiveConfig, readUint, spelling, type Config, type KnownTensor } from './config.js'
import type { Architecture, TensorRule } from './define.js'
import { blockCount } from './dimensions.js'
import { hparamKeyValues } from './hparams.js'
import { ggufTensorName, ROLES, type Role, type RoleKind } from './roles.js'
import { layerIn, matched } from './match.js'
import { filledTemplate, TemplateTrie } from './templates.js'
import type { TensorProgram } from './transform.js'
import { TRANSFORMS } from './transforms.js'

/** What a tensor of the file is: its role's kind, or a bias of any role. */
export type TensorKind = RoleKind | 'bias'

/** The numbers of a model that converting needs, all checked. */
export interface Hparams {
  /** config.json with the text model's part merged over it and defaults filled in. */
  readonly config: Config
  readonly blockCount: number
  /** Tokens that the model was made for; undefined where the config does not say. */
  readonly vocabSize: number | undefined
}

/** A tensor of the checkpoint; `program` gives its rows, adapters already added. */
export interface SourceTensor {
  readonly name: string
  readonly shape: readonly number[]
  readonly program: RowProgram
  /** All of it, for the tensors that {@link wantedValues} names. */
  readonly values?: readonly number[]
}

/** A tensor of the GGUF file. */
export interface ConvertedTensor {
  readonly name: string
  readonly role: Role
  readonly kind: TensorKind
  /** Undefined for tensors that belong to no layer. */
  readonly layer: number | undefined
  /** Outermost dimension first; GGUF writes it reversed. */
  readonly shape: readonly number[]
  readonly program: RowProgram
  /** Names of the checkpoint's tensors that it is made of; none for one that is computed. */
  readonly from: readonly string[]
}

/**
 * Reads and checks the numbers of a config.
 * @param config   config.json
 * @param file     what messages call it
 * @param tensors  those of the checkpoint: some numbers depend on which there are
 * @throws FormatError that names the key of a value that cannot be, UnsupportedError for an unknown rope scaling
 */
export function readHparams(
  architecture: Architecture,
  config: JsonObject,
  file: string,
  tensors: ReadonlyMap<string, KnownTensor> = new Map(),
  { noNextn = false, pooling }: { readonly noNextn?: boolean; readonly pooling?: string | undefined } = {},
): Hparams {
  const { definition } = architecture
  const effective = { ...effectiveConfig(config, file, definition), tensors, noNextn, pooling }
  hparamKeyValues(definition.hparams, architecture.gguf, effective, 0) // every row once, so that faults show now
  const vocabSize = spelling(effective, ['vocab_size']) === undefined ? undefined : readUint(effective, 'vocab_size')
  return { config: effective, blockCount: (definition.blockCount ?? blockCount)(effective), vocabSize }
}

/** The `<arch>.*` block with `general.file_type`, in the reference's order. */
export function architectureKeyValues({ definition }: Architecture, { config }: Hparams, fileType: number): KeyValue[] {
  return hparamKeyValues(definition.hparams, definition.gguf, config, fileType)
}

/** Keys that come before `general.type`. */
export function earlyKeyValues({ definition }: Architecture, { config }: Hparams): KeyValue[] {
  return hparamKeyValues(definition.earlyHparams ?? [], definition.gguf, config, 0)
}

/** Names of tensors whose values decide what the file holds: the caller gives them to {@link readHparams} and {@link planTensors}. They are small. */
export function wantedValues(architecture: Architecture, names: Iterable<string>): string[] {
  const reads = architecture.definition.reads ?? []
  if (reads.length === 0 && !architecture.rules.some(needsValues)) return []
  const metadata = new TemplateTrie<true>()
  for (const template of reads) metadata.add(template, true)
  return [...names].filter((name) => {
    const match = matched(architecture, name)
    return typeof match === 'object' ? needsValues(match.rule) : metadata.match(name).length > 0
  })
}

function needsValues({ transforms }: TensorRule): boolean {
  return transforms.some((word) => 'needsValues' in TRANSFORMS[word])
}

/**
 * The tensors of the file: computed ones, then those of the checkpoint in the order given; what is made of several comes
 * when the last of them has been seen.
 * @param tokenCount  tokens that the tokenizer has; undefined where there is none
 * @throws UnsupportedError that lists tensors with no place in this architecture, FormatError that lists missing ones
 */
export function planTensors(architecture: Architecture, hparams: Hparams, sourceTensors: Iterable<SourceTensor>, tokenCount?: number): ConvertedTensor[] {
  const file = new TensorFile(architecture, hparams, tokenCount)
  const unknown: string[] = []
  const lists = new Collector(hparams.config)
  for (const source of sourceTensors) {
    const match = matched(architecture, source.name, hparams.config)
    if (architecture.definition.laterBlocks === 'leftOut' && (layerIn(source.name) ?? 0) >= hparams.blockCount) continue
    if (match === undefined) unknown.push(source.name)
    if (typeof match !== 'object') continue
    const { rule, captures } = match
    if ((captures.block ?? 0) >= hparams.blockCount) throw beyondLastLayer(source.name, hparams)
    if (rule.group === undefined) file.add(rule, captures.block, [source])
    else for (const ready of lists.add(architecture, { ...match, tensor: source })) file.add(ready.rule, ready.block, ready.tensors)
  }
  if (unknown.length > 0) throw noPlace(architecture, unknown)
  const missing = [...lists.missing(architecture), ...file.missing()]
  if (missing.length > 0) throw incomplete(missing, hparams)
  return file.tensors()
}

/**
 * Whether a tensor stays f32 whatever type the user asks for: biases, norms, routers
 * and everything of one dimension do. The reference decides by name; a test holds that both agree for every role.
 */
export function tensorTypeRule(tensor: Pick<ConvertedTensor, 'kind' | 'shape'>): 'alwaysF32' | 'outtype' {
  if (tensor.shape.length <= 1) return 'alwaysF32'
  return tensor.kind === 'matmul' || tensor.kind === 'embedding' || tensor.kind === 'output' ? 'outtype' : 'alwaysF32'
}

/** The file's tensors as they come. */
class TensorFile {
  private readonly architecture: Architecture
  private readonly hparams: Hparams
  private readonly tokenCount: number | undefined
  private readonly planned = new Map<string, ConvertedTensor>()
  private readonly dropped = new Set<string>()

  constructor(architecture: Architecture, hparams: Hparams, tokenCount: number | undefined) {
    this.architecture = architecture
    this.hparams = hparams
    this.tokenCount = tokenCount
    for (const tensor of extraTensors(architecture, hparams)) this.planned.set(tensor.name, tensor)
  }

  tensors(): ConvertedTensor[] {
    return [...this.planned.values()]
  }

  /** What a rule makes of its tensors. */
  add(rule: TensorRule, block: number | undefined, sources: readonly SourceTensor[]): void {
    const { config } = this.hparams
    const context = { config, block, tokenCount: this.tokenCount }
    let made: readonly TensorProgram[] = sources.map(({ name, ...rest }) => ({ source: name, ...rest }))
    for (const word of rule.transforms) made = TRANSFORMS[word].apply(made, context)
    const from = sources.map(({ name }) => name)
    const names = rule.roles.map((role) => ggufTensorName(role, rule.suffix, block))
    if (made.length === 0) for (const name of names) this.dropped.add(name)
    else if (made.length !== names.length) {
      throw new InternalError(`${this.architecture.name}: ${rule.transforms.join(' ')} makes ${made.length} tensors, the row has ${names.length}`)
    }
    made.forEach(({ shape, program }, i) => {
      const [name, role] = [names[i], rule.roles[i]]
      if (name === undefined || role === undefined) return
      const rival = this.planned.get(name)
      const [tensor = ''] = from
      if (rival !== undefined) throw new FormatError(`is ${name} of the GGUF file, but so is ${nameList(rival.from)}.`, { tensor })
      this.planned.set(name, { name, role, kind: kindOf(rule, role), layer: block, shape, program, from })
    })
  }

  /** As the checkpoint would spell them, for every layer that config.json promises. */
  missing(): string[] {
    const { config } = this.hparams
    const blocks = (this.architecture.definition.requiredBlocks ?? (() => this.hparams.blockCount))(config)
    const untied = config.values.get('tie_word_embeddings') === false && config.tiedAtRoot !== true
    const missing = new Map<string, string>()
    for (const { roles, suffix, pieces, presence, layers } of this.architecture.rules) {
      if (presence === 'optional' || (presence === 'tied' && !untied)) continue
      const source = pieces[0]?.[0] ?? ''
      const holds = layers === undefined ? undefined : this.architecture.definition.layers?.[layers]
      for (let block = 0; block < (source.includes('{block}') ? blocks : 1); block++) {
        if (holds?.(config, block) === false) continue
        for (const role of roles) {
          const name = ggufTensorName(role, suffix, block)
          if (!this.planned.has(name) && !this.dropped.has(name) && !missing.has(name)) missing.set(name, filledTemplate(source, { block, expert: 0 }))
        }
      }
    }
    return [...new Set(missing.values())]
  }
}

function kindOf({ suffix }: TensorRule, role: Role): TensorKind {
  return suffix === '.bias' ? 'bias' : suffix === '.weight' ? ROLES[role].kind : 'exact'
}

function extraTensors({ definition }: Architecture, { config }: Hparams): ConvertedTensor[] {
  return (definition.extras ?? []).flatMap((compute) =>
    compute(config).map(({ role, values }) => ({
      name: ggufTensorName(role, '.weight'),
      role,
      kind: ROLES[role].kind,
      layer: undefined,
      shape: [values.length],
      program: { op: 'values', rows: values.length, cols: 1, values } as const,
      from: [],
    })),
  )
}

function noPlace(architecture: Architecture, unknown: readonly string[]): UnsupportedError {
  const count = unknown.length === 1 ? '1 tensor has' : `${unknown.length} tensors have`
  return new UnsupportedError(`${count} no place in ${architecture.name}: ${nameList(unknown)}. Is this another model, or one with parts added?`)
}

function incomplete(missing: readonly string[], { config }: Hparams): FormatError {
  const tied = missing.length === 1 && missing[0]?.startsWith('lm_head') === true
  const wayOut = tied
    ? `If the model shares its embedding, set tie_word_embeddings to true in ${config.file}.`
    : `Is the download complete, and ${config.file} this model's own?`
  return new FormatError(`the model lacks ${missing.length} of its tensors: ${nameList(missing)}. ${wayOut}`)
}

function beyondLastLayer(name: string, { config, blockCount: blocks }: Hparams): FormatError {
  return new FormatError(`belongs to a layer that ${config.file} does not have: it counts ${blocks} layers, from 0.`, { tensor: name })
}
