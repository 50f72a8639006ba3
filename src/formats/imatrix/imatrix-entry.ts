/** What both forms of importance matrices become, and how their numbers are read. */
import type { ByteSource } from '../../core/bytes.js'
import { FormatError, UnsupportedError, type Place } from '../../core/errors.js'

export interface ImatrixEntry {
  /** f32, one for each column of the tensor, matrix after matrix of a stack of experts. Finite and >= 0. Owned by the entry. */
  readonly values: Float32Array
}

export interface Imatrix {
  /** By tensor name, in file order. */
  readonly entries: ReadonlyMap<string, ImatrixEntry>
  /** Names of the texts it was computed on. */
  readonly datasets: readonly string[]
  /** Pieces of text that were used; 0 when unknown. */
  readonly chunkCount: number
}

const MAX_VALUE_BYTES = 2 ** 31 // largest seen: 1 GB (DeepSeek V3, 256 experts in 58 layers)

/** Counts the bytes of values, so that they are refused before memory is taken. */
export class ValueBudget {
  private left = MAX_VALUE_BYTES

  /** @throws UnsupportedError */
  take(bytes: number, place: Place): void {
    this.left -= bytes
    if (this.left < 0) throw new UnsupportedError(`an importance matrix of more than ${MAX_VALUE_BYTES} bytes is not supported.`, place)
  }
}

/** Reads little-endian f32s; the caller proved that they lie in the file. */
export async function readFloats(source: ByteSource, offset: number, count: number): Promise<Float32Array> {
  const values = new Float32Array(count)
  await source.read(new Uint8Array(values.buffer), offset)
  return values
}

/** @throws FormatError naming the first value that is no finite number >= 0 */
export function checkValues(values: Float32Array, place: Place & { readonly offset: number }): void {
  const at = values.findIndex((value) => !(value >= 0 && value < Infinity))
  if (at >= 0) throw new FormatError(`holds ${values[at]}; a finite number of at least 0 is wanted.`, { ...place, offset: place.offset + 4 * at })
}
