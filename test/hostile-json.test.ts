/** The hostile side files: indexes and configs, judged by inspecting their folder. Adapters and Modelfiles have tests of their own. */
import assert from 'node:assert/strict'
import { basename } from 'node:path'
import { describe, it } from 'node:test'
import { ToolkitError } from '../src/core/errors.js'
import { inspect } from '../src/inspect/inspect.js'
import { hostileCases, restoredFolder } from './support/hostile.js'
import { SKIP_WITHOUT_GOLDEN } from './support/paths.js'

const CASES = hostileCases(({ format, kind }) => format === 'json' && (kind === 'index' || kind === 'config'))
const skip = SKIP_WITHOUT_GOLDEN !== false ? SKIP_WITHOUT_GOLDEN : process.platform === 'win32' ? 'links need rights on Windows' : false

describe('the hostile index and config corpus', { skip }, () => {
  for (const one of CASES) {
    const verb = one.expect === 'accept' ? 'reads' : 'refuses'
    it(`${verb} ${basename(one.path)} (${one.reason})`, async () => {
      const { path, remove } = restoredFolder(one)
      try {
        if (one.expect === 'accept') {
          const { tensors } = await inspect(path, { hash: true })
          if (one.kind === 'index') assert.ok(tensors.length > 0)
          return
        }
        await assert.rejects(inspect(path, { hash: true }), (error) => {
          assert.ok(error instanceof ToolkitError && error.exitCode >= 3 && error.exitCode <= 6, String(error))
          assert.ok(
            [basename(one.path), ...(one.files ?? [])].some((name) => error.message.includes(name)),
            error.message,
          )
          if (one.hint !== undefined) assert.match(error.message, new RegExp(one.hint, 'i'))
          return true
        })
      } finally {
        remove()
      }
    })
  }

  it('has cases of both kinds and both verdicts', () => {
    assert.equal(new Set(CASES.map(({ kind, expect }) => `${kind} ${expect}`)).size, 4)
  })
})
