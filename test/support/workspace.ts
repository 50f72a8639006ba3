/** Temporary folders for tests, removed when the test ends; every GGUF left in one must read alike in a second reader. */
import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'
import { FormatError, UnsupportedError } from '../../src/core/errors.js'
import { readGguf } from './gguf-file.js'
import { assertReadsAlike } from './gguf-peer.js'

/** A new empty folder for one test. */
export function workspace(t: TestContext, name = 'work'): string {
  const folder = mkdtempSync(join(tmpdir(), `l2g-${name}-`))
  t.after(() => removeWorkspace(folder))
  return folder
}

/** Lets the peer read what a test left in its folder, then removes the folder. */
export async function removeWorkspace(folder: string): Promise<void> {
  try {
    await peerReadsAll(folder)
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

/** Files that a test broke on purpose are ours to refuse (other tests say how), not the peer's to read. */
async function peerReadsAll(folder: string): Promise<void> {
  for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile() || !entry.name.endsWith('.gguf')) continue
    const path = join(entry.parentPath, entry.name)
    const written = await readGguf(path).catch((error: unknown) => {
      if (error instanceof FormatError || error instanceof UnsupportedError) return undefined
      throw error
    })
    if (written !== undefined) await assertReadsAlike(path, written)
  }
}
