/** Writing that goes on until all is written: a full disk gives a short count first, and an error only at the next write. */
import { writeSync } from 'node:fs'
import { fileSystemError } from '../core/file-errors.js'

/**
 * @param as  what a message calls the file, and what could not be done with it
 * @throws FileSystemError
 */
export function writeAll(handle: number, bytes: Uint8Array, position: number, as: { readonly name: string; readonly done: 'copied' | 'written' }): void {
  try {
    for (let count = 0; count < bytes.byteLength;) count += writeSync(handle, bytes, count, bytes.byteLength - count, position + count)
  } catch (error) {
    throw fileSystemError(error, as.name, as.done)
  }
}
