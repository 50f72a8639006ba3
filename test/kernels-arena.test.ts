/** Who owns which bytes of a worker's memory, and that there is a way without kernels. */
import assert from 'node:assert/strict'
import { existsSync, readFileSync } from 'node:fs'
import { describe, it } from 'node:test'
import { Arena } from '../src/kernels/arena.js'
import { openKernels } from '../src/kernels/load.js'

const WASM = new URL('../src/kernels/kernels.wasm', import.meta.url)
const MAX_MODULE_BYTES = 40_960

describe('the arena', () => {
  it('gives and takes back bytes as a stack, on boundaries of 64', () => {
    const arena = new Arena(new ArrayBuffer(1024), 10, 1000)
    const bottom = arena.mark()
    const first = arena.take(10)
    const mark = arena.mark()
    const second = arena.take(100)
    assert.deepEqual([bottom, first.byteOffset, second.byteOffset, second.byteLength], [64, 64, 128, 100])
    arena.release(mark)
    assert.equal(arena.take(1).byteOffset, 128)
    arena.release(bottom)
    assert.equal(arena.take(1).byteOffset, 64)
  })

  it('keeps bytes at the other end until they are forgotten', () => {
    const arena = new Arena(new ArrayBuffer(1024), 0, 1024)
    assert.deepEqual([arena.keep(65).byteOffset, arena.keep(1).byteOffset], [896, 832])
    assert.equal(arena.hasRoom(832), true)
    assert.equal(arena.hasRoom(833), false)
    arena.forget()
    assert.equal(arena.hasRoom(1024), true)
  })

  it('gives ordinary memory when it is full, and never the same bytes twice', () => {
    const arena = new Arena(new ArrayBuffer(256), 0, 256)
    const [taken, kept] = [arena.take(128), arena.keep(128)]
    const [more, most] = [arena.take(1), arena.keep(1000)]
    assert.deepEqual(
      [taken, kept, more, most].map((bytes) => arena.holds(bytes)),
      [true, true, false, false],
    )
    assert.deepEqual([taken.byteOffset, kept.byteOffset, more.byteLength, most.byteLength], [0, 128, 1, 1000])
  })
})

describe('the module of kernels', { skip: existsSync(WASM) ? false : 'kernels.wasm was not built beside load.js' }, () => {
  it(`is smaller than ${MAX_MODULE_BYTES / 1024} KiB`, () => {
    assert.ok(readFileSync(WASM).byteLength < MAX_MODULE_BYTES)
  })

  it('keeps its tables below the stage, and the arena above it', () => {
    const kernels = openKernels(1_000_000)
    assert.ok(kernels)
    assert.ok(kernels.run.firstFree() <= kernels.stage.byteOffset)
    assert.ok(kernels.arena.mark() >= kernels.stage.byteOffset + kernels.stage.byteLength)
    assert.ok(kernels.arena.hasRoom(1_000_000))
  })

  it('gives each worker a memory of its own', () => {
    const [one, other] = [openKernels(1000), openKernels(1000)]
    assert.ok(one && other)
    one.arena.take(8).fill(1)
    assert.deepEqual([...other.arena.take(8)], [0, 0, 0, 0, 0, 0, 0, 0])
  })

  it('is left out where its memory cannot be had', () => {
    assert.equal(openKernels(2 ** 40)?.arena.hasRoom(2 ** 40) ?? false, false)
  })
})
