/** The first elements of a small tensor, read before the plan is made: where they decide what it says. */
import { floatsOf, type ByteSource } from '../../core/bytes.js'
import { elementBytes, isPlainFloat } from '../../core/dtypes.js'
import { widenBf16s, widenF16s } from '../../core/float16.js'
import type { TensorInfo } from '../../core/tensor-info.js'

/**
 * @param source  the file that the tensor is in
 * @returns undefined where its bytes do not lie in the file as they are (deflated records, strided views), or are no plain floats
 */
export async function firstElements(source: ByteSource, { dtype, offset, source: place }: TensorInfo, count: number): Promise<readonly number[] | undefined> {
  const isStored = place.kind === 'member' && !place.deflated
  if (!isPlainFloat(dtype) || (place.kind !== 'file' && place.kind !== 'memory' && !isStored)) return undefined
  const bytes = new Uint8Array(count * elementBytes(dtype))
  await source.read(bytes, offset + (isStored ? place.offset : 0))
  if (dtype === 'F32') return [...floatsOf(bytes)]
  const bits = new Uint32Array(count)
  const halves = new Uint16Array(bytes.buffer)
  if (dtype === 'F16') widenF16s(halves, bits)
  else widenBf16s(halves, bits)
  return [...new Float32Array(bits.buffer)]
}
