/**
 * Plans a GGUF file: the base's tensors, merged with adapters, through the rows of its architecture into GGUF names,
 * shapes and types, with the metadata that the reference converter derives. Reads configs and tokenizers, no weights.
 *
 * Law: conversion/base.py `prepare_tensors`, `prepare_metadata` (llama.cpp 0c1e570).
 */
import {
  architectureKeyValues,
  planTensors,
  readHparams,
  skippedTensors,
  tensorTypeRule,
  type ConvertedTensor,
  type Hparams,
} from '../architectures/convert.js'
import { findArchitecture } from '../architectures/registry.js'
import type { Architecture } from '../architectures/define.js'
import type { Folder } from '../core/bytes.js'
import { MismatchError, UnsupportedError } from '../core/errors.js'
import { isPlainFloat } from '../core/dtypes.js'
import { string, u32, type KeyValue } from '../core/key-value.js'
import type { JsonObject } from '../core/json.js'
import type { Model } from '../core/model.js'
import { rowShape } from '../core/shape.js'
import type { WeightedAdapter } from '../merge/combine.js'
import { defaultFileName, fillTemplate } from '../model-card/file-name.js'
import { generalKeyValues } from '../model-card/general.js'
import { countParameters } from '../model-card/size-label.js'
import { ALL_FILE_TYPES, converterType, isConverterFileType, type AnyFileType, type ConverterFileType } from '../quantize/file-types.js'
import { tokenTables, type TokenTables } from '../tokenizers/token-tables.js'
import { identityOf } from './identity.js'
import { mergeDecisions, mergeModel, type MergedModel } from './merged-tensors.js'
import { nameWarnings } from './name-warnings.js'
import { planModelfile } from './plan-modelfile.js'
import { layOutGguf, type GgufDraft, type SplitLimits } from './gguf-layout.js'
import type { Plan, PlannedTensor } from './plan.js'
import { quantizeStage, type QuantizeRequest } from './quantize-stage.js'

export interface GgufRequest {
  readonly base: Model
  readonly adapters: readonly WeightedAdapter[]
  readonly outtype: AnyFileType | 'auto'
  /** Options of llama-quantize, for the types that are its own. */
  readonly quantize: Omit<QuantizeRequest, 'fileType'>
  readonly output: {
    readonly root: string
    /** Template of the file name (`{ftype}` …), or undefined for the reference's default name. */
    readonly name: string | undefined
  }
  readonly modelName?: string | undefined
  /** --metadata, parsed. */
  readonly metadata?: JsonObject | undefined
  /** `full`; `only`: metadata and tokenizer, no tensors; `none`: no tokenizer. */
  readonly vocabulary: 'full' | 'only' | 'none'
  readonly pre?: string | undefined
  /** Where tokenizer files are, when not in the base. */
  readonly tokenizer?: Folder | undefined
  /** Gives the text of a file in `root`, if there is one; undefined when no Modelfile is wanted. */
  readonly readExisting: ((name: string) => Promise<string | undefined>) | undefined
  /** Name of the receipt, made from the file name; undefined for none. */
  readonly receiptFor: ((fileName: string) => string) | undefined
  /** When to begin another file. */
  readonly split?: SplitLimits | undefined
  readonly clampOverflow?: boolean
  readonly tileElements?: number | undefined
  readonly options: Plan['options']
  readonly decisions?: readonly string[]
}

