/**
 * Writes the header of a safetensors file: from names, dtypes and shapes to bytes, and where each tensor's data goes.
 *
 * Law: huggingface/safetensors tensor.rs `prepare` (0.8): tensors lie by dtype, in descending order of its `Dtype` enum
 * (wide elements first, so that all are aligned), then by name in the order of UTF-8 bytes; the JSON is compact, with
 * `__metadata__` first, and padded with spaces to a multiple of 8. The bytes are those of Python's `save_file`, except
 * that several metadata entries keep their order here (the crate's is random).
 */
import { DTYPES, type Dtype } from '../../core/dtypes.js'
import { InternalError, UnsupportedError } from '../../core/errors.js'
import { elementCount, shapeText } from '../../core/shape.js'
import { LENGTH_BYTES, MAX_HEADER_BYTES, METADATA_KEY } from './header.js'
import { compareNames } from './name-order.js'

/** A tensor to be written. */
export interface TensorPlan {
  readonly name: string
  readonly dtype: Dtype
  /** Outermost dimension first. */
  readonly shape: readonly number[]
}

export interface EncodedHeader {
  /** Length, JSON and padding: everything in front of the data. */
  readonly bytes: Uint8Array
  /** First byte in the file of each tensor's data, by name, in the order of the data. */
  readonly offsets: ReadonlyMap<string, number>
  readonly fileSize: number
}

const ALIGNMENT = 8 // the data of 64-bit tensors, which come first, starts aligned
const DTYPE_RANK: ReadonlyMap<string, number> = new Map(Object.keys(DTYPES).map((dtype, rank) => [dtype, rank]))

/**
 * Lays out a file.
 * @param tensors   in any order; names are unique
 * @param metadata  `__metadata__`; left out when empty
 * @throws UnsupportedError for a tensor called `__metadata__`, which no reader would find again, and for headers that readers refuse
 */
export function encodeHeader(tensors: readonly TensorPlan[], metadata: ReadonlyMap<string, string> = new Map()): EncodedHeader {
  const sorted = [...tensors].sort((a, b) => rank(b.dtype) - rank(a.dtype) || compareNames(a.name, b.name))
  const begins = new Map<string, number>()
  const entries: string[] = metadata.size > 0 ? [`"${METADATA_KEY}":${metadataJson(metadata)}`] : []
  let dataBytes = 0
  for (const tensor of sorted) {
    checkName(tensor.name, begins)
    const end = dataBytes + tensorBytes(tensor)
    begins.set(tensor.name, dataBytes)
    entries.push(`${text(tensor.name)}:{"dtype":"${tensor.dtype}","shape":[${tensor.shape.join(',')}],"data_offsets":[${dataBytes},${end}]}`)
    dataBytes = end
  }
  const bytes = frame(new TextEncoder().encode(`{${entries.join(',')}}`))
  const offsets = new Map([...begins].map(([name, begin]) => [name, bytes.byteLength + begin]))
  return { bytes, offsets, fileSize: bytes.byteLength + dataBytes }
}

function checkName(name: string, taken: ReadonlyMap<string, number>): void {
  if (name === METADATA_KEY) throw new UnsupportedError(`safetensors keeps this name for itself; rename the tensor.`, { tensor: name })
  if (!name.isWellFormed())
    throw new UnsupportedError('its name holds half of a surrogate pair, which UTF-8 cannot write; rename the tensor.', { tensor: name })
  if (taken.has(name)) throw new InternalError('planned twice for one file', { tensor: name })
}

function tensorBytes({ name, dtype, shape }: TensorPlan): number {
  const bytes = (elementCount(shape) * DTYPES[dtype].bits) / 8
  if (!Number.isSafeInteger(bytes)) throw new InternalError(`${dtype} ${shapeText(shape)} is no whole number of bytes below 2^53`, { tensor: name })
  return bytes
}

/** Length in front, spaces behind. */
function frame(json: Uint8Array): Uint8Array {
  const padded = Math.ceil(json.byteLength / ALIGNMENT) * ALIGNMENT
  if (padded > MAX_HEADER_BYTES)
    throw new UnsupportedError(`the safetensors header would be ${padded} bytes, readers refuse more than ${MAX_HEADER_BYTES}: write more, smaller files.`)
  const bytes = new Uint8Array(LENGTH_BYTES + padded).fill(0x20)
  new DataView(bytes.buffer).setBigUint64(0, BigInt(padded), true)
  bytes.set(json, LENGTH_BYTES)
  return bytes
}

function metadataJson(metadata: ReadonlyMap<string, string>): string {
  return `{${[...metadata].map(([key, value]) => `${text(key)}:${text(value)}`).join(',')}}`
}

/** A string as serde_json writes it, which for well-formed text is what JSON.stringify writes. */
function text(value: string): string {
  return JSON.stringify(value)
}

function rank(dtype: Dtype): number {
  return DTYPE_RANK.get(dtype) ?? 0
}
