/**
 * Reads the header of a GGUF file: metadata, names, types, shapes, byte ranges. Never touches tensor data.
 *
 *   ["GGUF"][u32 version][u64 tensors][u64 key-values][key-values ...][tensor infos ...][padding][tensor data ...]
 *
 * Reads versions 2 and 3, little-endian (docs/formats.md). The first part of a split file reads like any other: its
 * tensors are those in it, and `split.*` keys say how many parts there are.
 *
 * Law: ggml gguf.cpp (llama.cpp 0c1e570). Where this is stricter: metadata-reader.ts, tensor-list.ts.
 */
import type { ByteSource } from '../../core/bytes.js'
import { FormatError, UnsupportedError, ruled } from '../../core/errors.js'
import { lfsPointer } from '../../core/json.js'
import { valueOf, type KeyValue } from '../../core/key-value.js'
import { HeaderCursor } from './header-cursor.js'
import { LEAST_KEY_VALUE_BYTES, readKeyValues } from './metadata-reader.js'
import { type GgufTensor, LEAST_TENSOR_INFO_BYTES, placeTensors, readTensorClaims } from './tensor-list.js'
import { ALIGNMENT_KEY, DEFAULT_ALIGNMENT, isPowerOfTwo, padded } from './wire-types.js'

/** What the header of a GGUF file says, all of it proven to fit the file. */
export interface GgufHeader {
  readonly version: 2 | 3
  /** Of the tensors' data, in bytes; a power of two. */
  readonly alignment: number
  /** In file order; keys are unique. Strings that are not UTF-8 hold lone surrogates (byte-text.ts). */
  readonly keyValues: readonly KeyValue[]
  /** In file order, which is the order of their data; names are unique. */
  readonly tensors: readonly GgufTensor[]
  /** First byte of the tensor data. May lie past the end of a file without tensors. */
  readonly dataStart: number
}

/**
 * @throws FormatError when the bytes break a rule of the format, or the file is another kind of file
 * @throws UnsupportedError for big-endian files, versions other than 2 and 3, removed tensor types, nested arrays
 */
export async function readGgufHeader(source: ByteSource): Promise<GgufHeader> {
  await ruled('GG01', () => checkMagic(source))
  const cursor = new HeaderCursor(source)
  await cursor.need(8, 'the magic and version')
  cursor.take(4)
  const found = await cursor.u32('the version')
  const version = ruled('GG02', () => checkVersion(found, source.name))
  await cursor.need(16, 'the counts of tensors and key-values')
  const [tensorCount, keyValueCount] = ruled('GG03', () => [
    cursor.count(LEAST_TENSOR_INFO_BYTES, 'the list of tensors'),
    cursor.count(LEAST_KEY_VALUE_BYTES, 'the metadata'),
  ])
  cursor.claim(tensorCount * LEAST_TENSOR_INFO_BYTES + keyValueCount * LEAST_KEY_VALUE_BYTES, 'the header')
  const keyValues = await ruled('GG07', () => readKeyValues(cursor, keyValueCount, source.name))
  const alignment = ruled('GG09', () => alignmentOf(keyValues, source.name))
  const claims = await ruled('GG12', () => readTensorClaims(cursor, tensorCount, source.name))
  const dataStart = padded(cursor.position, alignment)
  const tensors = ruled('GG16', () => placeTensors(claims, dataStart, alignment, source.name, source.byteLength))
  return { version, alignment, keyValues, tensors, dataStart }
}

function checkVersion(version: number, file: string): 2 | 3 {
  if (version === 2 || version === 3) return version
  const place = { file, offset: 4 }
  const swapped = ((version & 0xff) << 24) | ((version & 0xff00) << 8) | ((version >>> 8) & 0xff00) | (version >>> 24)
  if (swapped >= 1 && swapped <= 3) throw new UnsupportedError('is a big-endian GGUF file; only little-endian ones are supported.', place)
  if (version === 1) throw new UnsupportedError('is GGUF version 1, which llama.cpp no longer reads either: convert the model again from its source.', place)
  if (version > 3 && version < 0x100) throw new UnsupportedError(`is GGUF version ${version}; versions 2 and 3 are supported.`, place)
  throw new FormatError(`has version ${version}; versions 2 and 3 are known.`, place)
}

function alignmentOf(keyValues: readonly KeyValue[], file: string): number {
  const value = valueOf(keyValues, ALIGNMENT_KEY)
  if (value === undefined) return DEFAULT_ALIGNMENT
  if (value.type !== 'u32') throw new FormatError(`${ALIGNMENT_KEY} has type ${value.type}; u32 is wanted.`, { file })
  if (!isPowerOfTwo(value.value)) throw new FormatError(`${ALIGNMENT_KEY} is ${value.value}; a power of two is wanted.`, { file })
  return value.value
}

/** Refuses what is no GGUF file, naming what it is where that is known. */
async function checkMagic(source: ByteSource): Promise<void> {
  const head = new Uint8Array(Math.min(256, source.byteLength))
  await source.read(head, 0)
  const text = String.fromCharCode(...head)
  if (text.startsWith('GGUF')) return
  const place = { file: source.name, offset: 0 }
  if (text.startsWith('version https://git-lfs')) throw lfsPointer(text, source.name)
  const old = OLD_MAGICS.get(text.slice(0, 4))
  if (old !== undefined) throw new UnsupportedError(`is an old ggml file (${old}, before GGUF): convert the model again from its source.`, place)
  const kind =
    head.length === 0
      ? 'is empty'
      : (KINDS.find(({ is }) => is(text))?.says ?? `begins with ${JSON.stringify(text.slice(0, 4)).replace(/[\u007f-\u00ff]/g, '?')}`)
  throw new FormatError(`${kind}, not with the magic "GGUF" of a GGUF file.`, place)
}

const OLD_MAGICS: ReadonlyMap<string, string> = new Map([
  ['lmgg', 'ggml'],
  ['tjgg', 'ggjt'],
  ['algg', 'ggla'],
  ['fmgg', 'ggmf'],
])

const KINDS: readonly { readonly is: (text: string) => boolean; readonly says: string }[] = [
  { is: (text) => text.startsWith('PK\x03\x04'), says: 'begins like a zip archive (a PyTorch checkpoint?)' },
  { is: (text) => text.startsWith('\x80\x02'), says: 'begins like a Python pickle (an old PyTorch checkpoint?)' },
  { is: (text) => /^\s*<(?:!doctype|html|\?xml)/i.test(text), says: 'begins like an HTML page (a failed download?)' },
  { is: (text) => text[8] === '{' && text.slice(5, 8) === '\0\0\0', says: 'begins like a safetensors file' },
  { is: (text) => /^\s*[{[]/.test(text), says: 'begins like a JSON text' },
  { is: (text) => /^\0+$/.test(text), says: 'begins with zeros (an unfinished download?)' },
]
