/**
 * A file of weights in the format that its name asks for: tensors in; all bytes around them, and where each begins, out.
 */
import type { Dtype } from '../core/dtypes.js'
import { encodeHeader } from '../formats/safetensors/header-writer.js'
import { layOutCheckpoint } from '../formats/torch/checkpoint-writer.js'
import type { PlannedFile } from './plan.js'

/** Names of files that torch.load reads: a plain state dict. */
export const TORCH_FILE = /\.(?:pt|pth|bin)$/i

/** A tensor to be written. */
export interface WeightsEntry {
  readonly name: string
  readonly dtype: Dtype
  /** Outermost dimension first. */
  readonly shape: readonly number[]
}

export interface WeightsLayout {
  readonly file: PlannedFile
  /** First byte of each tensor, by name, in the order of the data. */
  readonly offsets: ReadonlyMap<string, number>
}

/**
 * @param metadata  of safetensors; torch has none
 * @param first     position in `Plan.tensors` of the file's first tensor
 * @throws UnsupportedError for types and names that the format has not
 */
export function layOutWeights(fileName: string, tensors: readonly WeightsEntry[], metadata: ReadonlyMap<string, string>, first: number): WeightsLayout {
  if (!TORCH_FILE.test(fileName)) {
    const { bytes, offsets, fileSize } = encodeHeader(tensors, metadata)
    return { file: { name: fileName, header: bytes, byteLength: fileSize }, offsets }
  }
  const { offsets, header, pieces, checksums, fileSize } = layOutCheckpoint(tensors)
  const places = [...offsets.keys()].map((name, i) => ({ tensor: first + i, places: checksums.get(name) ?? [] }))
  return { file: { name: fileName, header, byteLength: fileSize, pieces, checksums: places }, offsets }
}
