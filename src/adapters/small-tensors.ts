/**
 * Tensors that are read while planning, because their values decide something: alphas, switches. Each is small, and noted with
 * its hash, so that the plan says what it was made from.
 */
import type { ByteSource } from '../core/bytes.js'
import { openDerived } from '../core/derived-bytes.js'
import { isDtype, elementBytes } from '../core/dtypes.js'
import { FormatError, UnsupportedError } from '../core/errors.js'
import { widenF16 } from '../core/float16.js'
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
    const decode = isDtype(tensor.dtype) ? DECODERS.get(tensor.dtype) : undefined
    if (decode === undefined || !isDtype(tensor.dtype)) throw new UnsupportedError(`has dtype ${tensor.dtype}; a number is wanted.`, place)
    const bytes = new Uint8Array(tensor.byteLength)
    await openDerived(tensor.source, () => this.source).read(bytes, tensor.offset)
    this.read.push({ tensor: tensor.name, sha256: await sha256(bytes) })
    const view = new DataView(bytes.buffer)
    const size = elementBytes(tensor.dtype)
    return Array.from({ length: bytes.byteLength / size }, (_, i) => decode(view, i * size))
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

const DECODERS: ReadonlyMap<string, (view: DataView, at: number) => number> = new Map<string, (view: DataView, at: number) => number>([
  ['F64', (view, at) => view.getFloat64(at, true)],
  ['F32', (view, at) => view.getFloat32(at, true)],
  ['F16', (view, at) => asF32(widenF16(view.getUint16(at, true)))],
  ['BF16', (view, at) => asF32(view.getUint16(at, true) << 16)],
  ['I64', (view, at) => Number(view.getBigInt64(at, true))],
  ['U64', (view, at) => Number(view.getBigUint64(at, true))],
  ['I32', (view, at) => view.getInt32(at, true)],
  ['U32', (view, at) => view.getUint32(at, true)],
  ['I16', (view, at) => view.getInt16(at, true)],
  ['U16', (view, at) => view.getUint16(at, true)],
  ['I8', (view, at) => view.getInt8(at)],
  ['U8', (view, at) => view.getUint8(at)],
  ['BOOL', (view, at) => view.getUint8(at)],
])

function asF32(bits: number): number {
  const word = new DataView(new ArrayBuffer(4))
  word.setUint32(0, bits >>> 0)
  return word.getFloat32(0)
}

async function sha256(bytes: Uint8Array<ArrayBuffer>): Promise<string> {
  const digest = new Uint8Array(await crypto.subtle.digest('SHA-256', bytes))
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, '0')).join('')
}
