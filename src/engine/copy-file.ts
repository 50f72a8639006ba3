/** Side files that are copied: streamed, for the models of a pipeline that nothing touches are gigabytes. */
import { closeSync, openSync, writeSync } from 'node:fs'
import { setImmediate as otherEvents } from 'node:timers/promises'
import type { ByteDescriptor } from '../core/bytes.js'
import { fileSystemError } from '../core/file-errors.js'
import { createTileReader } from './tile-reader.js'

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
      writeAll(handle, piece, done, source.name)
      onPiece(piece.byteLength)
      if (source.byteLength > PIECE_BYTES) await otherEvents() // signals, and timers of who shows progress
    }
    reader.checkUnchanged()
  } finally {
    closeSync(handle)
    reader.close()
  }
}

function writeAll(handle: number, bytes: Uint8Array, position: number, name: string): void {
  try {
    for (let done = 0; done < bytes.byteLength;) done += writeSync(handle, bytes, done, bytes.byteLength - done, position + done)
  } catch (error) {
    throw fileSystemError(error, name, 'copied')
  }
}
