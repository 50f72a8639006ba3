/**
 * Lays out GGUF tensors in one file, or in the parts of a split one: types, shapes and programs in; headers, offsets and
 * lengths out.
 *
 * Law: gguf-py gguf_writer.py `add_tensor_info`, `add_shard_kv_data` (llama.cpp 0c1e570): a new part begins when the next
 * tensor would pass a limit; metadata is in the first part only.
 */
import { isEncodedType } from '../core/arithmetic.js'
import { InternalError } from '../core/errors.js'
import type { KeyValue } from '../core/key-value.js'
import { quantBytes, type QuantType } from '../core/quant-types.js'
import type { RowProgram } from '../core/row-program.js'
import { elementCount } from '../core/shape.js'
import { toQuantType } from '../core/stored-types.js'
import { encodeGgufHeader } from '../formats/gguf/header-writer.js'
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
}

/** When a new part begins. Undefined limits: never. */
export interface SplitLimits {
  readonly maxTensors?: number | undefined
  /** Bytes of tensor data, without padding. */
  readonly maxBytes?: number | undefined
  /** The first part holds metadata only. */
  readonly noTensorFirst?: boolean | undefined
}

export interface GgufLayout {
  readonly files: readonly PlannedFile[]
  readonly tensors: readonly PlannedTensor[]
}

/**
 * @param fileName      of the one file; the parts of a split are named `STEM-00001-of-00003.gguf`
 * @param alignment     of tensor data
 */
export function layOutGguf(
  drafts: readonly GgufDraft[],
  keyValues: readonly KeyValue[],
  fileName: string,
  limits: SplitLimits = {},
  alignment = 32,
  tileElements?: number,
): GgufLayout {
  const parts = cutParts(drafts, limits)
  const files: PlannedFile[] = []
  const tensors: PlannedTensor[] = []
  for (const [number, part] of parts.entries()) {
    const split = parts.length === 1 ? [] : splitKeyValues(number, parts.length, drafts.length)
    const header = encodeGgufHeader({
      keyValues: [...(number === 0 ? keyValues : []), ...split],
      tensors: part.map((draft) => ({ ...draft, byteLength: draftBytes(draft) })),
      alignment,
      padWithoutTensors: parts.length > 1,
    })
    part.forEach((draft, i) => tensors.push(planned(draft, number, header.offsets[i] ?? 0, tileElements)))
    files.push({ name: parts.length === 1 ? fileName : partName(fileName, number, parts.length), header: header.bytes, byteLength: header.fileSize })
  }
  return { files, tensors }
}

/** `model.gguf` -> `model-00002-of-00003.gguf`. */
export function partName(fileName: string, number: number, count: number): string {
  const five = (n: number): string => String(n).padStart(5, '0')
  return `${fileName.replace(/\.gguf$/i, '')}-${five(number + 1)}-of-${five(count)}.gguf`
}

function cutParts(drafts: readonly GgufDraft[], { maxTensors, maxBytes, noTensorFirst = false }: SplitLimits): GgufDraft[][] {
  const parts: GgufDraft[][] = noTensorFirst && drafts.length > 0 ? [[], []] : [[]]
  let filled = 0
  for (const draft of drafts) {
    const part = parts.at(-1) ?? []
    const bytes = draftBytes(draft)
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

function splitKeyValues(number: number, count: number, tensorCount: number): KeyValue[] {
  return [
    { key: 'split.no', value: { type: 'u16', value: number } },
    { key: 'split.count', value: { type: 'u16', value: count } },
    { key: 'split.tensors.count', value: { type: 'i32', value: tensorCount } },
  ]
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
  return { kind: 'rows', rows: program, encode: type, ...(importance === undefined ? {} : { importance }) }
}

function draftBytes({ type, shape }: GgufDraft): number {
  return quantBytes(type, elementCount(shape))
}
