/** What goes past the page cache, what goes through it, and that a file holds the same bytes either way. */
import assert from 'node:assert/strict'
import { readFileSync, statSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it, type TestContext } from 'node:test'
import { PAGE_BYTES, openDirectWriter } from '../src/engine/direct-writer.js'
import { openFileSink } from '../src/engine/file-sink.js'
import { TileOutputs, outputBuffers } from '../src/engine/tile-outputs.js'
import { openKernels } from '../src/kernels/load.js'
import { Seeded } from './support/straight-math.js'
import { mountedTmpfs } from './support/tmpfs.js'
import { workspace } from './support/workspace.js'

const BYTES = 70_000_003 // above the least size, no whole number of pages

function emptyFile(folder: string, byteLength: number): string {
  const path = join(folder, 'out')
  writeFileSync(path, '')
  truncateSync(path, byteLength)
  return path
}

/** The byte that belongs at a position. */
function byteAt(position: number): number {
  return (position * 2_654_435_761) >>> 24
}

function checkFile(path: string, byteLength: number): void {
  const bytes = readFileSync(path)
  assert.equal(bytes.byteLength, byteLength)
  const fault = bytes.findIndex((byte, i) => byte !== byteAt(i))
  assert.equal(fault, -1, `byte ${fault}`)
}

/** Closes what is open whatever happens, as workers do. */
async function closing<T extends { close(): Promise<void> }>(all: readonly T[], use: (all: readonly T[]) => Promise<void>): Promise<void> {
  try {
    await use(all)
  } finally {
    for (const one of all) await one.close()
  }
}

/** Writes a whole file through the outputs of two workers that take turns, in pieces of a size drawn anew each time. */
async function writeAll(path: string, byteLength: number, seed: number): Promise<void> {
  const largest = 400_000
  const open = (): TileOutputs => {
    const kernels = openKernels(outputBuffers(largest) + PAGE_BYTES)
    assert.ok(kernels !== undefined)
    return new TileOutputs([{ path, name: 'out', byteLength }], kernels.arena, largest)
  }
  const random = new Seeded(seed)
  await closing([open(), open()], async (workers) => {
    for (let position = 0; position < byteLength;) {
      const worker = workers[random.bits() % 2]!
      // a worker's pieces follow one another for a while
      for (let left = 1 + (random.bits() % 4); left > 0 && position < byteLength; left--) {
        const size = Math.min(byteLength - position, 1 + (random.bits() % largest))
        const into = await worker.take(0, position, size)
        assert.equal(into.byteLength, size)
        for (let i = 0; i < size; i++) into[i] = byteAt(position + i)
        position += size
      }
    }
    for (const worker of workers) await worker.finish()
  })
}

describe('the outputs of workers', () => {
  it('hold every byte at its place in a large file, past the cache where that is possible', async (t) => {
    const path = emptyFile(workspace(t), BYTES)
    await writeAll(path, BYTES, 1)
    checkFile(path, BYTES)
  })

  it('hold the same bytes in a file that is too small for it, and where the file system refuses', async (t) => {
    const path = emptyFile(workspace(t), 5_000_001)
    await writeAll(path, 5_000_001, 2)
    checkFile(path, 5_000_001)
  })

  it('tell of a full disk, whether it is noticed at once or later', async (t) => {
    const folder = mountedTmpfs(t, 'size=4m')
    if (folder === undefined) return t.skip('no tmpfs can be mounted here')
    const path = emptyFile(folder, BYTES)
    await assert.rejects(writeAll(path, BYTES, 3), /no space|ENOSPC|full/i)
  })

  it('begin where the pages of the file begin', async (t) => {
    const path = emptyFile(workspace(t), BYTES)
    const kernels = openKernels(outputBuffers(1000) + PAGE_BYTES)
    assert.ok(kernels !== undefined)
    const outputs = new TileOutputs([{ path, name: 'out', byteLength: BYTES }], kernels.arena, 1000)
    for (const position of [0, 32, 4096, 1_000_032, 5_000_002]) {
      const { byteOffset } = await outputs.take(0, position, 10)
      if (position % 4 === 0) assert.equal(byteOffset % PAGE_BYTES, position % PAGE_BYTES, `position ${position}`)
    }
    await outputs.close()
  })
})

describe('a direct writer', () => {
  const opened = (t: TestContext): ReturnType<typeof openDirectWriter> => {
    const writer = openDirectWriter(emptyFile(workspace(t), BYTES), BYTES)
    if (writer === undefined) t.skip('this file system or platform has no direct writes')
    return writer
  }

  it('takes the whole pages of a piece and leaves its ends', (t) => {
    const writer = opened(t)
    if (writer === undefined) return
    const memory = new Uint8Array(new ArrayBuffer(PAGE_BYTES * 8)) // only offsets in it count here
    const piece = (from: number, length: number): Uint8Array => memory.subarray(from, from + length)
    assert.deepEqual(writer.wholePages(piece(0, PAGE_BYTES * 2), PAGE_BYTES * 5), { from: 0, to: PAGE_BYTES * 2 })
    assert.deepEqual(writer.wholePages(piece(100, PAGE_BYTES * 2), PAGE_BYTES + 100), { from: PAGE_BYTES - 100, to: PAGE_BYTES * 2 - 100 })
    assert.equal(writer.wholePages(piece(100, PAGE_BYTES * 2), PAGE_BYTES + 104), undefined, 'other places in memory than in the file')
    assert.equal(writer.wholePages(piece(100, PAGE_BYTES), PAGE_BYTES + 100), undefined, 'no whole page in it')
    assert.equal(writer.wholePages(piece(0, 0), 0), undefined)
    writer.close()
  })

  it('is not opened for small files, nor for what is not there', (t) => {
    const folder = workspace(t)
    assert.equal(openDirectWriter(emptyFile(folder, 1000), 1000), undefined)
    assert.equal(openDirectWriter(join(folder, 'missing'), BYTES), undefined)
  })
})

describe('a file sink', () => {
  it('writes all of a piece, whichever way', async (t) => {
    const path = emptyFile(workspace(t), BYTES)
    const sink = openFileSink(path, 'out', BYTES)
    await sink.write(
      Uint8Array.from({ length: 10_000 }, (_, i) => byteAt(60_000_000 + i)),
      60_000_000,
    )
    sink.close()
    assert.equal(statSync(path).size, BYTES)
    const written = readFileSync(path).subarray(60_000_000, 60_010_000)
    assert.ok(written.every((byte, i) => byte === byteAt(60_000_000 + i)))
  })
})
