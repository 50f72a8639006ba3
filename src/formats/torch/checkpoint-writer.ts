/**
 * Lays out a PyTorch checkpoint: names, types and shapes in; all bytes of the archive but the tensors', and their places, out.
 * So tensors can be written in any order by anyone. Only their CRC-32s are missing, which come last.
 *
 *   [header, data.pkl] [header, byteorder] ([header] tensor)… [header, version] [central directory] [end records]
 *
 * Law: torch 2.15 serialization.py `_save`, caffe2/serialize/inline_container.cc (records are stored and begin at multiples
 * of 64, padded by an extra field); PKWARE APPNOTE 6.3.10. Other than torch: sizes and checksums stand in the local headers and not after
 * the data, and the folder in the archive is `archive`, whatever the file's name.
 */
import { crc32 } from '../../core/crc32.js'
import { DTYPES } from '../../core/dtypes.js'
import { elementCount } from '../../core/shape.js'
import { pickleStateDict, type PickledTensor } from './pickle-writer.js'

/** An archive without its tensors. */
export interface TorchLayout {
  /** Where each tensor begins, by name. */
  readonly offsets: ReadonlyMap<string, number>
  /** What the file begins with: complete. */
  readonly header: Uint8Array
  /** What stands before, between and after the tensors, in ascending order. */
  readonly pieces: readonly { readonly offset: number; readonly bytes: Uint8Array }[]
  /** Where the CRC-32 of each tensor must stand, four bytes little-endian, by name; zeros are there. */
  readonly checksums: ReadonlyMap<string, readonly number[]>
  readonly fileSize: number
}

interface Entry {
  readonly name: string
  readonly byteLength: number
  /** Undefined for a tensor. */
  readonly data?: Uint8Array
}

interface PlacedEntry extends Entry {
  readonly headerOffset: number
  readonly header: Uint8Array
  readonly crc: number
}

const FOLDER = 'archive'
const UTF8 = new TextEncoder()
const LEADING = 2 // records before the tensors: data.pkl and byteorder
const ALIGNMENT = 64
const LOCAL_BYTES = 30
const LOCAL_CRC = 14
const CENTRAL_BYTES = 46
const CENTRAL_CRC = 16
const PADDING_ID = 0x4246 // 'FB', as torch has it
const ZIP64_ID = 1
const IN_ZIP64 = 0xffffffff
const MANY = 0xffff
const FIRST_OF_1980 = 0x21 // the earliest date that a zip can have; torch writes a day and month of 0

/**
 * @param tensors  in the order of the state dict; names are unique
 * @throws UnsupportedError for types that torch has not
 */
export function layOutCheckpoint(tensors: readonly PickledTensor[]): TorchLayout {
  const text = (name: string, content: string): Entry => ({ name, data: UTF8.encode(content), byteLength: content.length })
  const pickle = pickleStateDict(tensors)
  const entries: Entry[] = [
    { name: 'data.pkl', data: pickle, byteLength: pickle.byteLength },
    text('byteorder', 'little'),
    ...tensors.map(({ dtype, shape }, i) => ({ name: `data/${i}`, byteLength: (elementCount(shape) * DTYPES[dtype].bits) / 8 })),
    text('version', '3\n'),
  ]
  const pieces: { offset: number; bytes: Uint8Array }[] = []
  const placed: PlacedEntry[] = []
  let at = 0
  for (const entry of entries) {
    const crc = entry.data === undefined ? 0 : crc32(entry.data)
    const header = localHeader(entry, crc, at)
    placed.push({ ...entry, headerOffset: at, header, crc })
    pieces.push({ offset: at, bytes: entry.data === undefined ? header : joined([header, entry.data]) })
    at += header.byteLength + entry.byteLength
  }
  const rows = placed.map(centralRow)
  const directory = joined([...rows, endRecords(rows, at)])
  pieces.push({ offset: at, bytes: directory })
  const rowOffsets = startsOf(rows, at)
  const offsets = new Map<string, number>()
  const checksums = new Map<string, number[]>()
  tensors.forEach(({ name }, i) => {
    const number = i + LEADING
    const { headerOffset = 0, header } = placed[number] ?? {}
    offsets.set(name, headerOffset + (header?.byteLength ?? 0))
    checksums.set(name, [headerOffset + LOCAL_CRC, (rowOffsets[number] ?? 0) + CENTRAL_CRC])
  })
  const header = joined(pieces.splice(0, LEADING).map(({ bytes }) => bytes))
  return { offsets, header, pieces, checksums, fileSize: at + directory.byteLength }
}

