/**
 * Tensors that are read while planning, because their values decide something: alphas, switches. Each is small, and noted with
 * its hash, so that the plan says what it was made from.
 */
import type { ByteSource } from '../core/bytes.js'
import { openDerived } from '../core/derived-bytes.js'
import { FormatError, UnsupportedError } from '../core/errors.js'
import { numberReader } from '../core/stored-numbers.js'
import type { TensorInfo } from '../core/tensor-info.js'
import type { ReadTensor } from './adapter-file.js'

const MOST_BYTES = 1_048_576 // of one tensor
const MOST_BYTES_TOGETHER = 67_108_864

/** Reads small tensors of one file. */
export class SmallTensors {
  /** What was read, in order. */
  readonly read: ReadTensor[] = []
  private readonly source: ByteSource
  private bytes = 0

  constructor(source: ByteSource) {
    this.source = source
  }

  /** Its numbers, as f64; booleans are 0 and 1. @throws FormatError when it is too large, UnsupportedError for types that are no numbers */
  async numbers(tensor: TensorInfo): Promise<number[]> {
    const place = { file: this.source.name, tensor: tensor.name }
    this.bytes += tensor.byteLength
    if (tensor.byteLength > MOST_BYTES || this.bytes > MOST_BYTES_TOGETHER)
      throw new FormatError(`has ${tensor.byteLength} bytes: too large for a tensor that is read before the plan is made.`, place)
    const numbers = numberReader(tensor.dtype)
    if (numbers === undefined) throw new UnsupportedError(`has dtype ${tensor.dtype}; a number is wanted.`, place)
    const bytes = new Uint8Array(tensor.byteLength)
    await openDerived(tensor.source, () => this.source).read(bytes, tensor.offset)
    this.read.push({ tensor: tensor.name, sha256: await sha256(bytes) })
    return Array.from(numbers(bytes))
  }

  /** The one number of a scalar. @throws FormatError when there are more, or none */
  async scalar(tensor: TensorInfo): Promise<number> {
    const [value, ...more] = await this.numbers(tensor)
    if (value === undefined || more.length > 0)
      throw new FormatError(`holds ${more.length + (value === undefined ? 0 : 1)} numbers where one is wanted.`, {
        file: this.source.name,
        tensor: tensor.name,
      })
    return value
  }
}

async function sha256(bytes: Uint8Array<ArrayBuffer>): Promise<string> {
  const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', bytes))
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, '0')).join('')
}
