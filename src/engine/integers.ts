/** Stored integers as numbers: positions and indices of sparse adapters. PEFT on Windows writes them as f32. */
import { UnsupportedError } from '../core/errors.js'
import type { TensorInfo } from '../core/tensor-info.js'

interface Kind {
  readonly bytes: number
  readonly read: (view: DataView, at: number) => number
}

const KINDS: ReadonlyMap<string, Kind> = new Map<string, Kind>([
  ['U8', { bytes: 1, read: (view, at) => view.getUint8(at) }],
  ['I8', { bytes: 1, read: (view, at) => view.getInt8(at) }],
  ['I16', { bytes: 2, read: (view, at) => view.getInt16(at, true) }],
  ['I32', { bytes: 4, read: (view, at) => view.getInt32(at, true) }],
  ['I64', { bytes: 8, read: (view, at) => Number(view.getBigInt64(at, true)) }],
  ['F32', { bytes: 4, read: (view, at) => view.getFloat32(at, true) }],
])

/**
 * All elements of a tensor.
 * @param read  fills with the tensor's bytes
 * @throws UnsupportedError for other types
 */
export function integersOf({ dtype, byteLength, name, source }: TensorInfo, read: (bytes: Uint8Array) => void): Float64Array {
  const kind = KINDS.get(dtype)
  if (kind === undefined) throw new UnsupportedError(`has dtype ${dtype} where integers are wanted.`, { file: source.name, tensor: name })
  const bytes = new Uint8Array(byteLength)
  read(bytes)
  const view = new DataView(bytes.buffer)
  return Float64Array.from({ length: byteLength / kind.bytes }, (_, i) => kind.read(view, i * kind.bytes))
}
