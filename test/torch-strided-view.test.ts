/** Strided views read as packed bytes, held against the definition of a stride. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { readStrided, readStridedAsync, type StridedView } from '../src/core/strided-view.js'
import { Seeded } from './support/straight-math.js'

const PLAIN = { reversedBytes: 1, flippedBytes: [] }

describe('strided views', () => {
  it('give the elements that the strides name, for any range of any view', async () => {
    const seeded = new Seeded(5)
    const random = (below: number): number => seeded.bits() % below
    for (let run = 0; run < 3000; run++) {
      const rank = random(5)
      const elementBytes = [1, 2, 4, 8][random(4)] ?? 1
      const shape = Array.from({ length: rank }, () => 1 + random(run % 10 === 0 ? 20 : 5))
      const view = { ...PLAIN, elementBytes, offset: elementBytes * random(4), shape, strides: shape.map(() => random(run % 7 === 0 ? 3000 : 20)) }
      const storage = storageOf(view)
      const packed = straight(view, storage)
      const from = random(packed.byteLength / elementBytes + 1)
      const to = from + random(packed.byteLength / elementBytes - from + 1)
      const into = new Uint8Array((to - from) * elementBytes)
      readStrided(view, into, from * elementBytes, (bytes, at) => fill(bytes, storage, at))
      assert.deepEqual(into, packed.subarray(from * elementBytes, to * elementBytes), JSON.stringify(view))
      const again = new Uint8Array(into.byteLength)
      await readStridedAsync(view, again, from * elementBytes, async (bytes, at) => fill(bytes, storage, at))
      assert.deepEqual(again, into)
    }
  })

  it('read a transpose in few reads of bounded size, and each byte about once', () => {
    const view: StridedView = { ...PLAIN, elementBytes: 4, offset: 0, shape: [2048, 1024], strides: [1, 2048] }
    const storage = storageOf(view)
    const into = new Uint8Array(512 * 1024 * 4)
    let reads = 0
    let most = 0
    readStrided(view, into, 0, (bytes, at) => {
      reads++
      most = Math.max(most, bytes.byteLength)
      fill(bytes, storage, at)
    })
    assert.deepEqual(into, straight(view, storage).subarray(0, into.byteLength))
    assert.ok(reads <= 1024 && most <= 1 << 20, `${reads} reads of up to ${most} bytes`)
  })

  it('walk a dimension that is longer than a chunk in blocks', () => {
    for (const stride of [1, 2, 3, 15]) {
      const view: StridedView = { ...PLAIN, elementBytes: 4, offset: 4, shape: [300_001], strides: [stride] }
      const storage = storageOf(view)
      const into = new Uint8Array(4 * 300_001)
      readStrided(view, into, 0, (bytes, at) => fill(bytes, storage, at))
      assert.deepEqual(into, straight(view, storage))
    }
  })

  it('turn bytes around, number by number, then flip signs', () => {
    const read = (view: StridedView, storage: number[]): number[] => {
      const into = new Uint8Array(view.shape.reduce((product, one) => product * one, 1) * view.elementBytes)
      readStrided(view, into, 0, (bytes, at) => fill(bytes, Uint8Array.from(storage), at))
      return [...into]
    }
    const base = { offset: 0, shape: [1], strides: [1] }
    assert.deepEqual(read({ ...base, elementBytes: 4, reversedBytes: 4, flippedBytes: [] }, [1, 2, 3, 4]), [4, 3, 2, 1])
    assert.deepEqual(read({ ...base, elementBytes: 8, reversedBytes: 4, flippedBytes: [] }, [1, 2, 3, 4, 5, 6, 7, 8]), [4, 3, 2, 1, 8, 7, 6, 5])
    assert.deepEqual(read({ ...base, elementBytes: 2, reversedBytes: 2, flippedBytes: [1] }, [0x3c, 0]), [0, 0xbc])
    assert.deepEqual(read({ ...base, shape: [3], strides: [0], elementBytes: 2, reversedBytes: 1, flippedBytes: [] }, [7, 8]), [7, 8, 7, 8, 7, 8])
  })
})

function storageOf({ offset, elementBytes, shape, strides }: StridedView): Uint8Array {
  const last = shape.reduce((sum, size, i) => sum + (size - 1) * (strides[i] ?? 0), 0)
  return Uint8Array.from({ length: offset + (last + 1) * elementBytes }, (_, i) => (i * 31) ^ (i >> 5))
}

function straight({ offset, elementBytes, shape, strides }: StridedView, storage: Uint8Array): Uint8Array {
  const elements = shape.reduce((product, one) => product * one, 1)
  const packed = new Uint8Array(elements * elementBytes)
  for (let element = 0; element < elements; element++) {
    let rest = element
    let at = 0
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      const size = shape[axis] ?? 1
      at += (rest % size) * (strides[axis] ?? 0)
      rest = Math.floor(rest / size)
    }
    const from = offset + at * elementBytes
    packed.set(storage.subarray(from, from + elementBytes), element * elementBytes)
  }
  return packed
}

function fill(into: Uint8Array, storage: Uint8Array, at: number): void {
  assert.ok(at >= 0 && at + into.byteLength <= storage.byteLength, 'reads inside the storage')
  into.set(storage.subarray(at, at + into.byteLength))
}
