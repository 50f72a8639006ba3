/** Bytes are sent to the disk while more are written: seldom, one at a time, and without a fault of its own. */
import assert from 'node:assert/strict'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { writeBehind } from '../src/engine/write-behind.js'
import { workspace } from './support/workspace.js'

const MUCH = 200_000_000

describe('writing behind', () => {
  it('leaves files as they are, and ends when it is told to', async (t) => {
    const path = join(workspace(t), 'out.bin')
    writeFileSync(path, 'what was written')
    const behind = writeBehind([path])
    for (const bytes of [1, MUCH, MUCH + 1, 2 * MUCH]) behind.wrote(bytes)
    await behind.finish()
    behind.wrote(4 * MUCH)
    await behind.finish()
    assert.equal(readFileSync(path, 'utf8'), 'what was written')
  })

  it('leaves faults to the one who makes files durable', async (t) => {
    const behind = writeBehind([join(workspace(t), 'is not there'), workspace(t)])
    behind.wrote(MUCH)
    await assert.doesNotReject(behind.finish())
  })
})
