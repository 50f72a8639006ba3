/** Every fixture has a row in fixtures/MANIFEST.json that says what it is and where it comes from, and is what its row says. */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { existsSync, readFileSync, readdirSync } from 'node:fs'
import { basename, join, relative, sep } from 'node:path'
import { describe, it } from 'node:test'
import { ToolkitError } from '../src/core/errors.js'
import { inspect } from '../src/inspect/inspect.js'
import { FIXTURES } from './support/paths.js'

interface Row {
  readonly path: string
  readonly sha256: string
  readonly bytes: number
  readonly madeBy: string
  readonly with?: Readonly<Record<string, string>>
  readonly seed?: number | string
  readonly licence: string
}

const MAX_GOLDEN_BYTES = 3_000_000 // the whole project is cloned for it

describe('the fixtures', () => {
  const rows = JSON.parse(readFileSync(join(FIXTURES, 'MANIFEST.json'), 'utf8')) as readonly Row[]
  const paths = readdirSync(FIXTURES, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => relative(FIXTURES, join(entry.parentPath, entry.name)).split(sep).join('/'))
    .filter((path) => path !== 'MANIFEST.json')

  it('have one row each, and no row is left without its file', () => {
    assert.deepEqual([...paths].sort(), rows.map(({ path }) => path).sort(), 'run node scripts/make-manifest.mjs')
  })

  it('hold the bytes that their rows promise', () => {
    const changed = rows.filter(({ path, sha256, bytes }) => {
      const data = readFileSync(join(FIXTURES, path))
      return data.length !== bytes || createHash('sha256').update(data).digest('hex') !== sha256
    })
    assert.deepEqual(
      changed.map(({ path }) => path),
      [],
    )
  })

  it('say who made them, with which versions and seed, and under which licence', () => {
    for (const { path, madeBy, with: versions, seed, licence } of rows) {
      assert.ok(madeBy.length > 0, path)
      assert.match(licence, /^(cc0-1\.0|mit)$/, path)
      if (!/\.py/.test(madeBy)) continue
      assert.ok(versions !== undefined && Object.keys(versions).length > 0, `${path}: no versions`)
      assert.ok(seed !== undefined, `${path}: no seed`)
    }
  })

  it('name makers that are here', () => {
    const makers = new Set(rows.flatMap(({ madeBy }) => madeBy.match(/\bmake\/[\w.]+/g) ?? []))
    assert.ok(makers.size > 0)
    assert.deepEqual(
      [...makers].filter((maker) => !existsSync(join(FIXTURES, maker))),
      [],
    )
  })

  it('keep the golden subset small', () => {
    const bytes = rows.filter(({ path }) => path.startsWith('golden/')).reduce((sum, row) => sum + row.bytes, 0)
    assert.ok(bytes > 0 && bytes <= MAX_GOLDEN_BYTES, `${bytes} bytes`)
  })
})

interface HostileFile {
  readonly path: string
  readonly expect: 'accept' | 'reject'
  readonly reason: string
  readonly tensors?: Readonly<Record<string, { readonly dtype: string; readonly shape: readonly number[]; readonly sha256: string }>>
}

describe('the hostile files of the project', () => {
  const folder = join(FIXTURES, 'golden', 'hostile')
  const { files } = JSON.parse(readFileSync(join(folder, 'manifest.json'), 'utf8')) as { files: readonly HostileFile[] }

  it('are of both kinds', () => {
    assert.deepEqual([...new Set(files.map(({ expect }) => expect))].sort(), ['accept', 'reject'])
  })

  for (const { path, expect, reason, tensors } of files) {
    const name = basename(path)
    if (expect === 'reject') {
      it(`refuse to be read: ${name} (${reason})`, async () => {
        await assert.rejects(inspect(join(folder, path), { hash: true }), (error) => {
          assert.ok(error instanceof ToolkitError && [3, 4].includes(error.exitCode) && error.message.includes(name), String(error))
          const letters = { safetensors: 'ST', gguf: 'GG', pytorch: 'PT' }[path.split('/')[0] ?? '']
          if (letters !== undefined) assert.match(error.place.rule ?? 'no rule', new RegExp(`^${letters}\\d\\d$`), error.message)
          return true
        })
      })
    } else {
      it(`are read to the last bit: ${name} (${reason})`, async () => {
        const read = await inspect(join(folder, path), { hash: true })
        assert.deepEqual(Object.fromEntries(read.tensors.map(({ name, dtype, shape, sha256 }) => [name, { dtype, shape, sha256 }])), tensors)
      })
    }
  }
})
