/** Sizes of all file types of a model on this machine, and what they do to its values. */
import { openDescriptor } from '../sources/files.js'
import { isEncodedType, type EncodedType } from '../core/arithmetic.js'
import { UsageError } from '../core/errors.js'
import { elementCount, rowShape } from '../core/shape.js'
import { measureTypes, type MeasuredTensor, type SampledTensor } from '../engine/measure.js'
import { draftGguf, readGgufSource } from '../plan/gguf-source.js'
import type { GgufDraft } from '../plan/gguf-layout.js'
import { sizesOfGguf } from '../plan/plan-regguf.js'
import { planSizes, type Sizes, type SizesRequest, type TypeSize } from '../plan/sizes.js'
import { sampleRows, sampleTensors } from '../plan/sizes-sample.js'
import type { AnyFileType } from '../quantize/file-types.js'
import { openInputs } from './inputs.js'
import type { GgufOptions } from './options.js'
import { openQuantization } from './quantization.js'

/** Root of the mean square of the errors, over all weights. */
export interface TypeError {
  readonly rmse: number
  /** Beside the root of the mean square of the weights. */
  readonly relative: number
}

export interface MeasuredSizes extends Sizes {
  /** With `measure`: by file type. */
  readonly errors: ReadonlyMap<AnyFileType, TypeError> | undefined
}

/**
 * Plans every file type, or the one that is asked for.
 * @param measure  samples rows of the weights, too
 * @throws ToolkitError
 */
export async function ggufSizes(options: GgufOptions, measure: boolean): Promise<MeasuredSizes> {
  const { outtype } = options
  if (outtype === 'copy') throw new UsageError('--sizes tells of types; copy has none of its own.')
  const { base, adapters, backwards, combine, tokenizer } = await openInputs(options.model, options.adapters ?? [], 'convert', options)
  const quantize = await openQuantization(options.quantize)
  const fileTypes = outtype === undefined || outtype === 'auto' ? undefined : [outtype]
  let request: SizesRequest
  if (base.gguf === undefined) {
    const source = await readGgufSource({
      openBytes: openDescriptor,
      base,
      adapters,
      combine,
      noNextn: options.noNextn,
      vocabulary: options.noVocab === true ? 'none' : 'full',
      modelName: options.modelName,
      pre: options.pre,
      tokenizer: tokenizer?.folder,
    })
    request = {
      architecture: source.architecture.gguf,
      fileTypes,
      draft: (fileType, more) => draftGguf(source, fileType, { ...quantize, options: { ...quantize.options, ...more } }),
    }
  } else {
    request = { ...sizesOfGguf({ base: { ...base, gguf: base.gguf }, adapters, backwards, combine }, quantize), fileTypes }
  }
  const sizes = planSizes(request)
  return { ...sizes, errors: measure ? measureAll(sizes, request) : undefined }
}

/** Samples the values as they are before any type, and tries each type of each file on them. */
function measureAll({ types }: Sizes, { draft }: SizesRequest): Map<AnyFileType, TypeError> {
  const sampled = sampleTensors(draft('f32', { allowRequantize: true }).drafts)
  const triesOf = sampled.map((tensor) => triesFor(tensor, types))
  const measured = measureTypes(sampled.map(({ program, shape }, i) => ({ program, rows: sampleRows(rowShape(shape), i), tries: triesOf[i] ?? [] })))
  const weights = sampled.map(({ shape }) => elementCount(shape))
  const total = weights.reduce((sum, weight) => sum + weight, 0)
  const mean = (of: (result: MeasuredTensor, i: number) => number): number =>
    Math.sqrt(measured.reduce((sum, result, i) => sum + of(result, i) * (weights[i] ?? 0), 0) / Math.max(1, total))
  const size = mean(({ meanSquare }) => meanSquare)
  return new Map(
    types.map(({ fileType, drafts }) => {
      const byName = new Map(drafts.map((one) => [one.name, one]))
      const rmse = mean(({ errors }, i) => errors[(triesOf[i] ?? []).findIndex(({ type }) => type === byName.get(sampled[i]?.name ?? '')?.type)] ?? 0)
      return [fileType, { rmse, relative: size === 0 ? 0 : rmse / size }]
    }),
  )
}

/** Every type that some file type gives the tensor, once. */
function triesFor({ name }: GgufDraft, types: readonly TypeSize[]): SampledTensor['tries'] {
  const tries = new Map<EncodedType, SampledTensor['tries'][number]>()
  for (const { drafts } of types) {
    const draft = drafts.find((one) => one.name === name)
    if (draft !== undefined && isEncodedType(draft.type)) tries.set(draft.type, { type: draft.type, importance: draft.importance })
  }
  return [...tries.values()]
}
