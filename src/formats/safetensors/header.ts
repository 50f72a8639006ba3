/**
 * Reads the header of a safetensors file: names, dtypes, shapes, byte ranges. Never touches tensor data.
 *
 *   [u64 header length][JSON header, padded with spaces][tensor data ...]
 *
 * Law: huggingface/safetensors tensor.rs `Metadata::validate` (0.8), rules ST00 to ST18 of docs/formats.md, in that
 * order. Stricter here: keys are unique (the specification says so, the crate lets the last one win), a tensor is an object and its dtype a string (serde also takes `["F32",[1],[0,4]]` and `{"F32":null}`),
 * integers end at 2^53-1. Looser here: none; like the crate, white space before the `{` and unknown fields are accepted.
 */
import type { ByteSource } from '../../core/bytes.js'
import { DTYPES, isDtype, type Dtype } from '../../core/dtypes.js'
import { FormatError, quoted, ruled, type Place } from '../../core/errors.js'
import { isArray, isObject, kindOf, parseJsonObject, type Json, type JsonObject } from '../../core/json.js'
import { shapeText } from '../../core/shape.js'
import type { TensorInfo } from '../../core/tensor-info.js'
import { otherKind } from './other-kinds.js'

/** What stands in front of the tensor data. */
export interface SafetensorsHeader {
  /** In the order of their bytes in the file. */
  readonly tensors: readonly TensorInfo<Dtype>[]
  /** `__metadata__`, in file order; empty when the file has none. */
  readonly metadata: ReadonlyMap<string, string>
  /** Offset in the file of the first byte of tensor data. */
  readonly dataStart: number
}

/** Key of the free text that is no tensor. */
export const METADATA_KEY = '__metadata__'

/** Bytes of the length in front of the header. */
export const LENGTH_BYTES = 8

/** The Rust reader's own cap; a model of 60,000 tensors needs 7 MB. */
export const MAX_HEADER_BYTES = 100_000_000

const MAX_U64 = 0xffff_ffff_ffff_ffffn // the crate multiplies shapes in 64 bits and refuses what overflows
/**
 * Reads and checks the whole header.
 * @throws FormatError naming the tensor or the byte offset
 */
export async function readHeader(source: ByteSource): Promise<SafetensorsHeader> {
  const file = source.name
  const headerBytes = await ruled('ST03', () => readHeaderLength(source))
  const json = new Uint8Array(headerBytes)
  await source.read(json, LENGTH_BYTES)
  const root = ruled('ST05', () => parseJsonObject(json, file, { byteOrderMark: false, plainIntegersOnly: true }, LENGTH_BYTES))

  const dataStart = LENGTH_BYTES + headerBytes
  const tensors: TensorInfo<Dtype>[] = []
  let metadata: ReadonlyMap<string, string> = new Map()
  for (const [name, value] of root) {
    if (name === METADATA_KEY) metadata = ruled('ST11', () => readMetadata(value, file))
    else tensors.push(ruled('ST12', () => readTensor(name, value, source, dataStart)))
  }
  // (begin, end): an empty tensor stands before the one that starts where it lies
  tensors.sort((a, b) => a.offset - b.offset || a.byteLength - b.byteLength)
  ruled('ST15', () => checkLayout(tensors, source, dataStart))
  ruled('ST17', () => tensors.forEach((tensor) => checkSize(tensor, file)))
  return { tensors, metadata, dataStart }
}

/** ST00 to ST03: nothing is allocated before the length is known to fit the file. */
async function readHeaderLength(source: ByteSource): Promise<number> {
  const refuse = async (what: string, offset: number): Promise<FormatError> => (await otherKind(source)) ?? new FormatError(what, { file: source.name, offset })
  if (source.byteLength < LENGTH_BYTES) {
    throw await refuse(`is ${source.byteLength} bytes; a safetensors file has at least ${LENGTH_BYTES}: truncated download?`, 0)
  }
  const bytes = new Uint8Array(LENGTH_BYTES)
  await source.read(bytes, 0)
  const length = new DataView(bytes.buffer).getBigUint64(0, true) // u64: a number only once it is known to be small
  if (length > BigInt(MAX_HEADER_BYTES)) {
    throw await refuse(`header length ${length} exceeds the limit of ${MAX_HEADER_BYTES}: damaged, or not a safetensors file.`, 0)
  }
  const left = source.byteLength - LENGTH_BYTES
  if (Number(length) > left) throw await refuse(`header claims ${length} bytes, file has ${left} left: truncated download?`, LENGTH_BYTES)
  return Number(length)
}

