/**
 * Encodes the header of a GGUF file: metadata and tensor list in, bytes and the places of the data out. Pure.
 *
 *   ["GGUF"][u32 3][u64 tensors][u64 key-values][key-values ...][tensor infos ...][padding] | data, each tensor padded
 *
 * Key-values are written as given, empty ones too; who derives them leaves out what the reference leaves out.
 *
 * Law: gguf-py's GGUFWriter (llama.cpp 0c1e570): version 3, little-endian, the last tensor padded too. Stricter: what
 * does not fit its type, or what libggml would not read back, is an error.
 */
import { FormatError, InternalError, nameList, quoted, UnsupportedError } from '../../core/errors.js'
import type { KeyValue, MetadataValue } from '../../core/key-value.js'
import { QUANT_TYPES, quantBytes, type QuantType } from '../../core/quant-types.js'
import { elementCount, shapeText } from '../../core/shape.js'
import { textBytes, writeText } from './byte-text.js'
import {
  ALIGNMENT_KEY,
  BIG_TYPES,
  DEFAULT_ALIGNMENT,
  GGUF_VERSION,
  isPowerOfTwo,
  MAX_DIMENSIONS,
  MAX_HEADER_BYTES,
  MAX_KEY_BYTES,
  MAX_TENSOR_NAME_BYTES,
  NUMBER_TYPES,
  padded,
  VALUE_TYPE_IDS,
} from './wire-types.js'

/** A tensor to be listed. */
export interface TensorEntry {
  readonly name: string
  /** Outermost dimension first; 1 to 4 of them. */
  readonly shape: readonly number[]
  readonly type: QuantType
  /** Bytes of its data, without padding; must be what shape and type make. */
  readonly byteLength: number
}

export interface HeaderPlan {
  readonly keyValues: readonly KeyValue[]
  readonly tensors: readonly TensorEntry[]
  /** Power of two; other than 32, `general.alignment` must say the same. */
  readonly alignment?: number
  /**
   * Whether a header without tensors is padded. gguf-py pads when it comes to the tensor data: a file of vocabulary only
   * ends right after its metadata (default), the first part of a split without tensors is padded.
   */
  readonly padWithoutTensors?: boolean
}

export interface EncodedHeader {
  /** The whole header, with the padding up to `dataStart`. */
  readonly bytes: Uint8Array
  /** First byte of the tensor data; equals `bytes.length`. */
  readonly dataStart: number
  /** First byte of each tensor's data, from the start of the file, in the order given. */
  readonly offsets: readonly number[]
  /** Bytes of the file, with the padding after the last tensor. */
  readonly fileSize: number
}

/**
 * @throws FormatError for a value that its type cannot hold, or a name given twice
 * @throws UnsupportedError for what the format cannot hold: long names, more than 4 dimensions, cut blocks
 */
export function encodeGgufHeader({ keyValues, tensors, alignment = DEFAULT_ALIGNMENT, padWithoutTensors = false }: HeaderPlan): EncodedHeader {
  checkAlignment(keyValues, alignment)
  checkUnique(keyValues.map(({ key }) => key), 'metadata key')
  checkUnique(tensors.map(({ name }) => name), 'tensor name')
  tensors.forEach(checkTensor)

  const unpadded = headerBytes(keyValues, tensors)
  const dataStart = tensors.length > 0 || padWithoutTensors ? padded(unpadded, alignment) : unpadded
  if (dataStart > MAX_HEADER_BYTES) throw new UnsupportedError(`the GGUF header takes ${dataStart} bytes; at most ${MAX_HEADER_BYTES} are supported.`)
  const offsets: number[] = []
  let dataBytes = 0
  for (const { byteLength } of tensors) {
    offsets.push(dataStart + dataBytes)
    dataBytes = padded(dataBytes + byteLength, alignment)
  }

  const writer = new HeaderBytes(dataStart)
  writer.magic()
  writer.u32(GGUF_VERSION)
  writer.count(tensors.length)
  writer.count(keyValues.length)
  for (const { key, value } of keyValues) {
    writer.text(key)
    writer.value(value)
  }
  tensors.forEach((tensor, i) => writer.tensorInfo(tensor, (offsets[i] ?? 0) - dataStart))
  return { bytes: writer.bytes, dataStart, offsets, fileSize: dataStart + dataBytes }
}

