/**
 * The directory of a zip archive: names, places, sizes and checksums of its records.
 *
 *   [local header, data]… [central directory] [zip64 end record, locator] [end record, comment]
 *
 * Law: PKWARE APPNOTE 6.3.10; the central directory is the only truth. Stricter: the end records follow each other without a
 * gap, names are unique whatever their case, nothing is encrypted or split. Local headers: zip-archive.ts.
 */
import type { ByteSource } from '../../core/bytes.js'
import { FormatError, quoted, UnsupportedError } from '../../core/errors.js'

/** One record, as the central directory has it. */
export interface ZipEntry {
  readonly name: string
  readonly nameBytes: Uint8Array
  readonly flags: number
  readonly deflated: boolean
  readonly crc32: number
  readonly storedLength: number
  readonly byteLength: number
  /** Of its local header. */
  readonly headerOffset: number
  /** Of its row in the central directory, for messages. */
  readonly row: number
}

export interface ZipDirectory {
  /** In the directory's order. */
  readonly entries: readonly ZipEntry[]
  /** Where the records end and the directory begins. */
  readonly start: number
}

const END = 0x06054b50
const END_BYTES = 22
const MOST_COMMENT = 0xffff
const END64 = 0x06064b50
const END64_BYTES = 56
const LOCATOR = 0x07064b50
const LOCATOR_BYTES = 20
const CENTRAL = 0x02014b50
const CENTRAL_BYTES = 46
const IN_ZIP64 = 0xffffffff
const MANY = 0xffff
const MOST_DIRECTORY_BYTES = 64_000_000 // 91,000 tensors (DeepSeek V3) make 9 MB
const STORED = 0
const DEFLATED = 8
const METHODS = new Map([
  [9, 'deflate64'],
  [12, 'bzip2'],
  [14, 'lzma'],
  [93, 'zstd'],
  [95, 'xz'],
  [99, 'AES'],
])
const ENCRYPTED = 0x2041 // encrypted, strong encryption, masked headers
const PATCHED = 0x20

const strictUtf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

/** What the end records say of the directory. */
interface Extent {
  readonly count: number
  readonly start: number
  readonly byteLength: number
  /** Where the end records begin. */
  readonly stop: number
}

/** @throws FormatError, UnsupportedError */
export async function readZipDirectory(source: ByteSource): Promise<ZipDirectory> {
  const { count, start, byteLength, stop } = await findDirectory(source)
  if (start + byteLength !== stop) {
    throw fault(source, stop, `the central directory is said to be bytes ${start} to ${start + byteLength}, its end record is at ${stop}: the file is damaged.`)
  }
  if (byteLength > MOST_DIRECTORY_BYTES || byteLength < count * CENTRAL_BYTES)
    throw fault(source, stop, `the central directory of ${count} records is said to be ${byteLength} bytes long: the file is damaged.`)
  const bytes = new Uint8Array(byteLength)
  await source.read(bytes, start)
  const entries: ZipEntry[] = []
  const known = new Set<string>()
  let at = 0
  for (; entries.length < count; at += rowBytes(bytes, at)) {
    const entry = readRow(source, bytes, at, start)
    const folded = entry.name.toLowerCase()
    if (known.has(folded)) throw fault(source, start + at, `record ${quoted(entry.name)} is there twice (whatever the case): which one is meant?`)
    known.add(folded)
    entries.push(entry)
  }
  if (at !== byteLength) throw fault(source, start + at, `the central directory goes on after its ${count} records: the file is damaged.`)
  return { entries, start }
}

async function findDirectory(source: ByteSource): Promise<Extent> {
  const tail = new Uint8Array(Math.min(source.byteLength, END_BYTES + MOST_COMMENT))
  const tailStart = source.byteLength - tail.byteLength
  await source.read(tail, tailStart)
  const view = viewOf(tail)
  const found: number[] = []
  for (let at = tail.byteLength - END_BYTES; at >= 0; at--) {
    if (view.getUint32(at, true) === END && view.getUint16(at + 20, true) === tail.byteLength - at - END_BYTES) found.push(at)
  }
  const [end] = found
  if (end === undefined) throw fault(source, source.byteLength, 'the zip archive has no end record: the download is incomplete, or the file is damaged.')
  if (found.length > 1) throw fault(source, tailStart + end, 'the zip archive has two end records: which one is meant?')
  const [disk, directoryDisk, hereCount, count] = [4, 6, 8, 10].map((field) => view.getUint16(end + field, true))
  const [byteLength, start] = [view.getUint32(end + 12, true), view.getUint32(end + 16, true)]
  const stop = tailStart + end
  const zip64 = await findZip64(source, stop)
  if (zip64 !== undefined) return zip64
  if (disk !== 0 || directoryDisk !== 0 || hereCount !== count) throw splitArchive(source, stop)
  if (count === MANY || byteLength === IN_ZIP64 || start === IN_ZIP64)
    throw fault(source, stop, 'the end record points to a zip64 record that is not there: the file is damaged.')
  return { count: count ?? 0, start, byteLength, stop }
}

