/**
 * Plans a GGUF made from a GGUF: adapters merged into it, its tensors quantized anew, or its parts joined and split.
 *
 * Without a type every tensor keeps its own: the touched ones are dequantized, merged and encoded again, all other bytes,
 * the order of tensors and every key-value stay as they are. With one the file is made by llama-quantize's rules.
 */
import { readBackwards } from '../architectures/backwards.js'
import { isEncodedType, isReadableType } from '../core/arithmetic.js'
import { UnsupportedError } from '../core/errors.js'
import type { KeyValue } from '../core/key-value.js'
import type { GgufFacts, Model } from '../core/model.js'
import { toQuantType } from '../core/stored-types.js'
import type { WeightedAdapter } from '../merge/combine.js'
import { fillTemplate } from '../model-card/file-name.js'
import { ALL_FILE_TYPES } from '../quantize/file-types.js'
import { layOutGguf, type GgufDraft, type SplitLimits } from './gguf-layout.js'
import { mergeDecisions, mergeModel, type MergedModel } from './merged-tensors.js'
import { nameWarnings } from './name-warnings.js'
import { modelfileOfGguf } from './plan-modelfile.js'
import type { Plan } from './plan.js'
import { quantizeStage, type QuantizeRequest } from './quantize-stage.js'

export interface RegGufRequest {
  readonly base: Model & { readonly gguf: GgufFacts }
  readonly adapters: readonly WeightedAdapter[]
  /** Undefined: every tensor keeps its type. */
  readonly quantize?: QuantizeRequest | undefined
  readonly output: { readonly root: string; readonly name: string | undefined }
  readonly split?: SplitLimits | undefined
  readonly readExisting: ((name: string) => Promise<string | undefined>) | undefined
  readonly receiptFor: ((fileName: string) => string) | undefined
  readonly clampOverflow?: boolean
  readonly tileElements?: number | undefined
  readonly options: Plan['options']
  readonly decisions?: readonly string[]
}

const SPLIT_KEYS: ReadonlySet<string> = new Set(['split.no', 'split.count', 'split.tensors.count'])

/** @throws ToolkitError */
export async function planRegguf(request: RegGufRequest): Promise<Plan> {
  const { base, quantize } = request
  const architecture = textOf(base.gguf.keyValues, 'general.architecture')
  const backwards = request.adapters.length === 0 ? undefined : readBackwards(architecture, base.gguf.keyValues, base.label)
  const merged = mergeModel(base, request.adapters, backwards)
  const kept = base.gguf.keyValues.filter(({ key }) => !SPLIT_KEYS.has(key))
  const stored = draftsOf(merged)
  const { drafts, keyValues, notes } =
    quantize === undefined ? { drafts: stored, keyValues: kept, notes: [] } : quantizeStage(stored, kept, architecture, quantize)
  const typeName = quantize === undefined ? '' : ALL_FILE_TYPES[quantize.fileType].name
  const name = request.output.name === undefined ? defaultName(base.identity, typeName) : fillTemplate(request.output.name, typeName)
  const { files, tensors } = layOutGguf(drafts, keyValues, name, request.split, base.gguf.alignment, request.tileElements)
  const modelfile = request.readExisting === undefined ? undefined : await modelfileOfGguf(name, keyValues, request.readExisting)
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
      `${architecture} (${tensors.length} tensors), ${quantize === undefined ? 'every tensor keeps its type' : `type ${typeName}`}`,
      ...(request.decisions ?? []),
      ...mergeDecisions(merged),
      ...merged.notes,
      ...notes,
      ...(modelfile?.notes ?? []),
    ],
    warnings: quantize === undefined ? [] : nameWarnings(name, quantize.fileType),
    options: request.options,
  }
}

function draftsOf({ tensors }: MergedModel): GgufDraft[] {
  return [...tensors].map(([name, { base, program, applied }]) => {
    const type = toQuantType(base.dtype)
    const place = { file: base.source.name, tensor: name }
    if (type === undefined) throw new UnsupportedError(`is ${base.dtype}, which GGUF does not have.`, place)
    if (applied.length > 0 && !(isReadableType(base.dtype) && isEncodedType(type)))
      throw new UnsupportedError(`is ${type}, which cannot be encoded again; give --outtype.`, place)
    return { name, shape: base.shape, type, program, from: [name], applied }
  })
}

/** `model-F16` quantized to q4_k_m -> `model-Q4_K_M.gguf`; without a new type `model-merged.gguf`. */
function defaultName(identity: string, typeName: string): string {
  const stem = identity.replace(/-\d{5}-of-\d{5}$/, '')
  if (typeName === '') return `${stem}-merged.gguf`
  return `${stem.replace(/[-_.](?:f32|f16|bf16|i?q\d(?:_[a-z0-9]+)+|tq\d_\d|mxfp4(?:_moe)?)$/i, '')}-${typeName}.gguf`
}

function textOf(keyValues: readonly KeyValue[], wanted: string): string {
  const value = keyValues.find(({ key }) => key === wanted)?.value
  return value?.type === 'string' ? value.value : ''
}
