/**
 * What an archive has besides its first header and its data: headers between the records and the directory after them, written
 * before the tiles; checksums of the data, put in their places after them.
 */
import { closeSync } from 'node:fs'
import type { PlannedFile } from '../plan/plan.js'
import { openForWriting } from './file-sink.js'
import { crc32OfTensor, type TileJob } from './tile-job.js'
import { writeAll } from './write-all.js'

/** @param path  of the file that is being written, which has its planned length already */
export function writePieces({ name, pieces = [] }: PlannedFile, path: string): void {
  writeAt(path, name, pieces)
}

/** @param job  done: every tile has its record */
export function writeChecksums({ name, checksums = [] }: PlannedFile, path: string, job: TileJob): void {
  const pieces = checksums.flatMap(({ tensor, places }) => {
    const bytes = new Uint8Array(4)
    new DataView(bytes.buffer).setUint32(0, crc32OfTensor(job, tensor), true)
    return places.map((offset) => ({ offset, bytes }))
  })
  writeAt(path, name, pieces)
}

function writeAt(path: string, name: string, pieces: readonly { readonly offset: number; readonly bytes: Uint8Array }[]): void {
  if (pieces.length === 0) return
  const handle = openForWriting(path, name)
  try {
    for (const { offset, bytes } of pieces) writeAll(handle, bytes, offset, { name, done: 'written' })
  } finally {
    closeSync(handle)
  }
}