/** Sizes beyond 32 bits go to an extra field; another one pads the data to its place. */
function localHeader({ name, byteLength }: Entry, crc: number, at: number): Uint8Array {
  const path = nameBytes(name)
  const isLarge = byteLength >= IN_ZIP64
  const fixed = LOCAL_BYTES + path.byteLength + (isLarge ? 20 : 0)
  const padding = 4 + ((ALIGNMENT - ((at + fixed + 4) % ALIGNMENT)) % ALIGNMENT)
  const header = new Uint8Array(fixed + padding)
  const view = new DataView(header.buffer)
  view.setUint32(0, 0x04034b50, true)
  common(view, 4, { crc, byteLength, pathBytes: path.byteLength, extraBytes: header.byteLength - LOCAL_BYTES - path.byteLength, isLarge })
  header.set(path, LOCAL_BYTES)
  let extra = LOCAL_BYTES + path.byteLength
  if (isLarge) extra = zip64Field(view, extra, [byteLength, byteLength])
  view.setUint16(extra, PADDING_ID, true)
  view.setUint16(extra + 2, padding - 4, true)
  return header
}

function centralRow({ name, byteLength, crc, headerOffset }: PlacedEntry): Uint8Array {
  const path = nameBytes(name)
  const isLarge = byteLength >= IN_ZIP64
  const large = [...(isLarge ? [byteLength, byteLength] : []), ...(headerOffset >= IN_ZIP64 ? [headerOffset] : [])]
  const extraBytes = large.length === 0 ? 0 : 4 + 8 * large.length
  const row = new Uint8Array(CENTRAL_BYTES + path.byteLength + extraBytes)
  const view = new DataView(row.buffer)
  view.setUint32(0, 0x02014b50, true)
  view.setUint16(4, 45, true) // made by version 4.5
  common(view, 6, { crc, byteLength, pathBytes: path.byteLength, extraBytes, isLarge: large.length > 0, sizesApart: isLarge })
  view.setUint32(42, Math.min(headerOffset, IN_ZIP64), true)
  row.set(path, CENTRAL_BYTES)
  if (large.length > 0) zip64Field(view, CENTRAL_BYTES + path.byteLength, large)
  return row
}

interface Common {
  readonly crc: number
  readonly byteLength: number
  readonly pathBytes: number
  readonly extraBytes: number
  /** Something of it stands in an extra field. */
  readonly isLarge: boolean
  /** The sizes do; unless given, what `isLarge` says. */
  readonly sizesApart?: boolean
}

/** The fields that local header and directory share, from `version needed` on: 26 bytes. */
function common(view: DataView, at: number, { crc, byteLength, pathBytes, extraBytes, isLarge, sizesApart = isLarge }: Common): void {
  view.setUint16(at, isLarge ? 45 : 20, true)
  view.setUint16(at + 8, FIRST_OF_1980, true)
  view.setUint32(at + 10, crc, true)
  view.setUint32(at + 14, sizesApart ? IN_ZIP64 : byteLength, true)
  view.setUint32(at + 18, sizesApart ? IN_ZIP64 : byteLength, true)
  view.setUint16(at + 22, pathBytes, true)
  view.setUint16(at + 24, extraBytes, true)
}

/** @returns where it ends */
function zip64Field(view: DataView, at: number, values: readonly number[]): number {
  view.setUint16(at, ZIP64_ID, true)
  view.setUint16(at + 2, values.length * 8, true)
  values.forEach((value, i) => view.setBigUint64(at + 4 + 8 * i, BigInt(value), true))
  return at + 4 + 8 * values.length
}

/** The end of the archive; with the large form before it where numbers do not fit. @param start  of the directory */
function endRecords(rows: readonly Uint8Array[], start: number): Uint8Array {
  const byteLength = rows.reduce((sum, row) => sum + row.byteLength, 0)
  const isLarge = rows.length >= MANY || start >= IN_ZIP64 || byteLength >= IN_ZIP64
  const bytes = new Uint8Array((isLarge ? 76 : 0) + 22)
  const view = new DataView(bytes.buffer)
  if (isLarge) {
    view.setUint32(0, 0x06064b50, true)
    view.setBigUint64(4, 44n, true)
    view.setUint16(12, 45, true)
    view.setUint16(14, 45, true)
    for (const at of [24, 32]) view.setBigUint64(at, BigInt(rows.length), true)
    view.setBigUint64(40, BigInt(byteLength), true)
    view.setBigUint64(48, BigInt(start), true)
    view.setUint32(56, 0x07064b50, true)
    view.setBigUint64(64, BigInt(start + byteLength), true)
    view.setUint32(72, 1, true)
  }
  const end = bytes.byteLength - 22
  view.setUint32(end, 0x06054b50, true)
  for (const at of [8, 10]) view.setUint16(end + at, Math.min(rows.length, MANY), true)
  view.setUint32(end + 12, Math.min(byteLength, IN_ZIP64), true)
  view.setUint32(end + 16, Math.min(start, IN_ZIP64), true)
  return bytes
}

function startsOf(parts: readonly Uint8Array[], first: number): number[] {
  let at = first
  return parts.map((part) => (at += part.byteLength) - part.byteLength)
}

function joined(parts: readonly Uint8Array[]): Uint8Array {
  const bytes = new Uint8Array(parts.reduce((sum, part) => sum + part.byteLength, 0))
  startsOf(parts, 0).forEach((start, i) => bytes.set(parts[i] ?? [], start))
  return bytes
}

function nameBytes(name: string): Uint8Array {
  return UTF8.encode(`${FOLDER}/${name}`)
}
