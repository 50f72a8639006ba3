/** The atomic writer: nothing partial under a final name, whatever dies when; and what the next run makes of leftovers. */
import assert from 'node:assert/strict'
import { spawn, spawnSync } from 'node:child_process'
import { chmodSync, existsSync, linkSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { describe, it, type TestContext } from 'node:test'
import { FileSystemError } from '../src/core/errors.js'
import { AtomicOutput, requireDifferentInAnyCase } from '../src/engine/atomic-output.js'
import { findStaleRuns, isTemporary, journalText, temporaryName } from '../src/engine/stale-runs.js'
import { execute, planMerge } from '../src/index.js'
import { refused } from './support/refused.js'
import { mountedTmpfs } from './support/tmpfs.js'
import { seededTensor, writeAdapter, writeSideFiles, writeWeights } from './support/tiny-models.js'
import { filesOf } from './support/trees.js'
import { workspace } from './support/workspace.js'

const TEXT = new TextEncoder()

/** The id of a process that has ended. */
function deadPid(): number {
  return spawnSync(process.execPath, ['-e', '']).pid
}

/** A process that lives until the test ends. */
function livingPid(t: TestContext): number {
  const child = spawn(process.execPath, ['-e', 'setTimeout(() => {}, 60_000)'], { stdio: 'ignore' })
  t.after(() => child.kill('SIGKILL'))
  assert.ok(child.pid)
  return child.pid
}

function leftover(folder: string, name: string, pid: number, content = 'part'): string {
  const file = `.${name}.${pid}.0badcafe.tmp`
  writeFileSync(join(folder, file), content)
  return file
}

describe('AtomicOutput', () => {
  it('shows nothing before publish, everything after it, and leaves no temporary file', async (t) => {
    const folder = workspace(t, 'atomic')
    const output = AtomicOutput.open(folder, ['a', 'sub/b'])
    output.create('a', TEXT.encode('head'), 8)
    output.create('sub/b', TEXT.encode('b'))
    assert.ok(readdirSync(folder).every((name) => isTemporary(name) || name === 'sub'))
    output.sync()
    await output.publish()
    assert.equal(readFileSync(join(folder, 'a'), 'latin1'), 'head\0\0\0\0')
    assert.equal(readFileSync(join(folder, 'sub', 'b'), 'latin1'), 'b')
    assert.deepEqual(readdirSync(folder).toSorted(), ['a', 'sub'])
  })

  it('keeps the old file until the new one is whole', async (t) => {
    const folder = workspace(t, 'atomic')
    writeFileSync(join(folder, 'a'), 'old')
    const output = AtomicOutput.open(folder, ['a'])
    output.create('a', TEXT.encode('new'))
    assert.equal(readFileSync(join(folder, 'a'), 'utf8'), 'old')
    output.sync()
    assert.equal(readFileSync(join(folder, 'a'), 'utf8'), 'old')
    await output.publish()
    assert.equal(readFileSync(join(folder, 'a'), 'utf8'), 'new')
  })

  it('takes back all it made when it is discarded, twice if need be, and nothing else', (t) => {
    const folder = workspace(t, 'atomic')
    writeFileSync(join(folder, 'mine'), 'x')
    const before = filesOf(folder)
    const output = AtomicOutput.open(join(folder, 'new', 'deep'), ['a'])
    output.create('a', TEXT.encode('x'))
    output.create('templates/b', TEXT.encode('x'))
    output.discard()
    output.discard()
    assert.deepEqual(filesOf(folder), before)
  })

  it('spares an outdated name that is the new file itself, as on file systems that ignore case', async (t) => {
    const folder = workspace(t, 'atomic')
    writeFileSync(join(folder, 'older'), 'old')
    const output = AtomicOutput.open(folder, ['model'], ['MODEL', 'older', 'gone'])
    linkSync(output.create('model', TEXT.encode('new')), join(folder, 'MODEL')) // one file with two names
    output.sync()
    await output.publish()
    assert.deepEqual(readdirSync(folder).toSorted(), ['MODEL', 'model'])
  })

  it('refuses names that such a file system takes for one', () => {
    requireDifferentInAnyCase(['a', 'sub/a', 'b.json'])
    assert.throws(() => requireDifferentInAnyCase(['README.md', 'b', 'readme.md']), refused(FileSystemError, /"README\.md" and "readme\.md" are one name/))
    assert.throws(() => requireDifferentInAnyCase(['caf\u00e9', 'cafe\u0301']), refused(FileSystemError, /one name/))
  })

  it('removes outdated files of an older output only when the new one is complete', async (t) => {
    const folder = workspace(t, 'atomic')
    writeSideFiles(folder, { 'old-1': 'x', 'old-2': 'x', mine: 'x' })
    const discarded = AtomicOutput.open(folder, ['new'], ['old-1', 'old-2'])
    discarded.create('new', TEXT.encode('x'))
    discarded.discard()
    assert.deepEqual(readdirSync(folder).toSorted(), ['mine', 'old-1', 'old-2'])
    const output = AtomicOutput.open(folder, ['new'], ['old-1', 'old-2'])
    output.create('new', TEXT.encode('x'))
    await output.publish()
    assert.deepEqual(readdirSync(folder).toSorted(), ['mine', 'new'])
  })

  it('lets two runs of one process work in one folder', async (t) => {
    const folder = workspace(t, 'atomic')
    const [one, two] = [AtomicOutput.open(folder, ['a', 'Modelfile']), AtomicOutput.open(folder, ['b', 'Modelfile'])]
    for (const [output, name] of [
      [one, 'a'],
      [two, 'b'],
    ] as const) {
      output.create(name, TEXT.encode(name))
      output.create('Modelfile', TEXT.encode(name))
    }
    await one.publish()
    await two.publish()
    assert.deepEqual(readdirSync(folder).toSorted(), ['Modelfile', 'a', 'b'])
    assert.equal(readFileSync(join(folder, 'Modelfile'), 'utf8'), 'b')
  })

  it('says with exit 5 what the file system refuses', (t) => {
    const folder = workspace(t, 'atomic')
    writeFileSync(join(folder, 'file'), 'x')
    const refused = (run: () => unknown, message: RegExp): void =>
      assert.throws(run, (error) => error instanceof FileSystemError && error.exitCode === 5 && message.test(error.message))
    refused(() => AtomicOutput.open(join(folder, 'file'), ['a']), /file.*ENOTDIR/)
    refused(() => AtomicOutput.open(join(folder, 'file', 'sub'), ['a']), /ENOTDIR/)
    refused(() => AtomicOutput.open(join(folder, 'n'.repeat(256)), ['a']), /ENAMETOOLONG/)
    assert.deepEqual(readdirSync(folder), ['file'])
  })

  it('refuses a folder that may not be written to', (t) => {
    const refused = (folder: string, message: RegExp): void => {
      assert.throws(
        () => AtomicOutput.open(folder, ['a']),
        (error) => error instanceof FileSystemError && message.test(error.message),
      )
      assert.throws(() => AtomicOutput.open(join(folder, 'sub'), ['a']), FileSystemError)
    }
    if (process.getuid?.() === 0) {
      const folder = mountedTmpfs(t, 'size=64k,ro')
      if (folder === undefined) return t.skip('nothing can be mounted here')
      refused(folder, /read-only \(EROFS\)/)
    } else if (process.platform !== 'win32') {
      const folder = workspace(t, 'read-only')
      chmodSync(folder, 0o555) // the test's own folder can be removed all the same: it is empty
      refused(folder, /permission denied \(EACCES\)/)
    }
  })

  it('takes back what it made when the process exits before publishing', (t) => {
    const folder = workspace(t, 'exit')
    const module = new URL('../src/engine/atomic-output.js', import.meta.url).href
    const script = `import { AtomicOutput } from ${JSON.stringify(module)}
      const output = AtomicOutput.open(${JSON.stringify(join(folder, 'out'))}, ['a'])
      output.create('a', new Uint8Array(10))
      process.exit(3)`
    assert.equal(spawnSync(process.execPath, ['--input-type=module', '-e', script]).status, 3)
    assert.deepEqual(readdirSync(folder), [])
  })
})

describe('leftovers', () => {
  it('of dead processes are removed, of living ones and of others’ outputs kept', (t) => {
    const folder = workspace(t, 'stale')
    const dead = deadPid()
    const gone = leftover(folder, 'out.gguf', dead)
    const kept = [leftover(folder, 'out.gguf', livingPid(t)), leftover(folder, 'other.gguf', dead), temporaryName('out.gguf')]
    writeFileSync(join(folder, kept[2] ?? ''), 'of another run in this process')
    writeSideFiles(folder, { '.out.gguf.tmp': 'mine', 'out.gguf.tmp': 'mine' })
    const output = AtomicOutput.open(folder, ['out.gguf'])
    assert.equal(existsSync(join(folder, gone)), false)
    for (const name of [...kept, '.out.gguf.tmp', 'out.gguf.tmp']) assert.ok(existsSync(join(folder, name)), name)
    output.discard()
  })

  it('of this process’s id, but not of its making, are of a dead run: in containers all have the same id', (t) => {
    const folder = workspace(t, 'stale')
    const gone = leftover(folder, 'out.gguf', process.pid)
    AtomicOutput.open(folder, ['out.gguf']).discard()
    assert.equal(existsSync(join(folder, gone)), false)
  })

  it('of one run go together, when its journal names an output of the new one', (t) => {
    const folder = workspace(t, 'stale')
    const dead = deadPid()
    leftover(
      folder,
      'lora-to-gguf',
      dead,
      journalText({ outputs: ['config.json', 'model-1', 'model-2'], absent: ['config.json', 'model-1', 'model-2'], outdated: ['older'] }),
    )
    leftover(folder, 'model-2', dead)
    const other = deadPid()
    const kept = [leftover(folder, 'lora-to-gguf', other, journalText({ outputs: ['x'], absent: ['x'], outdated: [] })), leftover(folder, 'x', other)]
    const { temporaries, published, outdated } = findStaleRuns(folder, ['config.json', 'model'])
    assert.deepEqual([...published], ['config.json', 'model-1', 'model-2'])
    assert.deepEqual([...outdated], ['older'])
    assert.equal(temporaries.length, 2)
    AtomicOutput.open(folder, ['config.json', 'model']).discard()
    assert.deepEqual(readdirSync(folder).toSorted(), kept.toSorted())
  })

  it('are removed when the run had nothing absent, and when its journal is cut short', (t) => {
    const folder = workspace(t, 'stale')
    leftover(folder, 'lora-to-gguf', deadPid(), journalText({ outputs: ['a'], absent: [], outdated: [] }))
    leftover(folder, 'lora-to-gguf', deadPid(), '{"outputs": ["b')
    AtomicOutput.open(folder, ['a']).discard()
    assert.deepEqual(readdirSync(folder), [])
  })

  it('of a journal that someone forged name nothing outside the folder', (t) => {
    const folder = workspace(t, 'stale')
    leftover(folder, 'lora-to-gguf', deadPid(), JSON.stringify({ outputs: ['a', 5, null], absent: 'a', outdated: { a: 1 } }))
    const { published, outdated } = findStaleRuns(folder, ['a'])
    assert.deepEqual([published.size, outdated.size], [0, 0])
  })
})

/** Kills a run in the very call of a rename, or of a removal: the moments at which a crash can show. */
describe('a run that is killed while it publishes', () => {
  const DIE = `import fs from 'node:fs'
    import { syncBuiltinESMExports } from 'node:module'
    let left = Number(process.env.DIE_AT)
    for (const name of ['renameSync', 'rmSync']) {
      const real = fs[name]
      fs[name] = (...args) => (--left < 0 ? process.kill(process.pid, 'SIGKILL') : real(...args))
    }
    syncBuiltinESMExports()`

  interface Make {
    readonly base: string
    readonly adapter: string
    readonly out: string
    readonly force: boolean
    readonly maxShardBytes?: number
  }

  const INDEX_JS = new URL('../src/index.js', import.meta.url).href

  /** A run in a process of its own. @returns whether it was killed */
  function killedAt(step: number, folder: string, make: Make): boolean {
    const preload = join(folder, 'die.mjs')
    writeFileSync(preload, DIE)
    const script = `import { execute, planMerge } from ${JSON.stringify(INDEX_JS)}
      const { base, adapter, out, force, maxShardBytes } = ${JSON.stringify(make)}
      await execute(await planMerge({ base, adapters: [{ path: adapter }], out, maxShardBytes }), { force, threads: 1 })`
    const { signal, status, stderr } = spawnSync(process.execPath, ['--import', preload, '--input-type=module', '-e', script], {
      env: { ...process.env, DIE_AT: String(step) },
      encoding: 'utf8',
    })
    assert.ok(signal === 'SIGKILL' || status === 0, stderr)
    return signal === 'SIGKILL'
  }

  async function run({ base, adapter, out, force, maxShardBytes }: Make): Promise<void> {
    await execute(await planMerge({ base, adapters: [{ path: adapter }], out, maxShardBytes }), { force })
  }

  function inputs(t: TestContext): { folder: string; base: string; adapter: string } {
    const folder = workspace(t, 'kill')
    const shards = ['model-00001-of-00003.safetensors', 'model-00002-of-00003.safetensors', 'model-00003-of-00003.safetensors']
    const base = writeWeights(
      join(folder, 'base'),
      Object.fromEntries(shards.map((name, i) => [name, { [`m${i}.proj.weight`]: seededTensor(i, 'F32', [6, 5]) }])),
    )
    writeSideFiles(base, { 'config.json': { a: 1 }, 'tokenizer.json': '{}' })
    return { folder, base, adapter: writeAdapter(join(folder, 'adapter'), { modules: { 'm0.proj': [6, 5] } }) }
  }

  /** Every file under a final name is one of the complete outputs'. */
  function assertWhole(out: string, ...complete: readonly ReadonlyMap<string, string>[]): void {
    for (const [name, content] of filesOf(out)) {
      if (isTemporary(basename(name))) continue
      assert.ok(
        complete.some((one) => one.get(name) === content),
        `${name} is neither old nor new`,
      )
    }
  }

  it('leaves whole files only; the next run needs no force and clears the rest away', async (t) => {
    const { folder, base, adapter } = inputs(t)
    await run({ base, adapter, out: join(folder, 'reference'), force: false })
    const complete = filesOf(join(folder, 'reference'))
    let kills = 0
    for (let step = 0; step < 50; step++) {
      const make = { base, adapter, out: join(folder, `out-${step}`), force: false }
      if (!killedAt(step, folder, make)) break
      kills++
      assertWhole(make.out, complete)
      // an index points at complete data only
      if (existsSync(join(make.out, 'model.safetensors.index.json')))
        assert.equal(readdirSync(make.out).filter((name) => /^model-.*safetensors$/.test(name)).length, 3)
      await run(make)
      assert.deepEqual(filesOf(make.out), complete, `step ${step}`)
    }
    assert.ok(kills >= complete.size, `${kills} kills`)
  })

  it('over an older output with more shards: the next run with force gives exactly the new one', async (t) => {
    const { folder, base, adapter } = inputs(t)
    const [old, fresh] = [join(folder, 'old'), join(folder, 'fresh')]
    await run({ base, adapter, out: old, force: false })
    await run({ base, adapter, out: fresh, force: false, maxShardBytes: 240 })
    const [before, after] = [filesOf(old), filesOf(fresh)]
    let kills = 0
    for (let step = 0; step < 50; step++) {
      const make = { base, adapter, out: join(folder, 'out'), force: true, maxShardBytes: 240 }
      rmSync(make.out, { recursive: true, force: true })
      await run({ base, adapter, out: make.out, force: false })
      if (!killedAt(step, folder, make)) break
      kills++
      assertWhole(make.out, before, after)
      await run(make)
      assert.deepEqual(filesOf(make.out), after, `step ${step}`)
    }
    assert.ok(kills > after.size, `${kills} kills`)
  })

  it('with other shards than the next run: they are cleared away', async (t) => {
    const { folder, base, adapter } = inputs(t)
    await run({ base, adapter, out: join(folder, 'reference'), force: false, maxShardBytes: 1e6 })
    const complete = filesOf(join(folder, 'reference'))
    for (let step = 0; step < 50; step++) {
      const out = join(folder, `out-${step}`)
      if (!killedAt(step, folder, { base, adapter, out, force: false })) break
      await run({ base, adapter, out, force: false, maxShardBytes: 1e6 })
      assert.deepEqual(filesOf(out), complete, `step ${step}`)
    }
  })
})
