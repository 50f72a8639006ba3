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
import { FormatError, InternalError, UnsupportedError } from '../../core/errors.js'
import { valueOf, type KeyValue, type MetadataValue } from '../../core/key-value.js'
import { QUANT_TYPES } from '../../core/quant-types.js'
import { shown, writeText } from './byte-text.js'
import { checkTensor, headerBytes, type TensorEntry } from './header-size.js'
import {
  ALIGNMENT_KEY,
  BIG_TYPES,
  DEFAULT_ALIGNMENT,
  GGUF_VERSION,
  isPowerOfTwo,
  MAX_HEADER_BYTES,
  NUMBER_TYPES,
  padded,
  VALUE_TYPE_IDS,
} from './wire-types.js'

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
  const keys = keyValues.map(({ key }) => key)
  const names = tensors.map(({ name }) => name)
  checkUnique(keys, 'metadata key')
  checkUnique(names, 'tensor name')
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

  private numbers<N>(row: WriteRow<N>, values: ArrayLike<N>): void {
    for (let i = 0; i < values.length; i++) this.number(row, values[i] as N)
  }

  private number<N>(row: WriteRow<N>, value: N): void {
    row.write(this.view, this.at, value)
    this.at += row.bytes
  }
}

type MetadataArray = MetadataValue & { readonly type: 'array' }

interface WriteRow<N> {
  readonly bytes: number
  readonly write: (view: DataView, at: number, value: N) => void
}

function checkAlignment(keyValues: readonly KeyValue[], alignment: number): void {
  if (!isPowerOfTwo(alignment)) throw new InternalError(`alignment ${alignment} is not a power of two.`)
  const said = valueOf(keyValues, ALIGNMENT_KEY)
  const found = said === undefined ? DEFAULT_ALIGNMENT : said.type === 'u32' ? said.value : undefined
  if (found !== alignment) throw new InternalError(`${ALIGNMENT_KEY} must be a u32 of ${alignment}, the alignment that is written.`)
}

function checkUnique(names: readonly string[], what: string): void {
  const seen = new Set<string>()
  const twice = names.find((name) => seen.size === seen.add(name).size)
  if (twice !== undefined) throw new FormatError(`a GGUF file holds each ${what} once, but ${shown(twice)} comes twice.`)
}