/** ST11; null is none, as the crate has it: MLX writes that. */
function readMetadata(value: Json, file: string): ReadonlyMap<string, string> {
  if (value === null) return new Map()
  if (!isObject(value)) throw new FormatError(`${METADATA_KEY} is ${kindOf(value)}; an object of strings is wanted.`, { file })
  const metadata = new Map<string, string>()
  for (const [key, text] of value) {
    if (typeof text !== 'string') throw new FormatError(`the value of ${quoted(key)} in ${METADATA_KEY} is ${kindOf(text)}; a string is wanted.`, { file })
    metadata.set(key, text)
  }
  return metadata
}

/** ST12 and ST13 of one entry; the range is taken as it is written, checkLayout judges it. */
function readTensor(name: string, info: Json, source: ByteSource, dataStart: number): TensorInfo<Dtype> {
  const place: Place = { file: source.name, tensor: name }
  if (!isObject(info)) throw new FormatError(`is ${kindOf(info)}; an object with dtype, shape and data_offsets is wanted.`, place)
  const dtype = readDtype(info, place)
  const shape = readIntegers(info, 'shape', place)
  const range = readIntegers(info, 'data_offsets', place)
  const [begin, end] = range
  if (begin === undefined || end === undefined || range.length !== 2) throw new FormatError(`data_offsets has ${range.length} numbers; two are wanted.`, place)
  if (end < begin) throw new FormatError(`data_offsets [${begin}, ${end}) end before they begin.`, place)
  return { name, dtype, shape, source: source.descriptor, offset: dataStart + begin, byteLength: end - begin }
}

function readDtype(info: JsonObject, place: Place): Dtype {
  const dtype = info.get('dtype')
  if (typeof dtype !== 'string') throw new FormatError(`dtype is ${kindOf(dtype)}; a string such as "F32" is wanted.`, place)
  if (!isDtype(dtype)) throw new FormatError(`dtype ${quoted(dtype)} is unknown; safetensors 0.8 knows ${Object.keys(DTYPES).join(', ')}.`, place)
  return dtype
}

function readIntegers(info: JsonObject, key: string, place: Place): readonly number[] {
  const values = info.get(key)
  if (!isArray(values)) throw new FormatError(`${key} is ${kindOf(values)}; a list of unsigned integers is wanted.`, place)
  return values.map((value) => {
    if (typeof value === 'bigint') throw new FormatError(`${key} holds ${value}, more than 2^53-1, the most that can be exact here.`, place)
    if (typeof value !== 'number' || Number.isNaN(value)) {
      const found = typeof value === 'number' ? 'a number that is not written as plain digits' : kindOf(value)
      throw new FormatError(`${key} holds ${found}; an unsigned integer is wanted.`, place)
    }
    return value
  })
}

/** ST15 and ST16: no hole, no overlap, nothing behind: reading all tensors never costs more than the file. */
function checkLayout(tensors: readonly TensorInfo<Dtype>[], source: ByteSource, dataStart: number): void {
  const file = source.name
  let expected = dataStart
  for (const { name, offset, byteLength } of tensors) {
    if (offset !== expected) {
      const fault = offset < expected ? 'overlaps the tensor before it' : 'leaves a hole behind the tensor before it'
      throw new FormatError(`data begins at ${offset - dataStart} of the data, ${expected - dataStart} is wanted: it ${fault}.`, { file, tensor: name })
    }
    expected += byteLength
  }
  if (expected > source.byteLength) {
    throw new FormatError(`tensors end at byte ${expected}, the file has ${source.byteLength}: truncated download?`, { file, offset: source.byteLength })
  }
  if (expected < source.byteLength) {
    throw new FormatError(`the last tensor ends at byte ${expected}, the file has ${source.byteLength}: damaged, or two files in one.`, {
      file,
      offset: expected,
    })
  }
}

/** ST14, ST17 and ST18 of one tensor. */
function checkSize({ name, dtype, shape, byteLength }: TensorInfo<Dtype>, file: string): void {
  const place = { file, tensor: name }
  const { bits } = DTYPES[dtype]
  const size = bitSize(shape, bits)
  if (size === undefined) throw new FormatError(`shape ${shapeText(shape)} of ${dtype} has more than 2^64 bits.`, place)
  if (size % 8n !== 0n) throw new FormatError(`${dtype} ${shapeText(shape)} is ${size} bits, no whole number of bytes.`, place)
  if (size / 8n !== BigInt(byteLength)) {
    throw new FormatError(`its range of ${byteLength} bytes does not match ${dtype} ${shapeText(shape)} (${size / 8n} bytes).`, place)
  }
}

/** Bits of a tensor, or undefined where a product leaves 64 bits, even when a later dimension is 0. */
function bitSize(shape: readonly number[], bits: number): bigint | undefined {
  let elements = 1n
  for (const dimension of shape) {
    elements *= BigInt(dimension)
    if (elements > MAX_U64) return undefined
  }
  const size = elements * BigInt(bits)
  return size > MAX_U64 ? undefined : size
}
