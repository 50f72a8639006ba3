/** A file that is being written by several threads, each its own pieces of it. */
import { closeSync, openSync } from 'node:fs'
import type { ByteSink } from '../core/bytes.js'
import { fileSystemError } from '../core/file-errors.js'
import { openDirectWriter, type DirectWriter } from './direct-writer.js'
import { writeAll } from './write-all.js'

/**
 * Opens a file that exists already, and has its full size.
 * @param name        what messages call it: its final name, not the temporary one
 * @param byteLength  its size: a large one is written past the page cache where that is possible
 */
export function openFileSink(path: string, name: string, byteLength: number): ByteSink {
  const handle = openForWriting(path, name)
  const direct = openDirectWriter(path, byteLength)
  const cached = (bytes: Uint8Array, position: number): void => writeAll(handle, bytes, position, { name, done: 'written' })
  return {
    write(bytes, position) {
      const pages = direct?.wholePages(bytes, position)
      if (direct === undefined || pages === undefined) {
        cached(bytes, position)
        return undefined
      }
      const { from, to } = pages
      cached(bytes.subarray(0, from), position)
      cached(bytes.subarray(to), position + to)
      return writePages(direct, bytes.subarray(from, to), position + from)
    },
    close() {
      closeSync(handle)
      direct?.close()
    },
  }

  async function writePages(direct: DirectWriter, pages: Uint8Array, position: number): Promise<void> {
    let count: number
    try {
      count = await direct.write(pages, position)
    } catch (error) {
      throw fileSystemError(error, name, 'written')
    }
    // a full disk gives a short count first, and an error only at the next write
    if (count < pages.byteLength) cached(pages.subarray(count), position + count)
  }
}

/** @throws FileSystemError */
export function openForWriting(path: string, name: string): number {
  try {
    return openSync(path, 'r+')
  } catch (error) {
    throw fileSystemError(error, name, 'written')
  }
}
