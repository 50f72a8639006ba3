/**
 * What a GGUF of a model folder is made of, before its type is chosen: tensors under their GGUF names, metadata, token
 * tables. Read once; {@link draftGguf} then gives the draft of any file type, which is how sizes of all of them are told.
 *
 * Law: conversion/base.py `prepare_tensors`, `prepare_metadata` (llama.cpp 0c1e570).
 */
import {
  architectureKeyValues,
  earlyKeyValues,
  planTensors,
  readHparams,
  tensorTypeRule,
  wantedValues,
  type ConvertedTensor,
  type Hparams,
} from '../architectures/convert.js'
import type { KnownTensor } from '../architectures/config.js'
import type { Architecture } from '../architectures/define.js'
import { findArchitecture } from '../architectures/registry.js'
import type { Folder, OpenBytes } from '../core/bytes.js'
import { isPlainFloat } from '../core/dtypes.js'
import { MismatchError, UnsupportedError } from '../core/errors.js'
import type { JsonObject } from '../core/json.js'
import { inPlace, string, u32, type KeyValue } from '../core/key-value.js'
import type { Model } from '../core/model.js'
import { movesMxfp4 } from '../core/mxfp4-rows.js'
import type { WeightedAdapter } from '../merge/combine.js'
import type { CombineRule } from '../merge/combine-rule.js'
import { generalKeyValues } from '../model-card/general.js'
import { countParameters } from '../model-card/size-label.js'
import { ALL_FILE_TYPES, converterType, isConverterFileType, type AnyFileType, type ConverterFileType } from '../quantize/file-types.js'
import { tokenTables, type TokenTables } from '../tokenizers/token-tables.js'
import type { GgufDraft } from './gguf-layout.js'
import { identityOf } from './identity.js'
import { changedConfig, inNameOrder, mergeModel, type MergedModel } from './merged-tensors.js'
import { sentencePooling } from './sentence-modules.js'
import { readSmall } from './small-tensors.js'
import { quantizeStage, type QuantizedFile, type QuantizeRequest } from './quantize-stage.js'

export interface GgufSourceRequest {
  readonly base: Model
  readonly adapters: readonly WeightedAdapter[]
  /** How several adapters become one change; unless given their sum. */
  readonly combine?: CombineRule | undefined
  readonly modelName?: string | undefined
  /** --metadata, parsed. */
  readonly metadata?: JsonObject | undefined
  /** `full`; `only`: metadata and tokenizer, no tensors; `none`: no tokenizer. */
  readonly vocabulary: 'full' | 'only' | 'none'
  readonly pre?: string | undefined
  /** Where tokenizer files are, when not in the base. */
  readonly tokenizer?: Folder | undefined
  /** Leave out layers that predict further tokens. */
  readonly noNextn?: boolean | undefined
  /** Opens what tensors are read from: a few small ones decide what the file holds. */
  readonly openBytes: OpenBytes
}

export interface GgufSource {
  readonly architecture: Architecture
  readonly hparams: Hparams
  readonly config: JsonObject
  readonly folder: Folder
  readonly merged: MergedModel
  readonly converted: readonly ConvertedTensor[]
  /** Undefined without a tokenizer. */
  readonly tables: TokenTables | undefined
  readonly general: Awaited<ReturnType<typeof generalKeyValues>>
}

/** Reads configs and tokenizer, no weights. @throws ToolkitError */
export async function readGgufSource(request: GgufSourceRequest): Promise<GgufSource> {
  const { vocabulary } = request
  const base = request.adapters.length === 0 ? request.base : inNameOrder(request.base)
  const { config: baseConfig, folder } = modelFolder(base)
  const merged = mergeModel(base, request.adapters, { combine: request.combine })
  const config = changedConfig(baseConfig, merged.config)
  const architecture = findArchitecture(config, 'config.json')
  const known = await knownTensors(request, architecture, merged)
  const hparams = readHparams(architecture, config, 'config.json', known, { noNextn: request.noNextn ?? false, pooling: await sentencePooling(folder) })
  const tables = vocabulary === 'none' ? undefined : await readTokens(request, architecture, hparams, folder)
  const converted = vocabulary === 'only' ? [] : convertTensors(architecture, hparams, merged, known, tables?.tokenCount)
  const tokenNotes = tables === undefined ? [] : checkTokens(tables, converted, (request.tokenizer ?? folder).label)
  const general = await generalKeyValues({
    folder,
    identity: identityOf(base),
    config,
    modelName: request.modelName,
    override: request.metadata,
    parameters: countParameters(converted),
  })
  return {
    ...{ architecture, hparams, config, folder, merged, converted, general },
    tables: tables === undefined ? undefined : { ...tables, notes: [...tables.notes, ...tokenNotes] },
  }
}

