/**
 * Lays out GGUF tensors in one file, or in the parts of a split one: types, shapes and programs in; headers, offsets and
 * lengths out.
 *
 * Law: gguf-py gguf_writer.py `add_tensor_info`, `add_shard_kv_data`; tools/gguf-split (llama.cpp 0c1e570): a new part
 * begins when the next tensor would pass a limit; metadata is in the first part only.
 */
import { isEncodedType } from '../core/arithmetic.js'
import { InternalError } from '../core/errors.js'
import type { KeyValue } from '../core/key-value.js'
import { movesMxfp4 } from '../core/mxfp4-rows.js'
import { quantBytes, type QuantType } from '../core/quant-types.js'
import type { RowProgram } from '../core/row-program.js'
import { elementCount } from '../core/shape.js'
import { toQuantType } from '../core/stored-types.js'
import { headerBytes } from '../formats/gguf/header-size.js'
import { encodeGgufHeader } from '../formats/gguf/header-writer.js'
import { DEFAULT_ALIGNMENT, padded } from '../formats/gguf/wire-types.js'
import { keptSplitKeyValues, withKeyValues } from '../quantize/policy-key-values.js'
import type { AppliedDelta, PlannedFile, PlannedTensor, TensorProgram } from './plan.js'
import { tileSize } from './tiles.js'

/** A tensor that has its type, but no place yet. */
export interface GgufDraft {
  readonly name: string
  /** Outermost dimension first. */
  readonly shape: readonly number[]
  readonly type: QuantType
  readonly program: RowProgram
  readonly from: readonly string[]
  readonly applied: readonly AppliedDelta[]
  /** f32 weight of each column (for every matrix of a stack), for types that weigh errors. */
  readonly importance?: Float32Array
  /** Of a split source: the part it stands in, from 0. */
  readonly part?: number
}

/** When a new part begins. Undefined limits: never. */
export interface SplitLimits {
  readonly maxTensors?: number | undefined
  /** Bytes of tensor data. */
  readonly maxBytes?: number | undefined
  /** The first part holds metadata only. */
  readonly noTensorFirst?: boolean | undefined
}

/**
 * Two programs split GGUFs, and they differ: the converter counts bytes without padding, llama-gguf-split with it, and the
 * keys that it adds stand in another order.
 */
export type SplitStyle = 'gguf-py' | 'llama-gguf-split'

export interface LayoutRequest {
  readonly drafts: readonly GgufDraft[]
  readonly keyValues: readonly KeyValue[]
  /** Of the one file; the parts of a split are named `STEM-00001-of-00003.gguf`. */
  readonly fileName: string
  readonly split?: SplitLimits | undefined
  readonly splitStyle?: SplitStyle
  /** --keep-split: how many parts there are; each draft says which one it goes to. Instead of `split`. */
  readonly keptParts?: number | undefined
  /** Of tensor data, in the file that holds the metadata. */
  readonly alignment?: number
  readonly tileElements?: number | undefined
}

export interface GgufLayout {
  readonly files: readonly PlannedFile[]
  readonly tensors: readonly PlannedTensor[]
  /** The file's name, of a split the first part's. */
  readonly target: string
}

/** Gives every tensor its place. */
export function layOutGguf({
  drafts,
  keyValues,
  fileName,
  split = {},
  splitStyle = 'gguf-py',
  keptParts = 0,
  alignment = DEFAULT_ALIGNMENT,
  tileElements,
}: LayoutRequest): GgufLayout {
  const parts = keptParts > 1 ? keepParts(drafts, keptParts) : cutParts(drafts, split, splitStyle)
  const files: PlannedFile[] = []
  const tensors: PlannedTensor[] = []
  const stated = parts.length === 1 ? keyValues : keyValues.filter(({ key }) => !isSplitKey(key))
  for (const [number, part] of parts.entries()) {
    const own = parts.length === 1 ? [] : splitKeyValues(number, parts.length, drafts.length, keptParts > 1 ? 'gguf-py' : splitStyle)
    const header = encodeGgufHeader({
      keyValues: [...(number === 0 ? stated : []), ...own],
      tensors: part.map((draft) => ({ ...draft, byteLength: draftBytes(draft) })),
      // general.alignment stands in the first part only; of the others readers think the default
      alignment: number === 0 ? alignment : DEFAULT_ALIGNMENT,
      padWithoutTensors: parts.length > 1,
    })
    part.forEach((draft, i) => tensors.push(planned(draft, number, header.offsets[i] ?? 0, tileElements)))
    files.push({ name: parts.length === 1 ? fileName : partName(fileName, number, parts.length), header: header.bytes, byteLength: header.fileSize })
  }
  return { files, tensors, target: files[0]?.name ?? fileName }
}

