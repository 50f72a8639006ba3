/**
 * Sends written bytes to the disk while more are computed, so that the end of a run does not wait for all of them. Only a help: what makes outputs
 * durable is AtomicOutput.sync, and an error shows itself there again. Linux only: elsewhere a sync empties the disk's own cache each time.
 */
import { open } from 'node:fs/promises'

/** Linux itself begins at a tenth of the memory: models that are smaller would all be written in the end. */
const BYTES_AT_ONCE = 134_217_728

export interface WriteBehind {
  /** Tells how many bytes were written so far. */
  wrote(doneBytes: number): void
  /** Waits for what was begun. */
  finish(): Promise<void>
}

/** @param paths  files that are being written */
export function writeBehind(paths: readonly string[]): WriteBehind {
  let begun = 0
  let running: Promise<void> | undefined
  return {
    wrote(doneBytes) {
      if (process.platform !== 'linux' || running !== undefined || doneBytes - begun < BYTES_AT_ONCE) return
      begun = doneBytes
      running = flush(paths).finally(() => (running = undefined))
    },
    async finish() {
      await running
    },
  }
}

async function flush(paths: readonly string[]): Promise<void> {
  for (const path of paths) {
    try {
      const file = await open(path, 'r+')
      try {
        await file.datasync()
      } finally {
        await file.close()
      }
    } catch {
      // the same fault comes back when the file is made durable
    }
  }
}
