/** A file that is being written, as a ByteSink: synchronous, for each worker writes its own tiles. */
import { closeSync, openSync } from 'node:fs'
import type { ByteSink } from '../core/bytes.js'
import { fileSystemError } from '../core/file-errors.js'
import { writeAll } from './write-all.js'

/**
 * Opens a file that exists already.
 * @param name  what messages call it: its final name, not the temporary one
 */
export function openFileSink(path: string, name: string): ByteSink {
  const handle = openForWriting(path, name)
  return {
    write: (bytes, position) => writeAll(handle, bytes, position, { name, done: 'written' }),
    close: () => closeSync(handle),
  }
}

function openForWriting(path: string, name: string): number {
  try {
    return openSync(path, 'r+')
  } catch (error) {
    throw fileSystemError(error, name, 'written')
  }
}
