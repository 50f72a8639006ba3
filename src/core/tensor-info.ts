/** A tensor of a checkpoint: what it is and where its bytes lie. Plain data: it can be cloned to a worker or printed. */
import type { ByteDescriptor } from './bytes.js'
import type { Dtype } from './dtypes.js'

export interface TensorInfo {
  /** As the file spells it. */
  readonly name: string
  readonly dtype: Dtype
  /** Outermost dimension first. */
  readonly shape: readonly number[]
  /** The file that holds the data, packed little-endian, row major. */
  readonly source: ByteDescriptor
  /** First byte of the data in `source`. */
  readonly offset: number
  readonly byteLength: number
}
