/**
 * What an archive has besides its first header and its data: headers between the records and the directory after them, written
 * before the tiles; checksums of the data, put in their places after them.
 */
import { closeSync } from 'node:fs'
import { crc32Combined } from '../core/crc32.js'
import type { PlannedFile } from '../plan/plan.js'
import { openForWriting } from './file-sink.js'
import { readRecord, type TileJob } from './tile-job.js'
import { writeAll } from './write-all.js'

/** @param path  of the file that is being written, which has its planned length already */
export function writePieces({ name, pieces = [] }: PlannedFile, path: string): void {
  if (pieces.length === 0) return
  const handle = openForWriting(path, name)
  try {
    for (const { offset, bytes } of pieces) writeAll(handle, bytes, offset, { name, done: 'written' })
  } finally {
    closeSync(handle)
  }
}

/** @param job  done: every tile has its record */
export function writeChecksums({ name, checksums = [] }: PlannedFile, path: string, job: TileJob): void {
  if (checksums.length === 0) return
  const handle = openForWriting(path, name)
  try {
    for (const { tensor, places } of checksums) {
      const bytes = new Uint8Array(4)
      new DataView(bytes.buffer).setUint32(0, checksumOf(tensor, job), true)
      for (const place of places) writeAll(handle, bytes, place, { name, done: 'written' })
    }
  } finally {
    closeSync(handle)
  }
}

/** Tiles follow each other in the file as they do in the job. */
function checksumOf(tensor: number, job: TileJob): number {
  let crc = 0
  for (let tile = job.firstTile[tensor] ?? 0; tile < (job.firstTile[tensor + 1] ?? 0); tile++) {
    const record = readRecord(job, tile)
    crc = crc32Combined(crc, record.crc32, record.byteLength)
  }
  return crc
}
