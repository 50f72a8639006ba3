/** How a model is cut into files. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { cutShards } from '../src/plan/shards.js'
import { outputNames } from '../src/plan/weight-names.js'

const cut = (sizes: Readonly<Record<string, number>>, maxBytes: number): [string, readonly string[]][] =>
  cutShards({ tensorNames: Object.keys(sizes), metadata: new Map() }, maxBytes, (name) => sizes[name] ?? 0, outputNames({})).map(
    ({ fileName, tensorNames }) => [fileName, tensorNames],
  )

describe('cutShards', () => {
  it('keeps one file where everything fits, at the limit too', () => {
    assert.deepEqual(cut({ a: 4, b: 6 }, 10), [['model.safetensors', ['a', 'b']]])
  })

  it('begins a new file with the tensor that does not fit any more', () => {
    assert.deepEqual(cut({ a: 4, b: 6, c: 1 }, 10), [
      ['model-00001-of-00002.safetensors', ['a', 'b']],
      ['model-00002-of-00002.safetensors', ['c']],
    ])
  })

  it('gives a tensor larger than a file one for itself', () => {
    assert.deepEqual(cut({ a: 4, b: 60, c: 1 }, 10), [
      ['model-00001-of-00003.safetensors', ['a']],
      ['model-00002-of-00003.safetensors', ['b']],
      ['model-00003-of-00003.safetensors', ['c']],
    ])
    assert.deepEqual(cut({ b: 60 }, 10), [['model.safetensors', ['b']]])
  })

  it('puts every tensor into one file, in order, none beyond the limit unless alone', () => {
    fc.assert(
      fc.property(fc.array(fc.integer({ min: 0, max: 30 }), { maxLength: 40 }), fc.integer({ min: 1, max: 50 }), (sizes, maxBytes) => {
        const named = Object.fromEntries(sizes.map((size, i) => [`t${String(i).padStart(3, '0')}`, size]))
        const shards = cut(named, maxBytes)
        assert.deepEqual(
          shards.flatMap(([, names]) => names),
          Object.keys(named),
        )
        for (const [, names] of shards) {
          const bytes = names.reduce((sum, name) => sum + (named[name] ?? 0), 0)
          assert.ok(bytes <= maxBytes || names.filter((name) => (named[name] ?? 0) > 0).length === 1)
        }
        assert.equal(new Set(shards.map(([file]) => file)).size, shards.length)
      }),
    )
  })
})