/** `model.gguf` -> `model-00002-of-00003.gguf`. */
export function partName(fileName: string, number: number, count: number): string {
  const five = (n: number): string => String(n).padStart(5, '0')
  return `${fileName.replace(/\.gguf$/i, '').replace(PART_SUFFIX, '')}-${five(number + 1)}-of-${five(count)}.gguf`
}

/** What the name of a part ends in, before `.gguf`. */
export const PART_SUFFIX = /-\d{5}-of-\d{5}$/

/** Keys that say how a file was split. */
export function isSplitKey(key: string): boolean {
  return key === 'split.no' || key === 'split.count' || key === 'split.tensors.count'
}

function cutParts(drafts: readonly GgufDraft[], { maxTensors, maxBytes, noTensorFirst = false }: SplitLimits, style: SplitStyle): GgufDraft[][] {
  const parts: GgufDraft[][] = noTensorFirst && drafts.length > 0 ? [[], []] : [[]]
  let filled = 0
  for (const draft of drafts) {
    const part = parts.at(-1) ?? []
    const bytes = style === 'gguf-py' ? draftBytes(draft) : padded(draftBytes(draft), DEFAULT_ALIGNMENT)
    const isFull = (maxTensors !== undefined && part.length >= maxTensors) || (maxBytes !== undefined && filled + bytes > maxBytes)
    if (part.length > 0 && isFull) {
      parts.push([draft])
      filled = bytes
    } else {
      part.push(draft)
      filled += bytes
    }
  }
  return parts
}

function keepParts(drafts: readonly GgufDraft[], count: number): GgufDraft[][] {
  return Array.from({ length: count }, (_, number) => drafts.filter(({ part = 0 }) => part === number))
}

function splitKeyValues(number: number, count: number, tensorCount: number, style: SplitStyle): KeyValue[] {
  const keys = keptSplitKeyValues(number, count, tensorCount)
  // llama-gguf-split comes back to the number of parts when it knows it, which puts it last
  return style === 'gguf-py'
    ? keys
    : withKeyValues(
        keys,
        keys.filter(({ key }) => key === 'split.count'),
      )
}

function planned(draft: GgufDraft, file: number, offset: number, tileElements: number | undefined): PlannedTensor {
  const { name, type, shape, from, applied } = draft
  const program = programOf(draft)
  return { name, type, shape, file, offset, byteLength: draftBytes(draft), program, tile: tileSize(program, tileElements), from, applied }
}

/** Bytes that are stored as they will be written are copied: untouched means identical. */
function programOf({ name, type, program, importance }: GgufDraft): TensorProgram {
  if (program.op === 'read' && toQuantType(program.tensor.dtype) === type) return { kind: 'bytes', tensor: program.tensor }
  if (!isEncodedType(type)) throw new InternalError(`nothing encodes ${type}`, { tensor: name })
  if (type === 'mxfp4' && movesMxfp4(program)) return { kind: 'rows', rows: program, encode: type, moves: true }
  return { kind: 'rows', rows: program, encode: type, ...(importance === undefined ? {} : { importance }) }
}

/** Bytes of a tensor's data. */
export function draftBytes({ type, shape }: GgufDraft): number {
  return quantBytes(type, elementCount(shape))
}

/** Bytes of one file of them, without laying it out. */
export function ggufFileBytes(drafts: readonly GgufDraft[], keyValues: readonly KeyValue[], alignment = DEFAULT_ALIGNMENT): number {
  const header = headerBytes(
    keyValues,
    drafts.map((draft) => ({ ...draft, byteLength: draftBytes(draft) })),
  )
  return drafts.reduce((sum, draft) => sum + padded(draftBytes(draft), alignment), drafts.length === 0 ? header : padded(header, alignment))
}
