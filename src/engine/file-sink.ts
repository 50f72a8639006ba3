/** A file that is being written, as a ByteSink: synchronous, for each worker writes its own tiles. */
import { closeSync, openSync, writeSync } from 'node:fs'
import type { ByteSink } from '../core/bytes.js'
import { fileSystemError } from '../core/file-errors.js'

/**
 * Opens a file that exists already.
 * @param name  what messages call it: its final name, not the temporary one
 */
export function openFileSink(path: string, name: string): ByteSink {
  const attempt = <T>(deed: () => T): T => {
    try {
      return deed()
    } catch (error) {
      throw fileSystemError(error, name, 'written')
    }
  }
  const handle = attempt(() => openSync(path, 'r+'))
  return {
    write: (bytes, position) =>
      attempt(() => {
        // a full disk gives a short count first and an error only at the next write
        for (let done = 0; done < bytes.byteLength;) done += writeSync(handle, bytes, done, bytes.byteLength - done, position + done)
      }),
    close: () => closeSync(handle),
  }
}
