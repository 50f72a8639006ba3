/**
 * Every file type of one model with its size, bits per weight and the cards it fits: what users want to know before they
 * choose. Headers in, rows of a table out; no weight is read.
 */
import { UsageError, UnsupportedError } from '../core/errors.js'
import type { KeyValue } from '../core/key-value.js'
import { elementCount } from '../core/shape.js'
import { ALL_FILE_TYPES, type AnyFileType } from '../quantize/file-types.js'
import type { QuantizeOptions } from '../quantize/policy.js'
import { contextRoom, type ContextRoom } from './context-room.js'
import { draftBytes, ggufFileBytes, type GgufDraft } from './gguf-layout.js'
import type { QuantizedFile } from './quantize-stage.js'

/** Memory of graphics cards, GiB. */
export const CARDS = [8, 12, 16, 24] as const

/** A file type, planned. */
export interface TypeSize {
  readonly fileType: AnyFileType
  /** Of the file, header and padding too. */
  readonly bytes: number
  /** Bits of tensor data for each weight. */
  readonly bitsPerWeight: number
  /** Those of {@link CARDS} that hold the file and the room for context. */
  readonly fits: readonly number[]
  /** What the type asks for, or does otherwise than its name says. */
  readonly notes: readonly string[]
  readonly drafts: readonly GgufDraft[]
}

/** A file type that this model cannot have. */
export interface RefusedType {
  readonly fileType: AnyFileType
  readonly reason: string
}

export interface Sizes {
  /** Weights of the model. */
  readonly weights: number
  readonly room: ContextRoom
  readonly types: readonly TypeSize[]
  readonly refused: readonly RefusedType[]
}

export interface SizesRequest {
  readonly architecture: string
  /** Wanted types; all unless given. */
  readonly fileTypes?: readonly AnyFileType[] | undefined
  /** Plans one type with the options given beside the user's own. */
  readonly draft: (fileType: AnyFileType, options: QuantizeOptions) => QuantizedFile
  readonly alignment?: number | undefined
}

/** Plans every type. @throws ToolkitError when no type at all can be planned */
export function planSizes({ architecture, fileTypes = Object.keys(ALL_FILE_TYPES) as AnyFileType[], draft, alignment }: SizesRequest): Sizes {
  const types: Omit<TypeSize, 'fits'>[] = []
  const refused: RefusedType[] = []
  let keyValues: readonly KeyValue[] = []
  for (const fileType of fileTypes) {
    try {
      const { file, notes } = planType(fileType, draft)
      keyValues = file.keyValues
      const weights = weightsOf(file.drafts)
      const dataBytes = file.drafts.reduce((sum, one) => sum + draftBytes(one), 0)
      if (!file.drafts.some(({ type }) => type === ALL_FILE_TYPES[fileType].type)) notes.push(`no tensor of this model gets ${ALL_FILE_TYPES[fileType].type}`)
      types.push({
        fileType,
        bytes: ggufFileBytes(file.drafts, file.keyValues, alignment),
        bitsPerWeight: (dataBytes * 8) / weights,
        notes,
        drafts: file.drafts,
      })
    } catch (error) {
      if (!(error instanceof UnsupportedError) || fileTypes.length === 1) throw error
      refused.push({ fileType, reason: error.message })
    }
  }
  const room = contextRoom(keyValues, architecture)
  const needed = room.contextBytes + room.computeBytes
  return {
    weights: weightsOf(types[0]?.drafts ?? []),
    room,
    types: types.map((type) => ({ ...type, fits: CARDS.filter((card) => type.bytes + needed <= card * 2 ** 30) })),
    refused,
  }
}

/** As the run would plan it, and where that asks for an importance matrix, as it would be with one. */
function planType(fileType: AnyFileType, draft: SizesRequest['draft']): { file: QuantizedFile; notes: string[] } {
  try {
    const file = draft(fileType, { allowRequantize: true })
    return { file, notes: file.notes.filter((note) => note.includes(' instead of ')) }
  } catch (error) {
    if (!(error instanceof UsageError)) throw error
    return { file: draft(fileType, { allowRequantize: true, dryRun: true }), notes: ['needs --imatrix'] }
  }
}

function weightsOf(drafts: readonly GgufDraft[]): number {
  return drafts.reduce((sum, { shape }) => sum + elementCount(shape), 0)
}
