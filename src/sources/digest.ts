/** SHA-256 of files and of the tensors in them, in bounded memory. */
import { createHash, type Hash } from 'node:crypto'
import type { ByteSource } from '../core/bytes.js'
import { openFile } from './files.js'

const PIECE_BYTES = 1 << 20 // large enough that opening the file for each piece costs nothing, small enough for any machine
const VIEW_PIECE_BYTES = 1 << 25 // a piece of a transpose is gathered from its whole storage: the fewer, the better

/** A run of bytes in a file. */
export interface ByteRange {
  readonly offset: number
  readonly byteLength: number
}

/** SHA-256 of a whole file, in lower-case hex. @throws FileSystemError, or FormatError when it changes meanwhile */
export async function fileDigest(path: string): Promise<string> {
  const source = await openFile(path)
  const [digest] = await rangeDigests(source, [{ offset: 0, byteLength: source.byteLength }])
  return digest ?? ''
}

/**
 * SHA-256 of each range, in lower-case hex, in the given order. Ranges that follow each other are read together, so that
 * a file of 60,000 small tensors costs as many reads as one of a few large ones.
 * @param ranges  inside the source, in ascending order, not overlapping
 */
export async function rangeDigests(source: ByteSource, ranges: readonly ByteRange[]): Promise<readonly string[]> {
  const digests: string[] = []
  const buffer = new Uint8Array(source.descriptor.kind === 'strided' ? Math.min(VIEW_PIECE_BYTES, source.byteLength) : PIECE_BYTES)
  let pieceStart = 0
  let piece = buffer.subarray(0, 0)
  const hashRange = async (hash: Hash, { offset, byteLength }: ByteRange): Promise<void> => {
    const end = offset + byteLength
    for (let at = offset; at < end;) {
      if (at < pieceStart || at >= pieceStart + piece.byteLength) {
        piece = buffer.subarray(0, Math.min(buffer.byteLength, source.byteLength - at))
        await source.read(piece, at)
        pieceStart = at
      }
      const stop = Math.min(end, pieceStart + piece.byteLength)
      hash.update(piece.subarray(at - pieceStart, stop - pieceStart))
      at = stop
    }
  }
  for (const range of ranges) {
    const hash = createHash('sha256')
    await hashRange(hash, range)
    digests.push(hash.digest('hex'))
  }
  return digests
}
