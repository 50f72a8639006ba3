/** The hostile corpus, in process: what must be refused is refused in one clear sentence, what must be accepted is read to the last bit. */
import assert from 'node:assert/strict'
import { basename, join } from 'node:path'
import { describe, it } from 'node:test'
import { ToolkitError } from '../src/core/errors.js'
import { inspect } from '../src/inspect/inspect.js'
import { HOSTILE, hostileCases } from './support/hostile.js'
import { SKIP_WITHOUT_GOLDEN } from './support/paths.js'

const CASES = hostileCases(({ format }) => format === 'safetensors')

/** Policy cases where this project decides otherwise than the corpus, with the reason. */
const OUR_POLICY: ReadonlyMap<string, string> = new Map([
  ['meta-null.safetensors', 'every adapter of MLX-LM has "__metadata__": null, and the Rust crate takes it as absent'],
])
const isRefused = ({ path, expect }: (typeof CASES)[number]): boolean => expect === 'reject' && !OUR_POLICY.has(basename(path))

describe('the hostile safetensors corpus', { skip: SKIP_WITHOUT_GOLDEN }, () => {
  it('has cases of both kinds', () => {
    assert.ok(CASES.some(({ expect }) => expect === 'reject') && CASES.some(({ expect }) => expect === 'accept'))
  })

  for (const one of CASES.filter(isRefused)) {
    it(`refuses ${basename(one.path)} (${one.reason})`, async () => {
      await assert.rejects(inspect(join(HOSTILE, one.path), { hash: true }), (error) => {
        assert.ok(error instanceof ToolkitError && error.exitCode >= 3 && error.exitCode <= 6, String(error))
        assert.ok(error.message.includes(basename(one.path)), error.message)
        assert.ok(error.message.length <= 560 && isPrintable(error.message), error.message)
        if (one.hint !== undefined) assert.match(error.message, new RegExp(one.hint, 'i'))
        return true
      })
    })
  }

  for (const one of CASES.filter(({ path }) => OUR_POLICY.has(basename(path)))) {
    it(`reads ${basename(one.path)}: ${OUR_POLICY.get(basename(one.path))}`, async () => {
      assert.equal(one.must, 'policy')
      assert.deepEqual((await inspect(join(HOSTILE, one.path), { hash: true })).metadata, [])
    })
  }

  for (const one of CASES.filter(({ expect }) => expect === 'accept')) {
    it(`reads ${basename(one.path)} (${one.reason})`, async () => {
      const { tensors, metadata } = await inspect(join(HOSTILE, one.path), { hash: true })
      const read = new Map(tensors.map(({ name, dtype, shape, sha256 }) => [name, { dtype, shape, sha256 }]))
      assert.deepEqual(read, new Map(Object.entries(one.tensors ?? {})))
      assert.equal(tensors.length, read.size)
      assert.deepEqual(new Map(metadata.map(({ key, value }) => [key, value])), new Map(Object.entries(one.metadata ?? {})))
      assert.equal(Object.getPrototypeOf({}), Object.prototype)
    })
  }
})

function isPrintable(text: string): boolean {
  return [...text].every((c) => c >= ' ' && c !== '\u007f' && !(c >= '\u0080' && c <= '\u009f'))
}
