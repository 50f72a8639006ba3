/** Stored integers as numbers: positions and indices of sparse adapters. PEFT on Windows writes them as f32. */
import { UnsupportedError } from '../core/errors.js'
import { numberReader } from '../core/stored-numbers.js'
import type { TensorInfo } from '../core/tensor-info.js'

const KINDS: ReadonlySet<string> = new Set(['U8', 'I8', 'I16', 'I32', 'I64', 'F32'])

/**
 * All elements of a tensor.
 * @param read  fills with the tensor's bytes
 * @throws UnsupportedError for other types
 */
export function integersOf({ dtype, byteLength, name, source }: TensorInfo, read: (bytes: Uint8Array) => void): Float64Array {
  const numbers = KINDS.has(dtype) ? numberReader(dtype) : undefined
  if (numbers === undefined) throw new UnsupportedError(`has dtype ${dtype} where integers are wanted.`, { file: source.name, tensor: name })
  const bytes = new Uint8Array(byteLength)
  read(bytes)
  return numbers(bytes)
}
