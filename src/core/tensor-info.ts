/** A tensor of a checkpoint: what it is and where its bytes lie. Plain data: it can be cloned to a worker or printed. */
import type { ByteDescriptor } from './bytes.js'
import type { Place } from './errors.js'
import type { StoredType } from './stored-types.js'

export interface TensorInfo<D extends StoredType = StoredType> {
  /** As the file spells it. */
  readonly name: string
  readonly dtype: D
  /** Outermost dimension first. */
  readonly shape: readonly number[]
  /** The file that holds the data, packed little-endian, row major; blocks as GGUF has them. */
  readonly source: ByteDescriptor
  /** First byte of the data in `source`. */
  readonly offset: number
  readonly byteLength: number
}

/** Where it is, for messages. */
export function placeOfTensor({ source, name }: Pick<TensorInfo, 'source' | 'name'>): Place {
  return { file: source.name, tensor: name }
}