/**
 * Tensors and metadata of one file type: the converter's own, or by way of the file that llama-quantize would have got.
 * @throws ToolkitError of llama-quantize's policy
 */
export function draftGguf(source: GgufSource, fileType: AnyFileType, quantize: Omit<QuantizeRequest, 'fileType'>): QuantizedFile {
  const { architecture, merged, converted } = source
  const oneStep = isConverterFileType(fileType) && !asksForQuantizer(quantize)
  const firstType = oneStep ? fileType : intermediateType(merged)
  const first = { drafts: draftsOf(converted, merged, firstType), keyValues: keyValuesOf(source, firstType), notes: [] }
  if (oneStep || converted.length === 0) return first
  return quantizeStage(first.drafts, first.keyValues, architecture.gguf, { ...quantize, fileType })
}

/** Options that only llama-quantize has: with one of them its second step is taken, whatever the type. */
export function asksForQuantizer({ options, imatrix, overrides }: Omit<QuantizeRequest, 'fileType'>): boolean {
  const { pure, leaveOutputTensor, outputTensorType, tokenEmbeddingType, tensorTypes = [], pruneLayers = [] } = options
  const wanted = [pure, leaveOutputTensor, outputTensorType, tokenEmbeddingType, imatrix, ...tensorTypes, ...pruneLayers.map(String), ...overrides]
  return wanted.some((option) => option !== undefined && option !== false)
}

/** In the reference's order; a key that two of them write keeps the first one's place and has the last one's value. */
function keyValuesOf({ architecture, hparams, general, tables, merged }: GgufSource, fileType: ConverterFileType): KeyValue[] {
  return inPlace([
    { key: 'general.architecture', value: string(architecture.gguf) },
    ...earlyKeyValues(architecture, hparams),
    { key: 'general.type', value: string('model') },
    ...general.keyValues,
    ...architectureKeyValues(architecture, hparams, ALL_FILE_TYPES[statedType(merged, fileType)].id),
    { key: 'general.quantization_version', value: u32(2) },
    ...(tables?.keyValues ?? [{ key: 'tokenizer.ggml.model', value: string('none') }]),
  ])
}

function modelFolder({ label, config, folder, litgpt }: Model): { config: JsonObject; folder: Folder } {
  if (litgpt === true)
    throw new UnsupportedError(
      'is a LitGPT checkpoint, whose tensors have names of their own: convert it with "litgpt convert_from_litgpt" and name that folder.',
      {
        file: label,
      },
    )
  if (config === undefined || folder === undefined) {
    throw new UnsupportedError(
      'a GGUF needs the model’s folder with config.json and tokenizer, not only its weights. Name the folder, or merge into a .safetensors file.',
      { file: label },
    )
  }
  return { config, folder }
}

/**
 * The first tensor of two or more dimensions decides, as the reference has it: f16 unless it is bf16. Of a model that is stored quantized it looks at the files,
 * where scales count too; once adapters are merged, at what a merged folder would hold.
 */
export function autoType({ tensors, dequantized, adapters }: MergedModel): 'f16' | 'bf16' {
  const stored = adapters.length === 0 ? dequantized?.stored.values() : undefined
  for (const { shape, dtype } of stored ?? [...tensors.values()].map(({ base }) => base)) {
    if (shape.length >= 2 && (dtype === 'BF16' || dtype === 'F16')) return dtype === 'BF16' ? 'bf16' : 'f16'
  }
  return 'f16'
}

/** What the converter calls a file of a type: one that keeps its blocks of MXFP4 is of that type, unless it is quantized further. */
export function statedType({ dequantized }: MergedModel, fileType: AnyFileType): AnyFileType {
  return dequantized?.keepsBlocks === true && (fileType === 'f32' || fileType === 'f16' || fileType === 'bf16') ? 'mxfp4' : fileType
}

