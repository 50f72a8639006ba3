/** Tensors that are read while planning, because what the file holds depends on them: a few, and small. */
import type { OpenBytes } from '../core/bytes.js'
import { isPlainFloat } from '../core/dtypes.js'
import { widenF16 } from '../core/float16.js'
import { UnsupportedError } from '../core/errors.js'
import { elementCount } from '../core/shape.js'
import type { TensorInfo } from '../core/tensor-info.js'

const MOST_BYTES = 1_048_576

/** All values of a small tensor. @throws UnsupportedError for one that is larger than 1 MiB, or no plain float */
export async function readSmall({ name, dtype, shape, source, offset, byteLength }: TensorInfo, openBytes: OpenBytes): Promise<number[]> {
  const place = { file: source.name, tensor: name }
  if (!isPlainFloat(dtype)) throw new UnsupportedError(`is ${dtype}; F32, F16 and BF16 can be converted.`, place)
  if (byteLength > MOST_BYTES) throw new UnsupportedError(`has ${byteLength} bytes; at most ${MOST_BYTES} are read while planning.`, place)
  const bytes = new Uint8Array(byteLength)
  await openBytes(source).read(bytes, offset)
  const view = new DataView(bytes.buffer)
  const bits = new Uint32Array(elementCount(shape))
  for (let i = 0; i < bits.length; i++) {
    if (dtype === 'F32') bits[i] = view.getUint32(i * 4, true)
    else bits[i] = dtype === 'F16' ? widenF16(view.getUint16(i * 2, true)) : view.getUint16(i * 2, true) << 16
  }
  return Array.from(new Float32Array(bits.buffer))
}
