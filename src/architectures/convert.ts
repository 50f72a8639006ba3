/**
 * A model's config and tensors -> what its GGUF holds: metadata of the architecture, and every tensor with its name,
 * shape and the program that gives its rows. Pure: no bytes are read here.
 *
 * Law: conversion/base.py `prepare_tensors` (llama.cpp 0c1e570).
 * Stricter here: a tensor that is missing, or of a layer that config.json does not have, is an error; the reference
 * does not notice, and the file fails when it is loaded, or answers nonsense.
 */
import { FormatError, InternalError, UnsupportedError, nameList, quoted } from '../core/errors.js'
import type { JsonObject } from '../core/json.js'
import type { KeyValue } from '../core/key-value.js'
import type { RowProgram } from '../core/row-program.js'
import { effectiveConfig, readUint, spelling, type Config } from './config.js'
import type { Architecture, TensorRule } from './define.js'
import { EXTRAS } from './extras.js'
import { blockCount, hparamKeyValues } from './hparams.js'
import { ggufTensorName, ROLES, type Role, type RoleKind } from './roles.js'
import { skipReason, type SkippedTensor } from './skipped.js'
import { filledTemplate, type Match } from './templates.js'
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
 * @param config  config.json
 * @param file    what messages call it
 * @throws FormatError that names the key of a value that cannot be, UnsupportedError for an unknown rope scaling
 */
export function readHparams(architecture: Architecture, config: JsonObject, file: string): Hparams {
  const effective = effectiveConfig(config, file, architecture.definition.modelType)
  hparamKeyValues(architecture.definition.hparams, architecture.gguf, effective, 0) // every row once, so that faults show now
  const vocabSize = spelling(effective, ['vocab_size']) === undefined ? undefined : readUint(effective, 'vocab_size')
  return { config: effective, blockCount: blockCount(effective), vocabSize }
}

/** The `<arch>.*` block with `general.file_type`, in the reference's order. */
export function architectureKeyValues(architecture: Architecture, hparams: Hparams, fileType: number): KeyValue[] {
  return hparamKeyValues(architecture.definition.hparams, architecture.gguf, hparams.config, fileType)
}

/**
 * The tensors of the file: computed ones, then those of the checkpoint in the order given.
 * @throws UnsupportedError that lists tensors with no place in this architecture, FormatError that lists missing ones
 */
export function planTensors(architecture: Architecture, hparams: Hparams, sourceTensors: Iterable<SourceTensor>): ConvertedTensor[] {
  const planned = new Map<string, ConvertedTensor>()
  for (const tensor of extraTensors(architecture, hparams)) planned.set(tensor.name, tensor)
  const unknown: string[] = []
  for (const source of sourceTensors) {
    const match = matched(architecture, source.name)
    if (match === undefined) {
      if (skipReason(source.name) === undefined) unknown.push(source.name)
      continue
    }
    if ((match.captures.block ?? 0) >= hparams.blockCount) throw beyondLastLayer(source.name, hparams)
    const tensor = converted(source, match, hparams.config)
    const rival = planned.get(tensor.name)
    if (rival !== undefined) throw new FormatError(`is ${tensor.name} of the GGUF file, but so is ${nameList(rival.from)}.`, { tensor: source.name })
    planned.set(tensor.name, tensor)
  }
  if (unknown.length > 0) {
    const count = unknown.length === 1 ? '1 tensor has' : `${unknown.length} tensors have`
    throw new UnsupportedError(`${count} no place in ${architecture.name}: ${nameList(unknown)}. Is this another model, or one with parts added?`)
  }
  const missing = missingTensors(architecture, hparams, planned)
  if (missing.length > 0) throw incomplete(missing, hparams)
  return [...planned.values()]
}

/** Tensors of the checkpoint that are left out on purpose: tell the user. */
export function skippedTensors(architecture: Architecture, names: Iterable<string>): SkippedTensor[] {
  return [...names].flatMap((name) => {
    const reason = matched(architecture, name) === undefined ? skipReason(name) : undefined
    return reason === undefined ? [] : [{ name, reason }]
  })
}

/**
 * Whether a tensor stays f32 whatever type the user asks for: biases, norms, routers
 * and everything of one dimension do. The reference decides by name; a test holds that both agree for every role.
 */
export function tensorTypeRule(tensor: Pick<ConvertedTensor, 'kind' | 'shape'>): 'alwaysF32' | 'outtype' {
  if (tensor.shape.length <= 1) return 'alwaysF32'
  return tensor.kind === 'matmul' || tensor.kind === 'embedding' || tensor.kind === 'output' ? 'outtype' : 'alwaysF32'
}

function extraTensors(architecture: Architecture, { config }: Hparams): ConvertedTensor[] {
  return (architecture.definition.extras ?? []).flatMap((name) =>
    EXTRAS[name](config).map(({ role, values }) => ({
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

function matched(architecture: Architecture, name: string): Match<TensorRule> | undefined {
  const matches = architecture.names.match(name)
  if (matches.length > 1)
    throw new InternalError(`${architecture.name}: ${matches.length} rows claim ${quoted(name)}: ${nameList(matches.flatMap(({ value }) => value.sources))}`)
  return matches[0]
}

function converted(source: SourceTensor, { value: rule, captures }: Match<TensorRule>, config: Config): ConvertedTensor {
  let tensor = { source: source.name, shape: source.shape, program: source.program }
  for (const name of rule.transforms) tensor = TRANSFORMS[name](tensor, config)
  return {
    name: ggufTensorName(rule.role, rule.suffix, captures.block),
    role: rule.role,
    kind: rule.suffix === '.bias' ? 'bias' : ROLES[rule.role].kind,
    layer: captures.block,
    shape: tensor.shape,
    program: tensor.program,
    from: [source.name],
  }
}

/** As the checkpoint would spell them, for every layer that config.json promises. */
function missingTensors(architecture: Architecture, hparams: Hparams, planned: ReadonlyMap<string, ConvertedTensor>): string[] {
  const untied = hparams.config.values.get('tie_word_embeddings') === false
  const missing: string[] = []
  for (const { role, suffix, sources, presence } of architecture.rules) {
    if (presence === 'optional' || (presence === 'tied' && !untied)) continue
    const [source = ''] = sources
    const layers = source.includes('{block}') ? hparams.blockCount : 1
    for (let block = 0; block < layers; block++) if (!planned.has(ggufTensorName(role, suffix, block))) missing.push(filledTemplate(source, { block }))
  }
  return missing
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
