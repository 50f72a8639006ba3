/**
 * Plans a GGUF file: the base's tensors, merged with adapters, through the rows of its architecture into GGUF names,
 * shapes and types, with the metadata that the reference converter derives. Reads configs and tokenizers, no weights.
 *
 * Law: conversion/base.py `prepare_tensors`, `prepare_metadata` (llama.cpp 0c1e570).
 */
import { skippedTensors } from '../architectures/match.js'
import { nameList } from '../core/errors.js'
import { rowShape } from '../core/shape.js'
import { defaultFileName, fillTemplate } from '../model-card/file-name.js'
import { ALL_FILE_TYPES, isConverterFileType, type AnyFileType } from '../quantize/file-types.js'
import { layOutGguf, type SplitLimits } from './gguf-layout.js'
import { asksForQuantizer, autoType, draftGguf, readGgufSource, statedType, type GgufSource, type GgufSourceRequest } from './gguf-source.js'
import { mergeDecisions, mergeWarnings } from './merged-tensors.js'
import { nameWarnings } from './name-warnings.js'
import { planModelfile } from './plan-modelfile.js'
import type { Plan, PlannedTensor } from './plan.js'
import type { QuantizeRequest } from './quantize-stage.js'

export interface GgufRequest extends GgufSourceRequest {
  readonly outtype: AnyFileType | 'auto'
  /** Options of llama-quantize. */
  readonly quantize: Omit<QuantizeRequest, 'fileType'>
  readonly output: {
    readonly root: string
    /** Template of the file name (`{ftype}` …), or undefined for the reference's default name. */
    readonly name: string | undefined
  }
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
  const { vocabulary, split, tileElements, quantize } = request
  const source = await readGgufSource(request)
  const { architecture, merged, tables, general, config, folder } = source
  const fileType = request.outtype === 'auto' ? autoType(merged) : request.outtype
  const { drafts, keyValues, notes } = draftGguf(source, fileType, quantize)
  const isConverters = isConverterFileType(fileType) && !asksForQuantizer(quantize)
  const stated = isConverters ? statedType(merged, fileType) : fileType
  const name = fileName(request, general, stated)
  const { files, tensors, target } = layOutGguf({
    drafts,
    keyValues,
    fileName: name,
    split,
    splitStyle: isConverters ? 'gguf-py' : 'llama-gguf-split',
    tileElements,
  })
  const modelfile =
    request.readExisting === undefined || vocabulary !== 'full' || tables === undefined
      ? undefined
      : await planModelfile({ ggufNames: files.map((file) => file.name), folder, config, tables, readExisting: request.readExisting })
  return {
    kind: 'gguf',
    root: request.output.root,
    target,
    base: request.base.label,
    adapters: merged.adapters,
    files,
    tensors,
    sideFiles: modelfile?.file === undefined ? [] : [modelfile.file],
    receipt: request.receiptFor?.(target),
    keyValues,
    clampOverflow: request.clampOverflow ?? false,
    decisions: [
      `${architecture.gguf} (${tensors.length} tensors), type ${ALL_FILE_TYPES[stated].name}${request.outtype === 'auto' ? ' (auto)' : ''}`,
      ...(request.decisions ?? []),
      ...mergeDecisions(merged),
      ...merged.notes,
      ...leftOutNotes(source),
      ...(vocabulary === 'none' ? ['no tokenizer is written (--no-vocab): the file is for checks, it cannot chat'] : (tables?.notes ?? [])),
      ...(isConverters ? fallbackNotes(tensors, fileType) : []),
      ...notes,
      ...general.notes,
      ...(modelfile?.notes ?? []),
    ],
    warnings: [...nameWarnings(name, stated), ...mergeWarnings(request.adapters, merged)],
    options: request.options,
  }
}

function fileName(request: GgufRequest, general: GgufSource['general'], fileType: AnyFileType): string {
  const { name: typeName } = ALL_FILE_TYPES[fileType]
  if (request.output.name !== undefined) return fillTemplate(request.output.name, typeName)
  if (request.vocabulary === 'only') return defaultFileName({ ...general, sizeLabel: undefined }, '', 'vocab')
  return defaultFileName(general, typeName)
}

const LEFT_OUT = {
  buffer: 'computed again when the model runs',
  modality: 'eyes, ears or voice: the model will be blind and deaf in Ollama. Convert the projector (mmproj) separately',
  unused: 'llama.cpp has no place for them',
  prediction: 'layers that predict further tokens',
} as const

/** One line per reason, not per tensor: an image encoder has hundreds. */
function leftOutNotes({ architecture, hparams, merged }: GgufSource): string[] {
  const skipped = skippedTensors(architecture, hparams, merged.tensors.keys())
  return [...new Set(skipped.map(({ reason }) => reason))].map((reason) => {
    const names = skipped.filter((tensor) => tensor.reason === reason).map(({ name }) => name)
    return `left out: ${nameList(names)} (${LEFT_OUT[reason]})`
  })
}

/** The converter's own fallback; llama-quantize's stage tells its own. */
function fallbackNotes(tensors: readonly PlannedTensor[], fileType: AnyFileType): string[] {
  const { type } = ALL_FILE_TYPES[fileType]
  const fallen = tensors.filter((tensor) => tensor.type === 'f16' && type !== 'f16')
  const cols = fallen.map(({ shape }) => rowShape(shape).cols)
  return fallen.length === 0 ? [] : [`${fallen.length} tensors are f16: their rows (${[...new Set(cols)].join(', ')} elements) are no whole blocks of ${type}`]
}
