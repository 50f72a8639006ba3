/** Stored numbers as JavaScript has them, for tensors that are small: their values decide something, or index others. */
import { elementBytes, isDtype, type Dtype } from './dtypes.js'
import { widenF16 } from './float16.js'

type Reader = (view: DataView, at: number) => number

/** Booleans are 0 and 1; integers beyond 2⁵³ lose their last bits. */
const READERS: Partial<Readonly<Record<Dtype, Reader>>> = {
  F64: (view, at) => view.getFloat64(at, true),
  F32: (view, at) => view.getFloat32(at, true),
  F16: (view, at) => asF32(widenF16(view.getUint16(at, true))),
  BF16: (view, at) => asF32(view.getUint16(at, true) << 16),
  I64: (view, at) => Number(view.getBigInt64(at, true)),
  U64: (view, at) => Number(view.getBigUint64(at, true)),
  I32: (view, at) => view.getInt32(at, true),
  U32: (view, at) => view.getUint32(at, true),
  I16: (view, at) => view.getInt16(at, true),
  U16: (view, at) => view.getUint16(at, true),
  I8: (view, at) => view.getInt8(at),
  U8: (view, at) => view.getUint8(at),
  BOOL: (view, at) => view.getUint8(at),
}

/** Reads elements of a type, given as packed little-endian bytes; undefined for types that are no plain numbers. */
export function numberReader(dtype: string): ((bytes: Uint8Array) => Float64Array) | undefined {
  const read = isDtype(dtype) ? READERS[dtype] : undefined
  if (!isDtype(dtype) || read === undefined) return undefined
  const size = elementBytes(dtype)
  return (bytes) => {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    return Float64Array.from({ length: bytes.byteLength / size }, (_, i) => read(view, i * size))
  }
}

const word = new DataView(new ArrayBuffer(4))

function asF32(bits: number): number {
  word.setUint32(0, bits >>> 0)
  return word.getFloat32(0)
}