/** Fills a header whose size and values have been checked. */
class HeaderBytes {
  readonly bytes: Uint8Array
  private readonly view: DataView
  private at = 0

  constructor(length: number) {
    this.bytes = new Uint8Array(length)
    this.view = new DataView(this.bytes.buffer)
  }

  magic(): void {
    this.at = writeText('GGUF', this.bytes, this.at)
  }

  u32(value: number): void {
    this.view.setUint32(this.at, value, true)
    this.at += 4
  }

  /** A u64 below 2^53. */
  count(value: number): void {
    this.view.setUint32(this.at, value % 2 ** 32, true)
    this.view.setUint32(this.at + 4, Math.floor(value / 2 ** 32), true)
    this.at += 8
  }

  text(text: string): void {
    const start = this.at
    const end = writeText(text, this.bytes, start + 8)
    this.count(end - start - 8)
    this.at = end
  }

  value(value: MetadataValue): void {
    this.u32(VALUE_TYPE_IDS[value.type])
    switch (value.type) {
      case 'array':
        this.u32(VALUE_TYPE_IDS[value.items])
        this.count(value.value.length)
        return this.items(value)
      case 'string':
        return this.text(value.value)
      case 'bool':
        this.bytes[this.at++] = Number(value.value)
        return
      case 'u64':
      case 'i64':
        return this.number(BIG_TYPES[value.type], value.value)
      default:
        this.number(NUMBER_TYPES[value.type], value.value)
    }
  }

  tensorInfo({ name, shape, type }: TensorEntry, relativeOffset: number): void {
    this.text(name)
    this.u32(shape.length)
    for (const dimension of shape.toReversed()) this.count(dimension)
    this.u32(QUANT_TYPES[type].id)
    this.count(relativeOffset)
  }

  private items(array: MetadataArray): void {
    switch (array.items) {
      case 'string':
        for (const text of array.value) this.text(text)
        return
      case 'bool':
        for (const value of array.value) this.bytes[this.at++] = Number(value)
        return
      case 'u64':
      case 'i64':
        return this.numbers(BIG_TYPES[array.items], array.value)
      default:
        this.numbers(NUMBER_TYPES[array.items], array.value)
    }
  }

  private numbers<N>(row: NumberRow<N>, values: ArrayLike<N>): void {
    for (let i = 0; i < values.length; i++) this.number(row, values[i]!)
  }

  private number<N>(row: NumberRow<N>, value: N): void {
    row.write(this.view, this.at, value)
    this.at += row.bytes
  }
}

type MetadataArray = MetadataValue & { readonly type: 'array' }

interface NumberRow<N> {
  readonly bytes: number
  readonly range: readonly [N, N]
  readonly fits: (value: N) => boolean
  readonly write: (view: DataView, at: number, value: N) => void
}

/** Size of the header without padding; checks every value on the way. */
function headerBytes(keyValues: readonly KeyValue[], tensors: readonly TensorEntry[]): number {
  let bytes = 4 + 4 + 8 + 8
  for (const { key, value } of keyValues) bytes += keyBytes(key) + 4 + valueBytes(key, value)
  for (const { name, shape } of tensors) bytes += 8 + (textBytes(name) ?? 0) + 4 + 8 * shape.length + 4 + 8
  return bytes
}

function keyBytes(key: string): number {
  const bytes = textBytes(key)
  if (bytes === undefined || !key.isWellFormed()) throw new FormatError(`the metadata key ${quoted(key)} is not valid Unicode.`)
  if (bytes === 0 || bytes > MAX_KEY_BYTES) throw new UnsupportedError(`the metadata key ${quoted(key)} has ${bytes} bytes; GGUF allows 1 to ${MAX_KEY_BYTES}.`)
  if (key.includes('\0')) throw new FormatError(`the metadata key ${quoted(key)} holds a NUL.`)
  return 8 + bytes
}

