/**
 * Records of zip archives as bytes. A stored record is a range of its file. A deflated one cannot be read here and there:
 * it is inflated from its beginning, by the web's DecompressionStream, never a byte further than the archive says.
 */
import type { ByteSource, MemberDescriptor } from './bytes.js'
import { crc32 } from './crc32.js'
import { FormatError } from './errors.js'

const PIECE_BYTES = 1 << 20
const DEFLATED_PIECE_BYTES = 1 << 16 // inflated it may be 1032 times as long, and all of that may wait in memory

/**
 * All bytes of a record, in order, in pieces that are valid until the next one is asked for; after the last one its
 * checksum is compared.
 * @param container  the archive
 * @param checksum   a faster crc32, where the host has one
 * @throws FormatError when the record is damaged, or longer or shorter than the archive says
 */
export async function* memberPieces(member: MemberDescriptor, container: ByteSource, checksum = crc32): AsyncGenerator<Uint8Array, void, undefined> {
  let crc = 0
  for await (const piece of member.deflated ? inflatedPieces(member, container) : storedPieces(member, container, PIECE_BYTES)) {
    crc = checksum(piece, crc)
    yield piece
  }
  if (crc !== member.crc32) throw damaged(member, `CRC-32 is ${hex(crc)}, the archive says ${hex(member.crc32)}: the file is damaged, download it again.`)
}

/** Reads a whole record. @throws FormatError @param most  limit in bytes, checked before memory is taken */
export async function readMember(member: MemberDescriptor, container: ByteSource, most: number): Promise<Uint8Array> {
  if (member.byteLength > most) throw damaged(member, `says it is ${member.byteLength} bytes long; at most ${most} are read.`)
  const bytes = new Uint8Array(member.byteLength)
  let done = 0
  for await (const piece of memberPieces(member, container)) {
    bytes.set(piece, done)
    done += piece.byteLength
  }
  return bytes
}

/** Reads a whole record for its checksum alone. @throws FormatError */
export async function checkMember(member: MemberDescriptor, container: ByteSource): Promise<void> {
  const pieces = memberPieces(member, container)
  while ((await pieces.next()).done !== true);
}

async function* storedPieces({ offset, storedLength }: MemberDescriptor, container: ByteSource, most: number): AsyncGenerator<Uint8Array, void, undefined> {
  const buffer = new Uint8Array(Math.min(most, storedLength))
  for (let done = 0; done < storedLength; done += most) {
    const piece = buffer.subarray(0, Math.min(most, storedLength - done))
    await container.read(piece, offset + done)
    yield piece
  }
}

async function* inflatedPieces(member: MemberDescriptor, container: ByteSource): AsyncGenerator<Uint8Array, void, undefined> {
  const stored = storedPieces(member, container, DEFLATED_PIECE_BYTES)
  let failure: unknown
  const compressed = new ReadableStream<Uint8Array<ArrayBuffer>>(
    {
      async pull(controller) {
        try {
          const { done, value } = await stored.next()
          if (done === true) controller.close()
          else controller.enqueue(value.slice())
        } catch (error) {
          failure = error
          controller.error(error)
        }
      },
    },
    { highWaterMark: 0 },
  )
  const reader = compressed.pipeThrough(new DecompressionStream('deflate-raw')).getReader()
  let length = 0
  try {
    for (;;) {
      const { done, value } = await reader.read().catch((error: unknown) => {
        if (failure !== undefined) throw failure
        throw damaged(member, 'its deflate stream is broken: the file is damaged, download it again.', error)
      })
      if (done) break
      length += value.byteLength
      if (length > member.byteLength) throw damaged(member, `inflates to more than the ${member.byteLength} bytes that the archive says.`)
      yield value
    }
  } finally {
    await reader.cancel().catch(() => undefined)
  }
  if (length < member.byteLength) throw damaged(member, `inflates to ${length} bytes, the archive says ${member.byteLength}.`)
}

function damaged({ name, part, offset }: MemberDescriptor, what: string, cause?: unknown): FormatError {
  return new FormatError(`record ${part}: ${what}`, { file: name, offset }, { cause })
}

function hex(crc: number): string {
  return crc.toString(16).padStart(8, '0')
}
