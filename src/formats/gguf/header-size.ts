/**
 * The first of the encoder's two passes: the size of a GGUF header, every name, shape and value checked on the way, so
 * that the second pass (header-writer.ts) can fill one buffer without asking again.
 *
 * Law: ggml docs/gguf.md; what libggml would not read back is an error here.
 */
import { FormatError, InternalError, UnsupportedError } from '../../core/errors.js'
import type { KeyValue, MetadataValue } from '../../core/key-value.js'
import { QUANT_TYPES, quantBytes, type QuantType } from '../../core/quant-types.js'
import { elementCount, shapeText } from '../../core/shape.js'
import { shown, textBytes } from './byte-text.js'
import { BIG_TYPES, MAX_DIMENSIONS, MAX_KEY_BYTES, MAX_TENSOR_NAME_BYTES, NUMBER_TYPES } from './wire-types.js'

/** A tensor to be listed. */
export interface TensorEntry {
  readonly name: string
  /** Outermost dimension first; 1 to 4 of them. */
  readonly shape: readonly number[]
  readonly type: QuantType
  /** Bytes of its data, without padding; must be what shape and type make. */
  readonly byteLength: number
}

/**
 * Size of the header without padding.
 * @throws FormatError, UnsupportedError for a key or value that GGUF cannot hold
 */
export function headerBytes(keyValues: readonly KeyValue[], tensors: readonly TensorEntry[]): number {
  let bytes = 4 + 4 + 8 + 8
  for (const { key, value } of keyValues) bytes += keyBytes(key) + 4 + valueBytes(key, value)
  for (const { name, shape } of tensors) bytes += 8 + (textBytes(name) ?? 0) + 4 + 8 * shape.length + 4 + 8
  return bytes
}

function keyBytes(key: string): number {
  const bytes = textBytes(key)
  if (bytes === undefined || !key.isWellFormed()) throw new FormatError(`the metadata key ${shown(key)} is not valid Unicode.`)
  if (bytes === 0 || bytes > MAX_KEY_BYTES) throw new UnsupportedError(`the metadata key ${shown(key)} has ${bytes} bytes; GGUF allows 1 to ${MAX_KEY_BYTES}.`)
  if (key.includes('\0')) throw new FormatError(`the metadata key ${shown(key)} holds a NUL.`)
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

function itemsBytes(key: string, array: MetadataValue & { readonly type: 'array' }): number {
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
  if (bytes === undefined) throw new FormatError(`the metadata ${shown(key)} holds ${shown(text)}, with half of a surrogate pair: UTF-8 cannot hold it.`)
  return 8 + bytes
}

function numbersBytes<N extends number | bigint>(key: string, type: string, row: SizeRow<N>, values: ArrayLike<N>): number {
  for (let i = 0; i < values.length; i++) {
    const value = values[i] as N
    if (!row.fits(value)) throw new FormatError(`the metadata ${shown(key)} is ${value}; ${type} holds ${row.range.join(' to ')}: correct the model's config.`)
  }
  return values.length * row.bytes
}

/** @throws FormatError, UnsupportedError for what GGUF cannot hold; InternalError when the plan is wrong */
export function checkTensor({ name, shape, type, byteLength }: TensorEntry): void {
  const place = { tensor: name }
  const nameBytes = textBytes(name)
  if (nameBytes === undefined || !name.isWellFormed() || name.includes('\0')) throw new FormatError('the name is not valid Unicode, or holds a NUL.', place)
  if (nameBytes === 0 || nameBytes > MAX_TENSOR_NAME_BYTES)
    throw new UnsupportedError(`the name has ${nameBytes} bytes; GGUF allows 1 to ${MAX_TENSOR_NAME_BYTES}.`, place)
  if (shape.length < 1 || shape.length > MAX_DIMENSIONS)
    throw new UnsupportedError(`has shape ${shapeText(shape)}; GGUF tensors have 1 to ${MAX_DIMENSIONS} dimensions.`, place)
  if (!shape.every((dimension) => Number.isSafeInteger(dimension) && dimension >= 0))
    throw new InternalError(`has the impossible shape ${shapeText(shape)}.`, place)
  const row = shape.at(-1) ?? 0
  const { blockElements } = QUANT_TYPES[type]
  if (row % blockElements !== 0)
    throw new UnsupportedError(`${type} needs rows of a multiple of ${blockElements} elements, found ${row}: choose another type.`, place)
  const wanted = quantBytes(type, elementCount(shape))
  if (byteLength !== wanted || !Number.isSafeInteger(wanted))
    throw new InternalError(`${byteLength} bytes are planned for ${type} of shape ${shapeText(shape)}, which takes ${wanted}.`, place)
}

interface SizeRow<N> {
  readonly bytes: number
  readonly range: readonly [N, N]
  readonly fits: (value: N) => boolean
}
