/** What a run will take is known before it begins, and can be bounded. */
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { UsageError } from '../src/core/errors.js'
import { expectedPeakBytes, threadCount, threadsWithin } from '../src/engine/memory.js'
import { planGguf } from '../src/index.js'
import { FIXTURES } from './support/paths.js'
import { runCliOk } from './support/run-cli.js'
import { workspace } from './support/workspace.js'

/** Measured on Node 20; other versions take some megabytes more or less for themselves. */
const TOLERANCE = process.versions.node.startsWith('20.') ? 0.2 : 0.4

const BASE = join(FIXTURES, 'tiny-story')

describe('memory', () => {
  it('takes no more threads than fit into a limit, and says when not even one does', async () => {
    const plan = await planGguf({ model: BASE, outtype: 'f32', outfile: 'x.gguf', receipt: false })
    const [one, four] = [expectedPeakBytes(plan, 1), expectedPeakBytes(plan, 4)]
    assert.ok(one < four)
    assert.equal(threadsWithin(plan, 4, four), 4)
    assert.equal(threadsWithin(plan, 4, four - 1), 3)
    assert.throws(() => threadsWithin(plan, 4, one - 1), UsageError)
  })

  it('does small jobs on the main thread unless threads are asked for', async () => {
    const plan = await planGguf({ model: BASE, outtype: 'q8_0', outfile: 'x.gguf', receipt: false })
    assert.equal(threadCount(plan, undefined), 1)
    assert.equal(threadCount(plan, 3), 3)
  })

  it('peaks within 20 % of what the plan says', async (t) => {
    for (const threads of ['1', '2']) {
      const out = join(workspace(t), 'x.gguf')
      const args = [BASE, '--outtype', 'f32', '--outfile', out, '--json', '--threads', threads]
      const events = (await runCliOk('to-gguf', args)).stdout
        .trim()
        .split('\n')
        .map((line) => JSON.parse(line) as Record<string, number>)
      const expected = events.find((event) => 'expectedPeakBytes' in event)?.['expectedPeakBytes'] ?? 0
      const peak = events.find((event) => 'peakBytes' in event)?.['peakBytes'] ?? 0
      assert.ok(Math.abs(peak / expected - 1) < TOLERANCE, `${peak} with ${threads} threads, ${expected} expected`)
    }
  })
})