/** The end record for large archives, when its locator stands before the common one. */
async function findZip64(source: ByteSource, end: number): Promise<Extent | undefined> {
  if (end < LOCATOR_BYTES) return undefined
  const locator = viewOf(await bytesAt(source, end - LOCATOR_BYTES, LOCATOR_BYTES))
  if (locator.getUint32(0, true) !== LOCATOR) return undefined
  const stop = exact(source, end, locator.getBigUint64(8, true))
  if (locator.getUint32(4, true) !== 0 || locator.getUint32(16, true) > 1) throw splitArchive(source, end)
  if (stop + END64_BYTES > end - LOCATOR_BYTES) throw fault(source, end, `the zip64 record is said to be at ${stop}, outside the file: it is damaged.`)
  const record = viewOf(await bytesAt(source, stop, END64_BYTES))
  if (record.getUint32(0, true) !== END64 || BigInt(stop + 12) + record.getBigUint64(4, true) !== BigInt(end - LOCATOR_BYTES))
    throw fault(source, stop, 'the zip64 end record is damaged.')
  const [here, count, byteLength, start] = [24, 32, 40, 48].map((field) => exact(source, stop, record.getBigUint64(field, true)))
  if (record.getUint32(16, true) !== 0 || record.getUint32(20, true) !== 0 || here !== count) throw splitArchive(source, stop)
  return { count: count ?? 0, start: start ?? 0, byteLength: byteLength ?? 0, stop }
}

function rowBytes(bytes: Uint8Array, at: number): number {
  const view = viewOf(bytes)
  return CENTRAL_BYTES + view.getUint16(at + 28, true) + view.getUint16(at + 30, true) + view.getUint16(at + 32, true)
}

function readRow(source: ByteSource, bytes: Uint8Array, at: number, start: number): ZipEntry {
  const view = viewOf(bytes)
  const row = start + at
  if (at + CENTRAL_BYTES > bytes.byteLength || view.getUint32(at, true) !== CENTRAL || at + rowBytes(bytes, at) > bytes.byteLength)
    throw fault(source, row, 'the central directory has fewer records than it says: the file is damaged.')
  const nameEnd = at + CENTRAL_BYTES + view.getUint16(at + 28, true)
  const nameBytes = bytes.subarray(at + CENTRAL_BYTES, nameEnd)
  const name = entryName(source, row, nameBytes)
  const flags = view.getUint16(at + 8, true)
  const method = view.getUint16(at + 10, true)
  if ((flags & ENCRYPTED) !== 0) throw new UnsupportedError(`record ${quoted(name)} is encrypted.`, { file: source.name, offset: row })
  if ((flags & PATCHED) !== 0) throw new UnsupportedError(`record ${quoted(name)} is patch data.`, { file: source.name, offset: row })
  if (method !== STORED && method !== DEFLATED) {
    const known = METHODS.get(method)
    throw new UnsupportedError(
      `record ${quoted(name)} is compressed by method ${method}${known === undefined ? '' : ` (${known})`}; stored and deflate are read.`,
      {
        file: source.name,
        offset: row,
      },
    )
  }
  if (view.getUint16(at + 34, true) !== 0) throw splitArchive(source, row)
  const extra = bytes.subarray(nameEnd, nameEnd + view.getUint16(at + 30, true))
  const narrow = [view.getUint32(at + 24, true), view.getUint32(at + 20, true), view.getUint32(at + 42, true)]
  const [byteLength = 0, storedLength = 0, headerOffset = 0] = wideFields(source, row, narrow, extra)
  if (headerOffset + storedLength > start)
    throw fault(source, row, `record ${quoted(name)} reaches beyond the records of the archive: the file is cut short or damaged.`)
  if (method === STORED && storedLength !== byteLength)
    throw fault(source, row, `record ${quoted(name)} is stored in ${storedLength} bytes, but ${byteLength} long: the file is damaged.`)
  return { name, nameBytes, flags, deflated: method === DEFLATED, crc32: view.getUint32(at + 16, true), storedLength, byteLength, headerOffset, row }
}

/** Names are only compared, never used as paths; those that try to be one are refused all the same. */
function entryName(source: ByteSource, row: number, bytes: Uint8Array): string {
  let name: string
  try {
    name = strictUtf8.decode(bytes)
  } catch {
    throw fault(source, row, 'the name of a record is not UTF-8.')
  }
  if (name === '' || name.startsWith('/') || name.includes('\\') || name.includes('\0') || name.split('/').includes('..'))
    throw fault(source, row, `record ${quoted(name)} has a name that leads out of the archive, or none: refused.`)
  return name
}

/**
 * Sizes and offset, from the zip64 extra field where the 32 bits of the record do not hold them.
 * @param narrow  in the order in which the extra field has the wide ones
 */
export function wideFields(source: ByteSource, row: number, narrow: readonly number[], extra: Uint8Array): number[] {
  if (!narrow.includes(IN_ZIP64)) return [...narrow]
  const view = viewOf(extra)
  for (let at = 0; at + 4 <= extra.byteLength; at += 4 + view.getUint16(at + 2, true)) {
    if (view.getUint16(at, true) !== 1) continue
    const end = at + 4 + view.getUint16(at + 2, true)
    let next = at + 4
    return narrow.map((value) => {
      if (value !== IN_ZIP64) return value
      next += 8
      if (next > end || next > extra.byteLength) throw fault(source, row, 'the zip64 field of a record is cut short: the file is damaged.')
      return exact(source, row, view.getBigUint64(next - 8, true))
    })
  }
  throw fault(source, row, 'the zip64 field of a record is missing: the file is damaged.')
}

/** Reads a few bytes. @throws FormatError when the file ends before */
export async function bytesAt(source: ByteSource, position: number, length: number): Promise<Uint8Array> {
  const bytes = new Uint8Array(length)
  await source.read(bytes, position)
  return bytes
}

export function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}

export function fault({ name }: ByteSource, offset: number, what: string): FormatError {
  return new FormatError(what, { file: name, offset })
}

function exact(source: ByteSource, offset: number, value: bigint): number {
  if (value > BigInt(source.byteLength))
    throw fault(source, offset, `the zip archive counts ${value} where the whole file has ${source.byteLength} bytes: it is damaged.`)
  return Number(value)
}

function splitArchive({ name }: ByteSource, offset: number): UnsupportedError {
  return new UnsupportedError('the zip archive is split over several disks, or damaged.', { file: name, offset })
}
