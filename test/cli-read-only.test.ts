/** A model in a folder that may not be written to: its GGUF goes to the current folder. By itself, because root cannot be kept from writing. */
import assert from 'node:assert/strict'
import { chmodSync, cpSync, existsSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { FIXTURES } from './support/paths.js'
import { runCliOk } from './support/run-cli.js'
import { workspace } from './support/workspace.js'

const asRoot = process.getuid?.() === 0

describe('the place of a GGUF', { skip: asRoot ? 'root may write everywhere' : process.platform === 'win32' ? 'Windows has no such modes' : false }, () => {
  it('is the current folder where the model’s is read-only', async (t) => {
    const folder = workspace(t)
    const model = join(folder, 'tiny-story')
    cpSync(join(FIXTURES, 'tiny-story'), model, { recursive: true })
    chmodSync(model, 0o555)
    t.after(() => chmodSync(model, 0o755))
    await runCliOk('to-gguf', ['tiny-story', '--quiet', '--no-receipt', '--no-modelfile'], { cwd: folder })
    assert.ok(existsSync(join(folder, 'Tiny-Story-2.5M-BF16.gguf')))
  })
})
