/** Direct reads give the bytes that buffered reads give, at any position and length, and make way where they are refused. */
import assert from 'node:assert/strict'
import { closeSync, openSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { openDirectFile } from '../src/engine/direct-file.js'
import { workspace } from './support/workspace.js'

const BYTES = 70_000_001 // above the least size, no whole number of pages

function pattern(): Uint8Array {
  const bytes = new Uint8Array(BYTES)
  for (let i = 0; i < BYTES; i++) bytes[i] = (i * 2_654_435_761) >>> 24
  return bytes
}

describe('a direct file', () => {
  it('reads any range as it stands, the end too', (t) => {
    const path = join(workspace(t), 'weights')
    const bytes = pattern()
    writeFileSync(path, bytes)
    const handle = openSync(path, 'r')
    const file = openDirectFile(path, BYTES, handle, () => false)
    closeSync(handle)
    if (file === undefined) return t.skip('this file system or platform has no direct reads')
    for (const [position, length] of [
      [0, 1],
      [4095, 2],
      [1, 4096],
      [4096, 4096],
      [12_345, 5_000_000],
      [BYTES - 1, 1],
      [BYTES - 4097, 4097],
    ] as const) {
      const into = new Uint8Array(length)
      assert.equal(file.read(into, position), length)
      assert.deepEqual(Buffer.compare(into, bytes.subarray(position, position + length)), 0, `${length} bytes at ${position}`)
    }
    assert.equal(file.read(new Uint8Array(100), BYTES - 10), 10, 'a short count at the end')
    file.close()
  })

  it('is not opened for small files', (t) => {
    const path = join(workspace(t), 'small')
    writeFileSync(path, 'x')
    const handle = openSync(path, 'r')
    assert.equal(openDirectFile(path, 1, handle), undefined)
    closeSync(handle)
  })
})
