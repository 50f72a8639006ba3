/**
 * Writes past the page cache on Linux (O_DIRECT): the processor copies nothing, and the disk works while tiles are computed. Through the cache the bytes
 * would be copied, and sent to the disk in bursts during which every other writer of the file waits.
 *
 * O_DIRECT wants position, length and address in whole pages: only the whole pages of a piece go this way, and only if they lie in memory as they
 * will lie in the pages of the file. Its ends share pages with the pieces before and behind it, which other threads write: they go through the cache.
 * No page is ever written both ways.
 */
import { closeSync, constants, openSync, statfsSync, write } from 'node:fs'
import { errorCode } from '../core/file-errors.js'
import { directFlag } from './direct-file.js'

/** Bytes of a page of the cache: elsewhere than on x86-64 they may be larger than 4 KiB, and 64 KiB at most. */
export const PAGE_BYTES = process.arch === 'x64' ? 4096 : 65_536

/** File systems on local disks that write in place, by the magic number of statfs(2). Others (network, memory, copy on write) do better with a cache. */
const FILE_SYSTEMS: ReadonlySet<number> = new Set([
  0xef53, // ext4
  0x5846_5342, // xfs
  0xf2f5_2010, // f2fs
  0x794c_7630, // overlayfs
])

/** A file that is written past the cache. */
export interface DirectWriter {
  /** Which of `bytes`, to be written at `position`, can go past the cache; undefined: none. */
  wholePages(bytes: Uint8Array, position: number): { readonly from: number; readonly to: number } | undefined
  /** Writes whole pages. @returns bytes that were written; 0 where the file system refuses */
  write(pages: Uint8Array, position: number): Promise<number>
  close(): void
}

/** @returns undefined where direct writes are refused or do no good */
export function openDirectWriter(path: string, byteLength: number): DirectWriter | undefined {
  const flag = directFlag(byteLength)
  if (flag === undefined) return undefined
  try {
    return FILE_SYSTEMS.has(statfsSync(path).type) ? directWriter(openSync(path, constants.O_WRONLY | flag)) : undefined
  } catch {
    return undefined // the same file is open through the cache
  }
}

function directWriter(handle: number): DirectWriter {
  let refused = false
  return {
    wholePages(bytes, position) {
      const from = (PAGE_BYTES - (position % PAGE_BYTES)) % PAGE_BYTES
      const to = bytes.byteLength - ((position + bytes.byteLength) % PAGE_BYTES)
      return refused || from >= to || (bytes.byteOffset + from) % PAGE_BYTES !== 0 ? undefined : { from, to }
    },
    write: (pages, position) =>
      new Promise((resolve, reject) => {
        write(handle, pages, 0, pages.byteLength, position, (error, count) => {
          if (error === null) return resolve(count)
          if (errorCode(error) !== 'EINVAL') return reject(error)
          refused = true // some file systems refuse only now
          resolve(0)
        })
      }),
    close: () => closeSync(handle),
  }
}
