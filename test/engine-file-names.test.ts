/** Names and renames on Windows, checked everywhere: the rules by path.win32, the patience with a Windows that is played. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { existsSync, readdirSync, writeFileSync } from 'node:fs'
import { join, win32 } from 'node:path'
import { describe, it, type TestContext } from 'node:test'
import { lastPart } from '../src/core/paths.js'
import { UsageError } from '../src/core/errors.js'
import { checkFileName } from '../src/host/file-names.js'
import { workspace } from './support/workspace.js'

const onWindows = (path: string): string => checkFileName(win32.basename(win32.resolve(path)), 'win32')

describe('the name of an output on Windows', () => {
  for (const path of [
    'C:\\models\\out.gguf',
    'c:/models/out.gguf',
    'C:out.gguf',
    '\\\\server\\share\\models\\out.gguf',
    '\\\\?\\C:\\very\\long\\out.gguf',
    '..\\out.gguf',
    'C:\\my models\\größer 模型\\out.gguf',
  ]) {
    it(`is taken from ${path}`, () => assert.equal(onWindows(path), 'out.gguf'))
  }

  for (const name of [
    'größer 模型 🚢.gguf',
    'with space.gguf',
    '{ftype} {FTYPE}.gguf',
    "it's-ok_(1).gguf",
    'console.gguf',
    'com10.gguf',
    'auxiliary',
    'nullify.gguf',
    '.hidden',
  ]) {
    it(`may be ${name}`, () => assert.equal(onWindows(`C:\\models\\${name}`), name))
  }

  for (const name of ['CON', 'con.gguf', 'Aux.tar.gguf', 'nul', 'PRN.txt', 'COM1.gguf', 'com¹.gguf', 'LPT9', 'lpt³.gguf', 'CONIN$', 'conout$.gguf']) {
    it(`is never that of a device: ${name}`, () =>
      assert.throws(
        () => onWindows(`C:\\models\\${name}`),
        (error) => error instanceof UsageError && /device on Windows/.test(error.message),
      ))
  }

  for (const name of [
    'a:b.gguf',
    'a?.gguf',
    'a*.gguf',
    'a<b.gguf',
    'a>b.gguf',
    'a"b.gguf',
    'a|b.gguf',
    'a\tb.gguf',
    'a\u0001.gguf',
    'out.gguf.',
    'out.gguf ',
  ]) {
    it(`has no character that Windows forbids: ${JSON.stringify(name)}`, () =>
      assert.throws(
        () => checkFileName(name, 'win32'),
        (error) => error instanceof UsageError && /Windows does not allow/.test(error.message),
      ))
  }
})

describe('the name of an output elsewhere', () => {
  for (const name of ['con.gguf', 'a:b.gguf', 'a?*.gguf', 'out. ', 'größer 模型.gguf'])
    it(`may be ${name}`, () => assert.equal(checkFileName(name, 'linux'), name))
  for (const name of ['', '.', '..', 'a\0b']) {
    it(`is never ${JSON.stringify(name)}, on any system`, () => {
      for (const platform of ['linux', 'darwin', 'win32'] as const) assert.throws(() => checkFileName(name, platform), UsageError)
    })
  }
})

describe('the last part of a path', () => {
  it('is found with either slash, so that a receipt names no place', () => {
    for (const path of ['C:\\models\\base', 'C:\\models\\base\\', '\\\\server\\share\\base', '/models/base', '/models/base//', 'base', 'models/base'])
      assert.equal(lastPart(path), 'base')
  })
})

describe('publishing on Windows', () => {
  /** Publishes one file where process.platform says win32, folders cannot be opened, and a rename is refused some times. */
  function publish(t: TestContext, refusals: number, code: string): { folder: string; status: number | null; stderr: string; seconds: number } {
    const folder = workspace(t, 'windows')
    const preload = join(folder, 'preload.mjs')
    writeFileSync(
      preload,
      `import fs from 'node:fs'
      import { syncBuiltinESMExports } from 'node:module'
      Object.defineProperty(process, 'platform', { value: 'win32' })
      const refuse = (code) => { throw Object.assign(new Error(code), { code }) }
      const { openSync, renameSync } = fs
      let left = ${refusals}
      fs.renameSync = (...args) => (--left >= 0 ? refuse('${code}') : renameSync(...args))
      fs.openSync = (path, ...args) => (fs.statSync(path, { throwIfNoEntry: false })?.isDirectory() ? refuse('EPERM') : openSync(path, ...args))
      syncBuiltinESMExports()`,
    )
    const module = JSON.stringify(new URL('../src/engine/atomic-output.js', import.meta.url).href)
    writeFileSync(
      join(folder, 'run.mjs'),
      `import { AtomicOutput } from ${module}
      const output = AtomicOutput.open(${JSON.stringify(join(folder, 'out'))}, ['a.gguf'])
      output.create('a.gguf', new Uint8Array(3))
      output.sync()
      try {
        await output.publish()
      } catch (error) {
        output.discard()
        console.error(error.message)
        process.exitCode = error.exitCode
      }`,
    )
    const began = performance.now()
    const { status, stderr } = spawnSync(process.execPath, ['--import', preload, join(folder, 'run.mjs')], { encoding: 'utf8', timeout: 30_000 })
    return { folder, status, stderr, seconds: (performance.now() - began) / 1000 }
  }

  for (const code of ['EPERM', 'EBUSY', 'EACCES']) {
    it(`waits while a virus scanner holds the file (${code}), and does without fsync of folders`, (t) => {
      const { folder, status, stderr } = publish(t, 4, code)
      assert.equal(status, 0, stderr)
      assert.deepEqual(readdirSync(join(folder, 'out')), ['a.gguf'])
    })
  }

  it('gives up after two seconds, with exit 5 and nothing left', (t) => {
    const { folder, status, stderr, seconds } = publish(t, 1e9, 'EBUSY')
    assert.equal(status, 5, stderr)
    assert.match(stderr, /^a\.gguf: cannot be renamed to its final name: it is in use by another program \(EBUSY\)/)
    assert.ok(seconds > 2 && seconds < 10, `${seconds} s`)
    assert.equal(existsSync(join(folder, 'out')), false)
  })

  it('does not wait for what waiting cannot mend', (t) => {
    const { status, seconds } = publish(t, 1e9, 'ENOSPC')
    assert.equal(status, 5)
    assert.ok(seconds < 2, `${seconds} s`)
  })
})
