/** Side files that are copied: streamed, for the models of a pipeline that nothing touches are gigabytes. */
import { closeSync, openSync } from 'node:fs'
import { setImmediate as otherEvents } from 'node:timers/promises'
import type { ByteDescriptor } from '../core/bytes.js'
import { createTileReader } from './tile-reader.js'
import { writeAll } from './write-all.js'

const PIECE_BYTES = 4_194_304

/**
 * Copies a source's bytes to a file that is there already.
 * @param onPiece  called after each piece with its length; may throw to stop
 * Lets other events happen between pieces.
 * @throws FormatError when the source is shorter than planned, or changed; FileSystemError
 */
export async function copyInto(path: string, source: ByteDescriptor, onPiece: (byteLength: number) => void): Promise<void> {
  const reader = createTileReader()
  const handle = openSync(path, 'r+')
  try {
    const buffer = new Uint8Array(Math.min(PIECE_BYTES, source.byteLength))
    for (let done = 0; done < source.byteLength; done += buffer.byteLength) {
      const piece = buffer.subarray(0, Math.min(buffer.byteLength, source.byteLength - done))
      reader.read(source, piece, done)
      writeAll(handle, piece, done, { name: source.name, done: 'copied' })
      onPiece(piece.byteLength)
      if (source.byteLength > PIECE_BYTES) await otherEvents() // signals, and timers of who shows progress
    }
    reader.checkUnchanged()
  } finally {
    closeSync(handle)
    reader.close()
  }
}
