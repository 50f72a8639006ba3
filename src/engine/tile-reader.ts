/**
 * Synchronous positioned reads for one worker: each worker opens its own handles from the plan's descriptors and reads
 * straight into its buffers. Notices a file that changed since it was planned.
 */
import { closeSync, fstatSync, openSync, readSync } from 'node:fs'
import { cutShort, type ByteDescriptor } from '../core/bytes.js'
import { FormatError } from '../core/errors.js'
import { fileSystemError } from '../core/file-errors.js'

/** Reads bytes of the plan's inputs. Close it when the run ends. */
export interface TileReader {
  /** Fills `into` from `position` on. @throws FormatError when the file is shorter or changed */
  read(source: ByteDescriptor, into: Uint8Array, position: number): void
  /** Checks once more that no file changed since it was planned. @throws FormatError */
  checkUnchanged(): void
  close(): void
}

export function createTileReader(): TileReader {
  const handles = new Map<string, { handle: number; source: Extract<ByteDescriptor, { kind: 'file' }> }>()

  function handleOf(source: Extract<ByteDescriptor, { kind: 'file' }>): number {
    const known = handles.get(source.path)
    if (known !== undefined) return known.handle
    let handle: number
    try {
      handle = openSync(source.path, 'r')
    } catch (error) {
      throw fileSystemError(error, source.name, 'opened')
    }
    handles.set(source.path, { handle, source })
    checkUnchanged(handle, source)
    return handle
  }

  return {
    read(source, into, position) {
      if (source.kind === 'memory') {
        if (position + into.byteLength > source.bytes.byteLength) throw cutShort(source.name, position, into.byteLength, source.bytes.byteLength)
        into.set(source.bytes.subarray(position, position + into.byteLength))
        return
      }
      const handle = handleOf(source)
      for (let done = 0; done < into.byteLength;) {
        const count = readPart(handle, source.name, into, done, position + done)
        if (count === 0) throw cutShort(source.name, position, into.byteLength, position + done)
        done += count
      }
    },
    checkUnchanged() {
      for (const { handle, source } of handles.values()) checkUnchanged(handle, source)
    },
    close() {
      for (const { handle } of handles.values()) closeSync(handle)
      handles.clear()
    },
  }
}

function readPart(handle: number, name: string, into: Uint8Array, from: number, position: number): number {
  try {
    return readSync(handle, into, from, into.byteLength - from, position)
  } catch (error) {
    throw fileSystemError(error, name, 'read')
  }
}

function checkUnchanged(handle: number, source: Extract<ByteDescriptor, { kind: 'file' }>): void {
  const now = fstatSync(handle)
  if (now.size !== source.byteLength || now.mtimeMs !== source.modifiedMs || now.ino !== source.inode) {
    throw new FormatError('changed while it was read; nothing was written. Run again when no one writes to it.', { file: source.name })
  }
}
