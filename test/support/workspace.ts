/** Temporary folders for tests, removed when the test ends. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'

/** A new empty folder for one test. */
export function workspace(t: TestContext, name = 'work'): string {
  const folder = mkdtempSync(join(tmpdir(), `l2g-${name}-`))
  t.after(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}