/** Plans a conversion. @throws ToolkitError */
export async function planGguf(request: GgufRequest): Promise<Plan> {
  const { base, vocabulary } = request
  const { config, folder } = modelFolder(base)
  const architecture = findArchitecture(config, 'config.json')
  const hparams = readHparams(architecture, config, 'config.json')
  const merged = mergeModel(base, request.adapters)
  const fileType = request.outtype === 'auto' ? autoType(merged) : request.outtype
  const firstType = isConverterFileType(fileType) ? fileType : intermediateType(merged)
  const converted = vocabulary === 'only' ? [] : convertTensors(architecture, hparams, merged)
  const tables = vocabulary === 'none' ? undefined : await readTokens(request, architecture, hparams, folder, converted)
  const general = await generalKeyValues({
    folder,
    identity: identityOf(base),
    config,
    modelName: request.modelName,
    override: request.metadata,
    parameters: countParameters(converted),
  })
  const convertedKeyValues: KeyValue[] = [
    { key: 'general.architecture', value: string(architecture.gguf) },
    { key: 'general.type', value: string('model') },
    ...general.keyValues,
    ...architectureKeyValues(architecture, hparams, ALL_FILE_TYPES[firstType].id),
    { key: 'general.quantization_version', value: u32(2) },
    ...(tables?.keyValues ?? [{ key: 'tokenizer.ggml.model', value: string('none') }]),
  ]
  const name = fileName(request, general, fileType)
  const first = { drafts: draftsOf(converted, merged, firstType), keyValues: convertedKeyValues, notes: [] }
  const isSecondStep = !isConverterFileType(fileType) && vocabulary !== 'only'
  const { drafts, keyValues, notes } = isSecondStep ? quantizeStage(first.drafts, first.keyValues, architecture.gguf, { ...request.quantize, fileType }) : first
  const { files, tensors } = layOutGguf(drafts, keyValues, name, request.split, undefined, request.tileElements)
  const modelfile =
    request.readExisting === undefined || vocabulary !== 'full' || tables === undefined
      ? undefined
      : await planModelfile({ ggufName: name, folder, config, tables, readExisting: request.readExisting })
  return {
    kind: 'gguf',
    root: request.output.root,
    target: name,
    base: base.label,
    adapters: merged.adapters,
    files,
    tensors,
    sideFiles: modelfile?.file === undefined ? [] : [modelfile.file],
    receipt: request.receiptFor?.(name),
    keyValues,
    clampOverflow: request.clampOverflow ?? false,
    decisions: [
      `${architecture.gguf} (${tensors.length} tensors), type ${ALL_FILE_TYPES[fileType].name}${request.outtype === 'auto' ? ', as the base is stored (auto)' : ''}`,
      ...(request.decisions ?? []),
      ...mergeDecisions(merged),
      ...merged.notes,
      ...skippedTensors(architecture, merged.tensors.keys()).map(({ name, reason }) => `${name} is left out: ${reason}`),
      ...(vocabulary === 'none' ? ['no tokenizer is written (--no-vocab): the file is for checks, it cannot chat'] : (tables?.notes ?? [])),
      ...fallbackNotes(tensors, fileType),
      ...notes,
      ...general.notes,
      ...(modelfile?.notes ?? []),
    ],
    warnings: [
      ...nameWarnings(name, fileType),
      ...(request.adapters.length > 0 && merged.adapters.length === 0 ? ['no adapter has a weight other than 0: the output equals the base'] : []),
    ],
    options: request.options,
  }
}

function modelFolder({ label, config, folder }: Model): { config: JsonObject; folder: Folder } {
  if (config === undefined || folder === undefined) {
    throw new UnsupportedError(
      'a GGUF needs the model’s folder with config.json and tokenizer, not only its weights. Name the folder, or merge into a .safetensors file.',
      { file: label },
    )
  }
  if (config.get('quantization_config') !== undefined && config.get('quantization_config') !== null) {
    throw new UnsupportedError('the weights are quantized already (quantization_config); use the 16-bit model that they were made from.', {
      file: 'config.json',
    })
  }
  return { config, folder }
}

/** The first tensor of two or more dimensions decides, as the reference has it: f16 unless it is bf16. */
function autoType({ tensors }: MergedModel): 'f16' | 'bf16' {
  for (const { base } of tensors.values()) {
    if (base.shape.length >= 2 && (base.dtype === 'BF16' || base.dtype === 'F16')) return base.dtype === 'BF16' ? 'bf16' : 'f16'
  }
  return 'f16'
}

