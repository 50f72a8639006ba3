/** Finds NaN and infinity in stored tensors, in bounded memory: an adapter that holds one would spoil every weight it touches. */
import { elementBytes, isPlainFloat, type PlainFloat } from '../core/dtypes.js'
import { MismatchError } from '../core/errors.js'
import type { TensorInfo } from '../core/tensor-info.js'
import { openDescriptor } from '../sources/files.js'

const PIECE_BYTES = 1 << 20

/** The bits of the exponent, in the upper 16 bits of an element: all set in NaN and infinity, and in nothing else. */
const EXPONENT: Readonly<Record<PlainFloat, number>> = { F32: 0x7f80, BF16: 0x7f80, F16: 0x7c00 }

/** @throws MismatchError naming tensor and element of the first value that is not finite */
export async function requireFinite(tensors: readonly TensorInfo[]): Promise<void> {
  const buffer = new Uint8Array(PIECE_BYTES)
  for (const { name, dtype, source: descriptor, offset, byteLength } of tensors) {
    if (!isPlainFloat(dtype)) continue
    const source = openDescriptor(descriptor)
    for (let done = 0; done < byteLength; done += PIECE_BYTES) {
      const piece = buffer.subarray(0, Math.min(PIECE_BYTES, byteLength - done))
      await source.read(piece, offset + done)
      const at = firstNotFinite(piece, dtype)
      if (at >= 0)
        throw new MismatchError(`element ${done / elementBytes(dtype) + at} is NaN or infinite: the training diverged, or the file is damaged.`, {
          file: source.name,
          tensor: name,
        })
    }
  }
}

/** Index of the first element that is NaN or infinite, or -1. */
function firstNotFinite(piece: Uint8Array, dtype: PlainFloat): number {
  const size = elementBytes(dtype)
  const exponent = EXPONENT[dtype]
  const view = new DataView(piece.buffer, piece.byteOffset, piece.byteLength)
  for (let upper = size - 2; upper < piece.byteLength; upper += size) {
    if ((view.getUint16(upper, true) & exponent) === exponent) return (upper - size + 2) / size
  }
  return -1
}
