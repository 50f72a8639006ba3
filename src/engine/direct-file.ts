/**
 * Reads past the page cache on Linux (O_DIRECT). Weights are read once: copying gigabytes through the cache costs CPU time
 * that the kernels want, and throws out what the user's other programs had there. Measured 1.2 to 2 times faster end to
 * end on cold files. Files that are cached already are faster through the cache, so they are read so.
 *
 * O_DIRECT wants position, length and address in whole pages: reads go into an aligned buffer and are copied out, which
 * costs a twentieth of the read. Where the file system refuses (tmpfs, network, other platforms) there is no direct file.
 */
import { closeSync, constants, openSync, readSync } from 'node:fs'
import { pageAlignedBytes } from '../kernels/load.js'

const PAGE_BYTES = 4096
const BUFFER_BYTES = 2_097_152
const LEAST_FILE_BYTES = 67_108_864 // smaller ones are over before it matters
const SAMPLES = 7
const SAMPLE_BYTES = 65_536
const CACHED_SAMPLE_MS = 0.08 // 64 KiB come from memory in about 0.02 ms, from the fastest disks in 0.1

/** A file that is read past the cache. */
export interface DirectFile {
  /** Fills `into` from `position` on; a count short of it means the end of the file. @returns bytes read */
  read(into: Uint8Array, position: number): number
  close(): void
}

let buffer: Uint8Array | undefined // one per thread; files take turns

/** What opens a file of this size for direct reads or writes; undefined on other platforms, and for small files. */
export function directFlag(byteLength: number): number | undefined {
  return process.platform === 'linux' && byteLength >= LEAST_FILE_BYTES ? (constants as { O_DIRECT?: number }).O_DIRECT : undefined
}

/**
 * Opens a file for direct reads.
 * @param buffered  a handle of the same file, for a look whether it is cached
 * @param cached    looks whether the file is cached
 * @returns undefined where direct reads are refused or would be slower
 */
export function openDirectFile(path: string, byteLength: number, buffered: number, cached = isCached): DirectFile | undefined {
  const flag = directFlag(byteLength)
  if (flag === undefined || cached(buffered, byteLength)) return undefined
  buffer ??= pageAlignedBytes(BUFFER_BYTES)
  let handle: number | undefined
  try {
    handle = openSync(path, constants.O_RDONLY | flag)
    readSync(handle, buffer, 0, PAGE_BYTES, 0) // some file systems refuse only now
  } catch {
    if (handle !== undefined) closeSync(handle)
    return undefined
  }
  return directFile(handle, buffer)
}

function directFile(handle: number, aligned: Uint8Array): DirectFile {
  return {
    read(into, position) {
      let done = 0
      while (done < into.byteLength) {
        const start = position + done
        const first = start - (start % PAGE_BYTES)
        const wanted = Math.min(aligned.byteLength, Math.ceil((position + into.byteLength - first) / PAGE_BYTES) * PAGE_BYTES)
        const count = readSync(handle, aligned, 0, wanted, first)
        const usable = Math.min(count - (start - first), into.byteLength - done)
        if (usable <= 0) break
        into.set(aligned.subarray(start - first, start - first + usable), done)
        done += usable
      }
      return done
    },
    close: () => closeSync(handle),
  }
}

/** Whether most of a few pieces spread over the file come as fast as only memory gives them; the others met a busy machine. */
function isCached(handle: number, byteLength: number): boolean {
  const piece = new Uint8Array(SAMPLE_BYTES).fill(1) // touched, so that no page of it is to be found during a sample
  let fast = 0
  for (let i = 1; i <= SAMPLES; i++) {
    const begin = performance.now()
    readSync(handle, piece, 0, SAMPLE_BYTES, Math.floor((byteLength * i) / (SAMPLES + 2)))
    if (performance.now() - begin <= CACHED_SAMPLE_MS) fast++
  }
  return fast > SAMPLES / 2
}