function valueBytes(key: string, value: MetadataValue): number {
  switch (value.type) {
    case 'array':
      return 4 + 8 + itemsBytes(key, value)
    case 'string':
      return stringBytes(key, value.value)
    case 'bool':
      return 1
    case 'u64':
    case 'i64':
      return numbersBytes(key, value.type, BIG_TYPES[value.type], [value.value])
    default:
      return numbersBytes(key, value.type, NUMBER_TYPES[value.type], [value.value])
  }
}

function itemsBytes(key: string, array: MetadataArray): number {
  switch (array.items) {
    case 'string': {
      let bytes = 0
      for (const text of array.value) bytes += stringBytes(key, text)
      return bytes
    }
    case 'bool':
      return array.value.length
    case 'u64':
    case 'i64':
      return numbersBytes(key, array.items, BIG_TYPES[array.items], array.value)
    default:
      return numbersBytes(key, array.items, NUMBER_TYPES[array.items], array.value)
  }
}

function stringBytes(key: string, text: string): number {
  const bytes = textBytes(text)
  if (bytes === undefined) throw new FormatError(`the metadata ${quoted(key)} holds ${quoted(text)}, with half of a surrogate pair: UTF-8 cannot hold it.`)
  return 8 + bytes
}

function numbersBytes<N extends number | bigint>(key: string, type: string, row: NumberRow<N>, values: ArrayLike<N>): number {
  for (let i = 0; i < values.length; i++) {
    const value = values[i]!
    if (!row.fits(value)) throw new FormatError(`the metadata ${quoted(key)} is ${value}, but its type ${type} holds ${row.range[0]} to ${row.range[1]}: correct it in the model's config.`)
  }
  return values.length * row.bytes
}

function checkTensor({ name, shape, type, byteLength }: TensorEntry): void {
  const place = { tensor: name }
  const nameBytes = textBytes(name)
  if (nameBytes === undefined || !name.isWellFormed() || name.includes('\0')) throw new FormatError('the name is not valid Unicode, or holds a NUL.', place)
  if (nameBytes === 0 || nameBytes > MAX_TENSOR_NAME_BYTES) throw new UnsupportedError(`the name has ${nameBytes} bytes; GGUF allows 1 to ${MAX_TENSOR_NAME_BYTES}.`, place)
  if (shape.length < 1 || shape.length > MAX_DIMENSIONS) throw new UnsupportedError(`has shape ${shapeText(shape)}; GGUF tensors have 1 to ${MAX_DIMENSIONS} dimensions.`, place)
  if (!shape.every((dimension) => Number.isSafeInteger(dimension) && dimension >= 0)) throw new InternalError(`has the impossible shape ${shapeText(shape)}.`, place)
  const row = shape.at(-1) ?? 0
  const { blockElements } = QUANT_TYPES[type]
  if (row % blockElements !== 0) throw new UnsupportedError(`${type} needs rows of a multiple of ${blockElements} elements, found ${row}: choose another type.`, place)
  const wanted = quantBytes(type, elementCount(shape))
  if (byteLength !== wanted || !Number.isSafeInteger(wanted)) throw new InternalError(`${byteLength} bytes are planned for ${type} of shape ${shapeText(shape)}, which takes ${wanted}.`, place)
}

function checkAlignment(keyValues: readonly KeyValue[], alignment: number): void {
  if (!isPowerOfTwo(alignment)) throw new InternalError(`alignment ${alignment} is not a power of two.`)
  const said = keyValues.find(({ key }) => key === ALIGNMENT_KEY)?.value
  const found = said === undefined ? DEFAULT_ALIGNMENT : said.type === 'u32' ? said.value : undefined
  if (found !== alignment) throw new InternalError(`${ALIGNMENT_KEY} must be a u32 of ${alignment}, the alignment that is written.`)
}

function checkUnique(names: readonly string[], what: string): void {
  const seen = new Set<string>()
  const twice = names.filter((name) => seen.size === seen.add(name).size)
  if (twice.length > 0) throw new FormatError(`a GGUF file holds each ${what} once, but these come twice: ${nameList(twice)}.`)
}
