/**
 * Plans a GGUF made from a GGUF: adapters merged into it, its tensors quantized anew, or its parts joined and split.
 *
 * Without a type every tensor keeps its own: the touched ones are dequantized, merged and encoded again, all other bytes,
 * the order of tensors and every key-value stay as they are. With one the file is made by llama-quantize's rules.
 */
import type { Backwards } from '../architectures/backwards.js'
import { isEncodedType, isReadableType } from '../core/arithmetic.js'
import { UnsupportedError } from '../core/errors.js'
import { textOf, type KeyValue } from '../core/key-value.js'
import type { GgufFacts, Model } from '../core/model.js'
import { toQuantType } from '../core/stored-types.js'
import type { WeightedAdapter } from '../merge/combine.js'
import type { CombineRule } from '../merge/combine-rule.js'
import { fillTemplate } from '../model-card/file-name.js'
import { ALL_FILE_TYPES } from '../quantize/file-types.js'
import { withKeyValues } from '../quantize/policy-key-values.js'
import { layOutGguf, PART_SUFFIX, type GgufDraft, type SplitLimits } from './gguf-layout.js'
import { mergeDecisions, mergeModel, mergeWarnings, type MergedModel } from './merged-tensors.js'
import { nameWarnings, withoutTypeName } from './name-warnings.js'
import { modelfileOfGguf } from './plan-modelfile.js'
import type { Plan } from './plan.js'
import { quantizeStage, type QuantizeRequest } from './quantize-stage.js'
import type { SizesRequest } from './sizes.js'

export interface RegGufRequest {
  readonly base: Model & { readonly gguf: GgufFacts }
  readonly adapters: readonly WeightedAdapter[]
  /** By what names adapters found the base's tensors; undefined when by their own. */
  readonly backwards: Backwards | undefined
  /** How several adapters become one change; unless given their sum. */
  readonly combine?: CombineRule | undefined
  /** Undefined: every tensor keeps its type. */
  readonly quantize?: QuantizeRequest | undefined
  readonly output: { readonly root: string; readonly name: string | undefined }
  readonly split?: SplitLimits | undefined
  /** --keep-split: as many parts as the base has, each tensor in its own. */
  readonly keepSplit?: boolean | undefined
  readonly readExisting: ((name: string) => Promise<string | undefined>) | undefined
  readonly receiptFor: ((fileName: string) => string) | undefined
  readonly clampOverflow?: boolean
  readonly tileElements?: number | undefined
  readonly options: Plan['options']
  readonly decisions?: readonly string[]
}

/** @throws ToolkitError */
export async function planRegguf(request: RegGufRequest): Promise<Plan> {
  const { base, quantize } = request
  const architecture = textOf(base.gguf.keyValues, 'general.architecture') ?? ''
  const merged = mergeModel(base, request.adapters, request)
  const stored = draftsOf(merged, base.gguf)
  const { parts } = base.gguf
  const keepSplit = request.keepSplit === true && parts.length > 1
  const { drafts, keyValues, notes } =
    quantize === undefined
      ? { drafts: stored, keyValues: parts.length > 1 ? joinedKeyValues(base.gguf.keyValues) : base.gguf.keyValues, notes: [] }
      : quantizeStage(stored, base.gguf.keyValues, architecture, { ...(keepSplit ? withKeptOrder(quantize) : quantize), file: base.label })
  const typeName = quantize === undefined ? '' : quantize.fileType === 'copy' ? 'COPY' : ALL_FILE_TYPES[quantize.fileType].name
  const name = request.output.name === undefined ? defaultName(request, typeName) : fillTemplate(request.output.name, typeName)
  const { files, tensors, target } = layOutGguf({
    drafts,
    keyValues,
    fileName: name,
    split: request.split,
    splitStyle: 'llama-gguf-split',
    keptParts: keepSplit ? parts.length : undefined,
    alignment: base.gguf.alignment,
    tileElements: request.tileElements,
  })
  const fileNames = files.map((file) => file.name)
  const modelfile = request.readExisting === undefined ? undefined : await modelfileOfGguf(fileNames, keyValues, request.readExisting)
  return {
    kind: 'gguf',
    root: request.output.root,
    target,
    base: base.label,
    adapters: merged.adapters,
    files,
    tensors,
    sideFiles: modelfile?.file === undefined ? [] : [modelfile.file],
    receipt: request.receiptFor?.(target),
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
    warnings: [
      ...(quantize === undefined || quantize.fileType === 'copy' ? [] : nameWarnings(name, quantize.fileType)),
      ...mergeWarnings(request.adapters, merged),
    ],
    options: request.options,
  }
}

/** What {@link planSizes} wants to know of a GGUF. @throws ToolkitError */
export function sizesOfGguf(
  { base, adapters, backwards, combine }: Pick<RegGufRequest, 'base' | 'adapters' | 'backwards' | 'combine'>,
  quantize: Omit<QuantizeRequest, 'fileType'>,
): SizesRequest {
  const { keyValues, alignment } = base.gguf
  const architecture = textOf(keyValues, 'general.architecture') ?? ''
  const drafts = draftsOf(mergeModel(base, adapters, { backwards, combine }), base.gguf)
  const draft: SizesRequest['draft'] = (fileType, more) =>
    quantizeStage(drafts, keyValues, architecture, { ...quantize, file: base.label, fileType, options: { ...quantize.options, ...more } })
  return { architecture, alignment, draft }
}

function draftsOf({ tensors }: MergedModel, { parts }: GgufFacts): GgufDraft[] {
  return [...tensors].map(([name, { base, program, applied }]) => {
    const shape = base.shape.length === 0 ? [1] : base.shape // a scalar: ggml counts four dimensions of 1
    const type = toQuantType(base.dtype)
    const place = { file: base.source.name, tensor: name }
    if (type === undefined) throw new UnsupportedError(`is ${base.dtype}, which GGUF does not have.`, place)
    if (applied.length > 0 && !(isReadableType(base.dtype) && isEncodedType(type)))
      throw new UnsupportedError(`is ${type}, which cannot be encoded again; give --outtype.`, place)
    return { name, shape, type, program, from: [name], applied, part: parts.findIndex(({ source }) => source === base.source) }
  })
}

/** All keys stay; only the number of parts is set to 0, as `llama-gguf-split --merge` does it. */
function joinedKeyValues(keyValues: readonly KeyValue[]): KeyValue[] {
  return withKeyValues(keyValues, [{ key: 'split.count', value: { type: 'u16', value: 0 } }])
}

function withKeptOrder(quantize: QuantizeRequest): QuantizeRequest {
  return { ...quantize, options: { ...quantize.options, keepOrder: true } }
}

/** `model-F16` quantized to q4_k_m -> `model-Q4_K_M.gguf`; without a new type `model-merged.gguf`, joined or split only `model.gguf`. */
function defaultName({ base, adapters, split }: RegGufRequest, typeName: string): string {
  const stem = base.identity.replace(PART_SUFFIX, '')
  if (typeName === 'COPY') return `${stem}-COPY.gguf`
  if (typeName !== '') return `${withoutTypeName(stem)}-${typeName}.gguf`
  const isMoved = base.gguf.parts.length > 1 || split?.maxBytes !== undefined || split?.maxTensors !== undefined
  return adapters.length === 0 && isMoved ? `${stem}.gguf` : `${stem}-merged.gguf`
}
