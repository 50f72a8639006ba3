/** Tensors that are read while planning, because what the file holds depends on them: a few, and small. */
import type { OpenBytes } from '../core/bytes.js'
import { isPlainFloat } from '../core/dtypes.js'
import { UnsupportedError } from '../core/errors.js'
import { numberReader } from '../core/stored-numbers.js'
import type { TensorInfo } from '../core/tensor-info.js'

const MOST_BYTES = 1_048_576

/** All values of a small tensor. @throws UnsupportedError for one that is larger than 1 MiB, or no plain float */
export async function readSmall({ name, dtype, source, offset, byteLength }: TensorInfo, openBytes: OpenBytes): Promise<number[]> {
  const place = { file: source.name, tensor: name }
  const numbers = isPlainFloat(dtype) ? numberReader(dtype) : undefined
  if (numbers === undefined) throw new UnsupportedError(`is ${dtype}; F32, F16 and BF16 can be converted.`, place)
  if (byteLength > MOST_BYTES) throw new UnsupportedError(`has ${byteLength} bytes; at most ${MOST_BYTES} are read while planning.`, place)
  const bytes = new Uint8Array(byteLength)
  await openBytes(source).read(bytes, offset)
  return Array.from(numbers(bytes))
}
