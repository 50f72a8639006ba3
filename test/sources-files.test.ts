import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { appendFileSync, chmodSync, mkdirSync, mkdtempSync, renameSync, rmSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { after, describe, it } from 'node:test'
import { FileSystemError, FormatError } from '../src/core/errors.js'
import { fileDigest, rangeDigests } from '../src/sources/digest.js'
import { openDescriptor, openFile, openFolder, shownPath } from '../src/sources/files.js'

const ROOT = mkdtempSync(join(tmpdir(), 'sources files ü '))
const NO_LINKS = process.platform === 'win32' ? 'links need rights on Windows' : false

after(() => rmSync(ROOT, { recursive: true, force: true }))

function file(name: string, bytes: Uint8Array | string = '0123456789'): string {
  const path = join(ROOT, name)
  writeFileSync(path, bytes)
  return path
}

function isRefused(error: unknown, message: RegExp): boolean {
  return error instanceof FileSystemError && error.exitCode === 5 && message.test(error.message)
}

describe('a file source', () => {
  it('fills the buffer from a position, and gives its size and name', async () => {
    const path = file('read.bin')
    const source = await openFile(path, 'read.bin')
    const into = new Uint8Array(4)
    await source.read(into, 3)
    assert.equal(Buffer.from(into).toString(), '3456')
    assert.deepEqual([source.name, source.byteLength], ['read.bin', 10])
    await source.read(new Uint8Array(0), 10)
  })

  it('refuses to read past the end', async () => {
    const source = await openFile(file('end.bin'))
    await assert.rejects(source.read(new Uint8Array(4), 7), (error) => error instanceof FormatError && /cut short/.test(error.message))
    await assert.rejects(source.read(new Uint8Array(1), -1), FormatError)
  })

  it('gives the same bytes from its descriptor, in memory too, after a structured clone', async () => {
    const descriptor = structuredClone((await openFile(file('clone.bin'))).descriptor)
    const into = new Uint8Array(2)
    await openDescriptor(descriptor).read(into, 8)
    assert.equal(Buffer.from(into).toString(), '89')
    await openDescriptor({ kind: 'memory', name: 'm', bytes: Uint8Array.from([1, 2, 3]), byteLength: 3 }).read(into, 1)
    assert.deepEqual([...into], [2, 3])
  })

  it('notices a file that grew, was touched, was replaced, or is gone, between reads', async () => {
    const changes: [string, (path: string) => void, RegExp][] = [
      ['grown', (path) => appendFileSync(path, 'x'), /changed while it was read/],
      ['touched', (path) => utimesSync(path, 1, 1), /changed while it was read/],
      ['replaced', (path) => renameSync(file('other.bin'), path), /changed while it was read/],
      ['gone', (path) => rmSync(path), /no such file or folder \(ENOENT\)/],
    ]
    for (const [name, change, message] of changes) {
      const path = file(`${name}.bin`)
      const source = await openFile(path)
      await source.read(new Uint8Array(1), 0)
      change(path)
      await assert.rejects(
        source.read(new Uint8Array(1), 0),
        (error) => error instanceof Error && message.test(error.message) && error.message.includes(`${name}.bin`),
        name,
      )
    }
  })

  it('says why a path cannot be read', async () => {
    const missing = join(ROOT, 'missing.bin')
    await assert.rejects(openFile(missing), (error) => isRefused(error, /missing.bin: cannot be read: there is no such file or folder \(ENOENT\)/))
    await assert.rejects(openFile(join(file('plain'), 'x')), (error) => error instanceof FileSystemError)
    await assert.rejects(openFile(ROOT), (error) => isRefused(error, /is a folder; a regular file is wanted/))
    await assert.rejects(openFile(join(ROOT, 'a\0b')), (error) => error instanceof FileSystemError)
    await assert.rejects(openFile(join(ROOT, 'x'.repeat(5000))), (error) => error instanceof FileSystemError)
  })

  it(
    'asks for permission when it is opened, not later',
    { skip: process.getuid?.() === 0 || process.platform === 'win32' ? 'root may read everything' : false },
    async () => {
      const path = file('secret.bin')
      chmodSync(path, 0)
      await assert.rejects(openFile(path), (error) => isRefused(error, /permission denied \(EACCES\)/))
    },
  )

  it('refuses pipes and devices, also behind a link, without waiting for them', { skip: NO_LINKS }, async () => {
    execFileSync('mkfifo', [join(ROOT, 'pipe')])
    await assert.rejects(openFile(join(ROOT, 'pipe')), (error) => isRefused(error, /is a pipe; a regular file is wanted/))
    symlinkSync('/dev/zero', join(ROOT, 'zero'))
    await assert.rejects(openFile(join(ROOT, 'zero')), (error) => isRefused(error, /is a device/))
    symlinkSync('loop', join(ROOT, 'loop'))
    await assert.rejects(openFile(join(ROOT, 'loop')), (error) => isRefused(error, /links lead in a circle \(ELOOP\)/))
  })

  it('keeps the end of a long path for messages', () => {
    assert.equal(shownPath('short/model.safetensors'), 'short/model.safetensors')
    const shown = shownPath(`/${'folder/'.repeat(40)}model.safetensors`)
    assert.ok(shown.length <= 100 && shown.startsWith('…') && shown.endsWith('/model.safetensors'))
  })
})

describe('a folder', () => {
  const path = join(ROOT, 'model folder')
  mkdirSync(join(path, 'sub'), { recursive: true })
  for (const name of ['b.json', '\uffff.txt', 'a.json', 'sub/deep.json', 'Z.json']) writeFileSync(join(path, name), name)
  writeFileSync(join(path, '\u{10000}.txt'), 'astral')
  writeFileSync(join(ROOT, 'outside.json'), 'outside')

  it('lists its regular files in code-point order, not its subfolders', async () => {
    const folder = await openFolder(path)
    assert.deepEqual(
      folder.entries.map(({ name }) => name),
      ['Z.json', 'a.json', 'b.json', '\uffff.txt', '\u{10000}.txt'],
    )
    assert.deepEqual([folder.entries[0]?.byteLength, folder.baseName, folder.label], [6, 'model folder', shownPath(path)])
    assert.equal((await openFolder(`${path}/sub/..`)).baseName, 'model folder')
  })

  it('opens its files and those of subfolders, by names with "/"', async () => {
    const folder = await openFolder(path)
    for (const name of ['a.json', 'sub/deep.json', './sub/./deep.json']) {
      assert.ok(folder.has(name), name)
      const source = await folder.open(name)
      const into = new Uint8Array(source.byteLength)
      await source.read(into, 0)
      assert.equal(Buffer.from(into).toString(), name.replaceAll('./', ''))
      assert.ok(source.name.endsWith(basename(name)))
    }
    assert.ok(!folder.has('missing.json') && !folder.has('sub') && !folder.has('sub/missing.json'))
    await assert.rejects(folder.open('missing.json'), (error) => isRefused(error, /missing.json: cannot be read: there is no such file/))
    await assert.rejects(folder.open('sub'), (error) => isRefused(error, /is a folder/))
  })

  it('never leaves the folder by a name', async () => {
    const folder = await openFolder(path)
    for (const name of ['../outside.json', 'sub/../../outside.json', join(ROOT, 'outside.json'), '..', '', '.']) {
      assert.ok(!folder.has(name), name)
      await assert.rejects(folder.open(name), (error) => isRefused(error, /is not the name of a file in the folder/), name)
    }
  })

  it('follows links, as the Hugging Face cache has them, and tells of those that lead nowhere', { skip: NO_LINKS }, async () => {
    const cache = join(ROOT, 'snapshot')
    mkdirSync(cache)
    symlinkSync('../outside.json', join(cache, 'config.json'))
    symlinkSync('../gone.json', join(cache, 'gone.json'))
    symlinkSync('loop', join(cache, 'loop'))
    symlinkSync('/dev/zero', join(cache, 'zero'))
    const folder = await openFolder(cache)
    assert.deepEqual(folder.entries, [{ name: 'config.json', byteLength: 7 }])
    assert.deepEqual(folder.brokenLinks, ['gone.json', 'loop'])
    assert.equal((await folder.open('config.json')).byteLength, 7)
  })

  it('refuses what is no folder', async () => {
    await assert.rejects(openFolder(file('no-folder')), (error) => isRefused(error, /ENOTDIR/))
    await assert.rejects(openFolder(join(ROOT, 'missing')), (error) => isRefused(error, /ENOENT/))
  })
})

describe('digests', () => {
  it('are those of node:crypto, across pieces', async () => {
    const bytes = Uint8Array.from({ length: 2_500_000 }, (_, i) => (i * 2654435761) >>> 24)
    const sha = (part: Uint8Array): string => createHash('sha256').update(part).digest('hex')
    const path = file('large.bin', bytes)
    assert.equal(await fileDigest(path), sha(bytes))
    const ranges = [
      [0, 0],
      [0, 5],
      [5, 1_048_571],
      [1_048_576, 0],
      [1_048_576, 1_048_577],
      [2_200_000, 300_000],
      [2_500_000, 0],
    ].map(([offset = 0, byteLength = 0]) => ({ offset, byteLength }))
    assert.deepEqual(
      await rangeDigests(await openFile(path), ranges),
      ranges.map(({ offset, byteLength }) => sha(bytes.subarray(offset, offset + byteLength))),
    )
  })

  it('read small neighbours together, in pieces of at most 1 MiB', async () => {
    const source = await openFile(file('small.bin', new Uint8Array(3_000_000)))
    let reads = 0
    const counted = { ...source, read: (into: Uint8Array, position: number) => (reads++, assert.ok(into.byteLength <= 1 << 20), source.read(into, position)) }
    await rangeDigests(
      counted,
      Array.from({ length: 30_000 }, (_, i) => ({ offset: i * 100, byteLength: 100 })),
    )
    assert.equal(reads, 3)
  })
})
