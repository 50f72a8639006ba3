/**
 * Reads the key-values of a GGUF header, typed. Enters: a cursor at the first key; leaves: KeyValue[] in file order.
 *
 * Law: ggml gguf.cpp (llama.cpp 0c1e570). Stricter: keys are UTF-8 without NUL, of at most 65535 bytes. String values
 * may be any bytes (byte-text.ts). Arrays of numbers come out as typed arrays.
 */
import { UnsupportedError } from '../../core/errors.js'
import type { KeyValue, MetadataValue } from '../../core/key-value.js'
import { decodeKeepingBytes, decodeStrict, shown } from './byte-text.js'
import type { HeaderCursor } from './header-cursor.js'
import { BIG_TYPES, type BigType, isBigType, isNumberType, MAX_KEY_BYTES, NUMBER_TYPES, type NumberType, type ValueType, valueTypeOf } from './wire-types.js'

/** How an array of one numeric type is read. */
interface ListRow<N> {
  readonly bytes: number
  readonly read: (view: DataView, at: number) => N
  readonly List: new (length: number) => { readonly length: number; [index: number]: N }
}

const ITEMS_AT_ONCE = 8192 // of an array of numbers: at most 64 KiB

/** Bytes that the shortest key-value takes: key length, one letter, type, one byte. */
export const LEAST_KEY_VALUE_BYTES = 8 + 1 + 4 + 1

/**
 * @param count  number of key-values, already checked against the bytes left
 * @throws FormatError, UnsupportedError
 */
export async function readKeyValues(cursor: HeaderCursor, count: number, file: string): Promise<KeyValue[]> {
  const keyValues: KeyValue[] = []
  const seen = new Set<string>()
  for (let i = 0; i < count; i++) {
    const start = cursor.position
    const key = await readKey(cursor)
    if (seen.has(key)) throw cursor.fault(`the key ${shown(key)} stands twice in the metadata.`, start)
    seen.add(key)
    keyValues.push({ key, value: await readValue(cursor, key, file) })
  }
  return keyValues
}

async function readKey(cursor: HeaderCursor): Promise<string> {
  const start = cursor.position
  const bytes = await cursor.bytes('a metadata key')
  if (bytes.length === 0) throw cursor.fault('a metadata key is empty.', start)
  if (bytes.length > MAX_KEY_BYTES) throw cursor.fault(`a metadata key has ${bytes.length} bytes; at most ${MAX_KEY_BYTES} are allowed.`, start)
  const key = decodeStrict(bytes)
  if (key === undefined) throw cursor.fault('a metadata key is not valid UTF-8.', start)
  if (key.includes('\0')) throw cursor.fault(`the metadata key ${shown(key)} holds a NUL.`, start)
  return key
}

async function readValue(cursor: HeaderCursor, key: string, file: string): Promise<MetadataValue> {
  const type = await readType(cursor, key, 'value')
  if (type === 'array') return readArray(cursor, key, file)
  if (type === 'string') return { type, value: decodeKeepingBytes(await cursor.bytes('a metadata string')) }
  if (type === 'bool') {
    await cursor.need(1, 'a metadata value')
    return { type, value: cursor.number(NUMBER_TYPES.u8) !== 0 } // any non-zero byte is true, as in libggml
  }
  if (isBigType(type)) {
    await cursor.need(8, 'a metadata value')
    return { type, value: cursor.number(BIG_TYPES[type]) }
  }
  await cursor.need(NUMBER_TYPES[type].bytes, 'a metadata value')
  return { type, value: cursor.number(NUMBER_TYPES[type]) }
}

async function readType(cursor: HeaderCursor, key: string, of: string): Promise<ValueType> {
  const start = cursor.position
  const id = await cursor.u32('the type of a metadata value')
  const type = valueTypeOf(id)
  if (type === undefined) throw cursor.fault(`the ${of} type of the key ${shown(key)} is ${id}; types 0 to 12 are known.`, start)
  return type
}

async function readArray(cursor: HeaderCursor, key: string, file: string): Promise<MetadataValue> {
  const start = cursor.position
  const items = await readType(cursor, key, 'item')
  if (items === 'array')
    throw new UnsupportedError(`the key ${shown(key)} is an array of arrays, which llama.cpp does not read either.`, { file, offset: start })
  await cursor.need(8, 'the length of an array')
  if (items === 'string') return { type: 'array', items, value: await readStrings(cursor, cursor.count(8, 'an array of strings')) }
  if (items === 'bool') return { type: 'array', items, value: await readBooleans(cursor, cursor.count(1, 'an array of booleans')) }
  if (isNumberType(items)) return { type: 'array', items, value: await readNumbers<number>(cursor, items, NUMBER_TYPES[items]) }
  return { type: 'array', items, value: await readNumbers<bigint>(cursor, items, BIG_TYPES[items]) }
}

async function readStrings(cursor: HeaderCursor, count: number): Promise<string[]> {
  const strings: string[] = []
  for (let i = 0; i < count; i++) {
    // no await per string: half a million of them are common
    if (!cursor.has(8)) await cursor.need(8, 'a string of an array')
    const bytes = cursor.count(1, 'a string of an array')
    if (!cursor.has(bytes)) await cursor.need(bytes, 'a string of an array')
    strings.push(decodeKeepingBytes(cursor.take(bytes)))
  }
  return strings
}

async function readBooleans(cursor: HeaderCursor, count: number): Promise<boolean[]> {
  const booleans: boolean[] = []
  while (booleans.length < count) {
    const some = Math.min(ITEMS_AT_ONCE, count - booleans.length)
    await cursor.need(some, 'an array of booleans')
    for (const byte of cursor.take(some)) booleans.push(byte !== 0)
  }
  return booleans
}

async function readNumbers<N>(cursor: HeaderCursor, type: NumberType | BigType, row: ListRow<N>): Promise<ArrayLike<N>> {
  const list = new row.List(cursor.count(row.bytes, `an array of ${type}`))
  for (let i = 0; i < list.length;) {
    const end = Math.min(list.length, i + ITEMS_AT_ONCE)
    await cursor.need((end - i) * row.bytes, `an array of ${type}`)
    for (; i < end; i++) list[i] = cursor.number(row)
  }
  return list
}