function convertTensors(architecture: Architecture, hparams: Hparams, merged: MergedModel): ConvertedTensor[] {
  const sources = [...merged.tensors.values()].map(({ base, program }) => ({ name: base.name, shape: base.shape, program }))
  const converted = planTensors(architecture, hparams, sources)
  for (const { from } of converted) {
    for (const name of from) {
      const tensor = merged.tensors.get(name)?.base
      if (tensor !== undefined && !isPlainFloat(tensor.dtype))
        throw new UnsupportedError(`is ${tensor.dtype}; F32, F16 and BF16 can be converted.`, { file: tensor.source.name, tensor: name })
    }
  }
  return converted
}

async function readTokens(
  request: GgufRequest,
  architecture: Architecture,
  hparams: Hparams,
  folder: Folder,
  converted: readonly ConvertedTensor[],
): Promise<TokenTables> {
  const { config = new Map() } = request.base
  const recipe = architecture.definition.tokenizer
  const tables = await tokenTables({
    folder: request.tokenizer ?? folder,
    config,
    vocabSize: hparams.vocabSize ?? 0,
    recipe,
    ...(request.pre === undefined ? {} : { pre: request.pre }),
  })
  const embedding = converted.find(({ role }) => role === 'tokenEmbd')
  const rows = embedding?.shape[0]
  if (rows !== undefined && tables.tokenCount > rows) {
    throw new MismatchError(
      `the tokenizer has ${tables.tokenCount} tokens, the embedding ${rows} rows: it belongs to another model. Choose with --tokenizer base|adapter|DIR.`,
      {
        file: (request.tokenizer ?? folder).label,
        tensor: embedding?.from[0] ?? '',
      },
    )
  }
  return rows !== undefined && tables.tokenCount < rows
    ? {
        ...tables,
        notes: [
          ...tables.notes,
          `the tokenizer has ${tables.tokenCount} tokens, the embedding ${rows} rows; the reference writes it so too, but llama.cpp will refuse the file`,
        ],
      }
    : tables
}

/** What the file between the reference's two steps is: f32 where adapters were added or the base is f32, else the base's own type. */
function intermediateType(merged: MergedModel): ConverterFileType {
  const [first] = [...merged.tensors.values()].filter(({ base }) => base.shape.length >= 2)
  return merged.adapters.length > 0 || first?.base.dtype === 'F32' ? 'f32' : autoType(merged)
}

function draftsOf(converted: readonly ConvertedTensor[], merged: MergedModel, fileType: ConverterFileType): GgufDraft[] {
  return converted.map(({ name, shape, kind, program, from }) => ({
    name,
    shape,
    type: converterType(fileType, tensorTypeRule({ kind, shape }) === 'alwaysF32', shape.at(-1) ?? 1, name),
    program,
    from,
    applied: from.flatMap((source) => merged.tensors.get(source)?.applied ?? []),
  }))
}

function fileName(request: GgufRequest, general: Awaited<ReturnType<typeof generalKeyValues>>, fileType: AnyFileType): string {
  const { name: typeName } = ALL_FILE_TYPES[fileType]
  if (request.output.name !== undefined) return fillTemplate(request.output.name, typeName)
  if (request.vocabulary === 'only') return defaultFileName({ ...general, sizeLabel: undefined }, '', 'vocab')
  return defaultFileName(general, typeName)
}

/** The converter's own fallback; llama-quantize's stage tells its own. */
function fallbackNotes(tensors: readonly PlannedTensor[], fileType: AnyFileType): string[] {
  if (!isConverterFileType(fileType)) return []
  const { type } = ALL_FILE_TYPES[fileType]
  const fallen = tensors.filter((tensor) => tensor.type === 'f16' && type !== 'f16')
  const cols = fallen.map(({ shape }) => rowShape(shape).cols)
  return fallen.length === 0 ? [] : [`${fallen.length} tensors are f16: their rows (${[...new Set(cols)].join(', ')} elements) are no whole blocks of ${type}`]
}
