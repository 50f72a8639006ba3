/** Whole GGUF files, byte for byte, against those that llama.cpp's converter made of the same folders. */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { cpSync, existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { execute, planGguf } from '../src/index.js'
import { assertReadsAlike } from './support/gguf-peer.js'
import { DIFFERENT_KEYS } from './support/golden-differences.js'
import { FIXTURES, GOLDEN, SKIP_WITHOUT_GOLDEN } from './support/paths.js'
import { workspace } from './support/workspace.js'
import type { KeyValue } from '../src/core/key-value.js'
import type { QuantType } from '../src/core/quant-types.js'
import type { AnyFileType } from '../src/quantize/file-types.js'

interface Expected {
  readonly inputDir: string
  readonly preOverride: string | null
  readonly kv: readonly GoldenKey[]
  readonly convert?: Readonly<Record<string, Converted>>
}

interface GoldenKey {
  readonly key: string
  readonly value?: unknown
}

interface Converted {
  readonly fileSha256?: string
  readonly fileSize?: number
  readonly defaultFileName?: string
  readonly tensors: [string, string, number[], number, number, string][]
  readonly kvDiff?: readonly GoldenKey[]
}

function casesIn(root: string | undefined): { name: string; folder: string }[] {
  if (root === undefined) return []
  const kinds = ['gguf', 'gguf-large'].map((kind) => join(root, kind)).filter((kind) => existsSync(kind))
  return kinds.flatMap((kind) =>
    readdirSync(kind)
      .filter((name) => existsSync(join(kind, name, 'expected.json')))
      .map((name) => ({ name, folder: join(kind, name) })),
  )
}

function check(name: string, folder: string): void {
  const expected = JSON.parse(readFileSync(join(folder, 'expected.json'), 'utf8')) as Expected
  for (const [outtype, want] of Object.entries(expected.convert ?? {})) {
    if (want.fileSha256 === undefined) continue
    it(`writes the reference's bytes and default name for ${name} as ${outtype}`, async (t) => {
      // a copy, so that the default place is the model's own folder
      const model = join(workspace(t), expected.inputDir)
      cpSync(join(folder, expected.inputDir), model, { recursive: true })
      const plan = await planGguf({ model, outtype: outtype as AnyFileType | 'auto', ...(expected.preOverride === null ? {} : { pre: expected.preOverride }) })
      const { files } = await execute(plan)
      const path = join(model, want.defaultFileName ?? '')
      assert.ok(files.includes(path), `default name: ${plan.target}, wanted ${want.defaultFileName}`)
      const bytes = readFileSync(path)
      assert.equal(bytes.byteLength, want.fileSize)
      for (const [tensor, , , offset, length, sha256] of want.tensors) {
        const planned = plan.tensors.find((one) => one.name === tensor)
        assert.equal((planned?.offset ?? 0) - (plan.files[0]?.header.byteLength ?? 0), offset, tensor)
        assert.equal(
          createHash('sha256')
            .update(bytes.subarray(planned?.offset, (planned?.offset ?? 0) + length))
            .digest('hex'),
          sha256,
          tensor,
        )
      }
      if (DIFFERENT_KEYS.has(name)) assertSameKeys(plan.keyValues, expected, want, name)
      else assert.equal(createHash('sha256').update(bytes).digest('hex'), want.fileSha256)
      await assertReadsAlike(path, { keyValues: plan.keyValues, tensors: plan.tensors.map((tensor) => ({ ...tensor, type: tensor.type as QuantType })) })
    })
  }
}

/** Every key but the one that differs on purpose: the same order, and the same value where the golden list spells it out. */
function assertSameKeys(ours: readonly KeyValue[], { kv }: Expected, { kvDiff = [] }: Converted, name: string): void {
  const { key: different } = DIFFERENT_KEYS.get(name) ?? assert.fail()
  assert.deepEqual(
    ours.map(({ key }) => key),
    kv.map(({ key }) => key),
  )
  for (const { key, value } of kv.map((golden) => kvDiff.find((other) => other.key === golden.key) ?? golden)) {
    const own = ours.find((one) => one.key === key)?.value.value
    if (key !== different && (typeof value === 'number' || typeof value === 'boolean')) assert.equal(own, value, key)
  }
}

describe('the golden GGUF files of the project', () => {
  const cases = casesIn(join(FIXTURES, 'golden'))
  it('are there', () => assert.ok(cases.length > 0))
  for (const { name, folder } of cases) check(name, folder)
})

describe('golden GGUF files', { skip: SKIP_WITHOUT_GOLDEN }, () => {
  for (const { name, folder } of casesIn(GOLDEN)) check(name, folder)
})