/** Shapes of all tensors, and the values of those that decide something, unless an adapter changes them. */
async function knownTensors({ openBytes }: GgufSourceRequest, architecture: Architecture, { tensors }: MergedModel): Promise<ReadonlyMap<string, KnownTensor>> {
  const known = new Map<string, KnownTensor>([...tensors].map(([name, { base }]) => [name, { shape: base.shape }]))
  for (const name of wantedValues(architecture, tensors.keys())) {
    const tensor = tensors.get(name)
    if (tensor !== undefined && tensor.applied.length === 0) known.set(name, { shape: tensor.base.shape, values: await readSmall(tensor.base, openBytes) })
  }
  return known
}

function convertTensors(
  architecture: Architecture,
  hparams: Hparams,
  merged: MergedModel,
  known: ReadonlyMap<string, KnownTensor>,
  tokenCount: number | undefined,
): ConvertedTensor[] {
  const sources = [...merged.tensors.values()].map(({ base: { name, shape }, program }) => ({ ...known.get(name), name, shape, program }))
  const converted = planTensors(architecture, hparams, sources, tokenCount)
  for (const { from } of converted) {
    for (const name of from) {
      const tensor = merged.tensors.get(name)?.base
      if (tensor !== undefined && !isPlainFloat(tensor.dtype))
        throw new UnsupportedError(`is ${tensor.dtype}; F32, F16 and BF16 can be converted.`, { file: tensor.source.name, tensor: name })
    }
  }
  return converted
}

async function readTokens(request: GgufSourceRequest, architecture: Architecture, hparams: Hparams, folder: Folder): Promise<TokenTables> {
  return tokenTables({
    folder: request.tokenizer ?? folder,
    config: request.base.config ?? new Map(),
    vocabSize: hparams.vocabSize ?? 0,
    recipe: architecture.definition.tokenizer,
    architecture: architecture.gguf,
    ...(request.pre === undefined ? {} : { pre: request.pre }),
  })
}

/** @throws MismatchError when the tokenizer has tokens that the embedding has no rows for */
function checkTokens({ tokenCount }: TokenTables, converted: readonly ConvertedTensor[], file: string): string[] {
  const embedding = converted.find(({ role }) => role === 'tokenEmbd')
  const rows = embedding?.shape[0]
  if (rows !== undefined && tokenCount > rows) {
    throw new MismatchError(
      `the tokenizer has ${tokenCount} tokens, the embedding ${rows} rows: it belongs to another model. Choose with --tokenizer base|adapter|DIR.`,
      { file, tensor: embedding?.from[0] ?? '' },
    )
  }
  return rows === undefined || tokenCount === rows
    ? []
    : [`the tokenizer has ${tokenCount} tokens, the embedding ${rows} rows; the reference writes it so too, but llama.cpp will refuse the file`]
}

/** What the file between the reference's two steps is: f32 where adapters were added or the base is f32, else the base's own type. */
function intermediateType(merged: MergedModel): ConverterFileType {
  const [first] = [...merged.tensors.values()].filter(({ base }) => base.shape.length >= 2 && merged.dequantized?.programs.has(base.name) !== true)
  return merged.adapters.length > 0 || first?.base.dtype === 'F32' ? 'f32' : autoType(merged)
}

/** Stored blocks of MXFP4 stay what they are, and come first, as the reference writes them. */
function draftsOf(converted: readonly ConvertedTensor[], merged: MergedModel, fileType: ConverterFileType): GgufDraft[] {
  const moves = ({ program }: ConvertedTensor): boolean => merged.dequantized?.keepsBlocks === true && movesMxfp4(program)
  return [...converted.filter(moves), ...converted.filter((tensor) => !moves(tensor))].map((tensor) => {
    const { name, shape, kind, program, from } = tensor
    return {
      name,
      shape,
      type: moves(tensor) ? 'mxfp4' : converterType(fileType, tensorTypeRule({ kind, shape }) === 'alwaysF32', shape.at(-1) ?? 1, name),
      program,
      from,
      applied: from.flatMap((source) => merged.tensors.get(source)?.applied ?? []),
    }
  })
}
