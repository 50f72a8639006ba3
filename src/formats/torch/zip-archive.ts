/**
 * A zip archive as records that can be read: the central directory, held against the local headers, which must say the
 * same, follow each other without hidden records between them, and never overlap.
 */
import type { ByteSource, MemberDescriptor } from '../../core/bytes.js'
import { quoted, UnsupportedError } from '../../core/errors.js'
import { bytesAt, fault, readZipDirectory, viewOf, wideFields, type ZipEntry } from './zip-directory.js'

const LOCAL = 0x04034b50
const LOCAL_BYTES = 30
const LOCAL_GUESS = 512 // header, name and extra field of a record of torch fit in it
const HAS_DESCRIPTOR = 0x08
const DESCRIPTOR_BYTES = 24 // at most: signature, CRC-32, two sizes of 64 bits
const IN_ZIP64 = 0xffffffff

/** @returns the records by name, in the directory's order; folders are left out. @throws FormatError, UnsupportedError */
export async function readZipArchive(source: ByteSource): Promise<ReadonlyMap<string, MemberDescriptor>> {
  const { descriptor } = source
  if (descriptor.kind !== 'file' && descriptor.kind !== 'memory') throw new UnsupportedError('is an archive in an archive.', { file: source.name })
  const { entries, start } = await readZipDirectory(source)
  const members = new Map<string, MemberDescriptor>()
  const byPlace = entries.toSorted((a, b) => a.headerOffset - b.headerOffset)
  let end = 0
  let slack = 0
  for (const entry of byPlace) {
    requireNext(source, entry, end, slack)
    const offset = await dataOffset(source, entry)
    end = offset + entry.storedLength
    slack = (entry.flags & HAS_DESCRIPTOR) === 0 ? 0 : DESCRIPTOR_BYTES
    if (end > start) throw fault(source, entry.headerOffset, `record ${quoted(entry.name)} reaches into the central directory: the file is damaged.`)
    const { name, storedLength, deflated, byteLength, crc32 } = entry
    members.set(name, { kind: 'member', name: source.name, part: name, container: descriptor, offset, storedLength, deflated, byteLength, crc32 })
  }
  if (start > end + slack) throw fault(source, end, 'the archive holds bytes that belong to no record: refused.')
  return new Map(entries.flatMap(({ name }) => (name.endsWith('/') ? [] : [[name, members.get(name)]])) as [string, MemberDescriptor][])
}

/** A record begins where the one before it ends; between them is at most a data descriptor. */
function requireNext(source: ByteSource, { name, headerOffset }: ZipEntry, end: number, slack: number): void {
  if (headerOffset < end) throw fault(source, headerOffset, `record ${quoted(name)} overlaps the one before it: the file is damaged.`)
  if (headerOffset > end + slack) throw fault(source, end, `the archive holds bytes that belong to no record, before ${quoted(name)}: refused.`)
}

/** Where the data of a record begins. @throws FormatError when the local header says something else than the directory */
async function dataOffset(source: ByteSource, entry: ZipEntry): Promise<number> {
  const { headerOffset, nameBytes } = entry
  let bytes = await bytesAt(source, headerOffset, Math.min(LOCAL_GUESS, source.byteLength - headerOffset))
  let view = viewOf(bytes)
  if (bytes.byteLength < LOCAL_BYTES || view.getUint32(0, true) !== LOCAL)
    throw fault(source, headerOffset, `record ${quoted(entry.name)} does not begin where it should: the file is damaged.`)
  const [nameLength, extraLength] = [view.getUint16(26, true), view.getUint16(28, true)]
  const length = LOCAL_BYTES + nameLength + extraLength
  if (length > bytes.byteLength) {
    if (headerOffset + length > source.byteLength) throw fault(source, headerOffset, `record ${quoted(entry.name)} has a header that the file does not hold.`)
    bytes = await bytesAt(source, headerOffset, length)
    view = viewOf(bytes)
  }
  const name = bytes.subarray(LOCAL_BYTES, LOCAL_BYTES + nameLength)
  const agrees =
    name.byteLength === nameBytes.byteLength &&
    name.every((byte, i) => byte === nameBytes[i]) &&
    view.getUint16(6, true) === entry.flags &&
    view.getUint16(8, true) === (entry.deflated ? 8 : 0) &&
    sizesAgree(source, entry, view, bytes.subarray(LOCAL_BYTES + nameLength, length))
  if (!agrees)
    throw fault(source, headerOffset, `record ${quoted(entry.name)} is not what the central directory says: the file is damaged, or made to mislead.`)
  return headerOffset + length
}

/** With a data descriptor after the data, the local header may leave them out. */
function sizesAgree(source: ByteSource, entry: ZipEntry, view: DataView, extra: Uint8Array): boolean {
  const [crc, storedLength, byteLength] = [view.getUint32(14, true), view.getUint32(18, true), view.getUint32(22, true)]
  const later = (entry.flags & HAS_DESCRIPTOR) !== 0
  if (later && crc === 0 && [0, IN_ZIP64].includes(storedLength) && [0, IN_ZIP64].includes(byteLength)) return true
  const [wideLength, wideStored] = wideFields(source, entry.headerOffset, [byteLength, storedLength], extra)
  return crc === entry.crc32 && wideLength === entry.byteLength && wideStored === entry.storedLength
}
