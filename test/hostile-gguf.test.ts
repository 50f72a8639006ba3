import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { describe, it } from 'node:test'
import { memorySource } from '../src/core/bytes.js'
import { ToolkitError, UnsupportedError } from '../src/core/errors.js'
import { encodeGgufHeader } from '../src/formats/gguf/header-writer.js'
import { type GgufHeader, readGgufHeader } from '../src/formats/gguf/header.js'
import { GOLDEN, SKIP_WITHOUT_GOLDEN } from './support/paths.js'

interface HostileFile {
  readonly path: string
  readonly format: string
  readonly expect: 'accept' | 'reject'
  readonly reason: string
  /** Regular expression that the message should match. */
  readonly hint?: string
  /** Dimensions innermost first, sha256 of the packed bytes. */
  readonly tensors?: Record<string, { readonly type: string; readonly ne: readonly number[]; readonly sha256: string }>
  /** Some key-values: type and value as text. */
  readonly kv?: Record<string, readonly [string, string]>
}

describe('the hostile corpus', { skip: SKIP_WITHOUT_GOLDEN }, () => {
  const folder = join(GOLDEN ?? '', 'hostile')
  const files = SKIP_WITHOUT_GOLDEN
    ? []
    : (JSON.parse(readFileSync(join(folder, 'manifest.json'), 'utf8')) as { files: HostileFile[] }).files.filter(({ format }) => format === 'gguf')

  for (const file of files.filter(({ expect }) => expect === 'reject')) {
    it(`refuses ${basename(file.path)}: ${file.reason}`, async () => {
      await assert.rejects(open(file), (error) => {
        assert.ok(error instanceof ToolkitError, String(error))
        assert.ok([3, 4].includes(error.exitCode))
        assert.ok(error.message.length <= 500 && error.message.includes(basename(file.path)), error.message)
        assert.doesNotMatch(error.message, /\p{Cc}/u)
        if (file.hint !== undefined) assert.match(error.message, new RegExp(file.hint, 'i'))
        return true
      })
    })
  }

  for (const file of files.filter(({ expect }) => expect === 'accept')) {
    it(`accepts ${basename(file.path)}: ${file.reason}`, async () => {
      const { header, bytes } = await open(file)
      const found = header.tensors.map(({ name, type, shape, offset, byteLength }) => [
        name,
        { type, ne: shape.toReversed(), sha256: sha256(bytes.subarray(offset, offset + byteLength)) },
      ])
      const wanted = Object.entries(file.tensors ?? {}).map(([name, { type, ne, sha256 }]) => [name, { type: type.toLowerCase(), ne, sha256 }])
      assert.deepEqual(Object.fromEntries(found), Object.fromEntries(wanted))
      for (const [key, [type, value]] of Object.entries(file.kv ?? {})) {
        const kv = header.keyValues.find((entry) => entry.key === key)?.value
        assert.equal(kv?.type, type === 'str' ? 'string' : type)
        assert.equal(String(Number(kv?.value)), String(Number(value)))
        if (typeof kv?.value === 'bigint') assert.equal(String(kv.value), value)
      }
    })

    it(`writes the header of ${basename(file.path)} again, byte for byte, unless it is one that we do not write`, async () => {
      const { header, bytes } = await open(file)
      if (header.tensors.some(({ name, shape }) => name === '' || shape.length === 0)) return assert.throws(() => encodeGgufHeader(header), UnsupportedError)
      const again = encodeGgufHeader({ ...header, padWithoutTensors: bytes.length >= header.dataStart })
      const original = Buffer.from(bytes.subarray(0, again.dataStart))
      original[4] = 3 // version 2 has the same layout
      if (file.reason.startsWith('bool byte 2')) return assert.equal(header.keyValues.at(-1)?.value.value, true)
      assert.equal(Buffer.from(again.bytes).toString('hex'), original.toString('hex'))
    })
  }

  it('is there', () => {
    assert.ok(files.length > 100)
  })

  async function open({ path }: HostileFile): Promise<{ header: GgufHeader; bytes: Uint8Array }> {
    const bytes = readFileSync(join(folder, path))
    return { header: await readGgufHeader(memorySource(basename(path), bytes)), bytes }
  }
})

function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex')
}
