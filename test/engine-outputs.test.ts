/** What the engine refuses to write over, and what it clears away. */
import assert from 'node:assert/strict'
import { cpSync, existsSync, linkSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it, type TestContext } from 'node:test'
import { execute as executePlan } from '../src/engine/execute.js'
import { execute, FileSystemError, planGguf, planMerge, ToolkitError, UsageError, type MergeOptions } from '../src/index.js'
import { FIXTURES } from './support/paths.js'
import { readSafetensors } from './support/plain-tensors.js'
import { handPlan, memoryTensor, TOOL } from './support/plans.js'
import { seededTensor, writeAdapter, writeSideFiles, writeWeights } from './support/tiny-models.js'
import { filesOf } from './support/trees.js'
import { workspace } from './support/workspace.js'

const LOG = join(FIXTURES, 'ship-log-lora')
const STORY = join(FIXTURES, 'tiny-story')
const RECEIPT = 'lora-to-gguf.receipt.json'

/** A base of one or several files, and an adapter for it. */
function pair(t: TestContext, shardCount = 1): { folder: string; base: string; adapter: string } {
  const folder = workspace(t, 'outputs')
  const names = shardCount === 1 ? ['model.safetensors'] : Array.from({ length: shardCount }, (_, i) => `model-0000${i + 1}-of-0000${shardCount}.safetensors`)
  const base = writeWeights(join(folder, 'base'), Object.fromEntries(names.map((name, i) => [name, { [`m${i}.proj.weight`]: seededTensor(i, 'F32', [6, 5]) }])))
  writeSideFiles(base, { 'config.json': { a: 1 } })
  return { folder, base, adapter: writeAdapter(join(folder, 'adapter'), { modules: { 'm0.proj': [6, 5] } }) }
}

async function merge(options: MergeOptions, force = false): Promise<void> {
  await execute(await planMerge(options), { force })
}

/** The error of a run that must not change anything below `folder`. */
async function refusal(folder: string, run: () => Promise<unknown>): Promise<ToolkitError> {
  const before = filesOf(folder)
  const error = await run().then(
    () => assert.fail('nothing was refused'),
    (error: unknown) => error,
  )
  assert.ok(error instanceof ToolkitError, String(error))
  assert.deepEqual(filesOf(folder), before)
  return error
}

function assertUsage(error: ToolkitError): void {
  assert.ok(error instanceof UsageError, error.message)
  assert.equal(error.exitCode, 2)
}

function assertFileSystem(error: ToolkitError, message: RegExp): void {
  assert.ok(error instanceof FileSystemError, error.message)
  assert.equal(error.exitCode, 5)
  assert.match(error.message, message)
}

describe('an existing output', () => {
  it('is refused without force and replaced with it', async (t) => {
    const { folder, base, adapter } = pair(t)
    const out = join(folder, 'merged.safetensors')
    writeFileSync(out, 'old')
    const options = { base, adapters: [{ path: adapter }], out }
    assertFileSystem(await refusal(folder, () => merge(options)), /merged\.safetensors: is there already.*--force/)
    await merge(options, true)
    assert.equal(readSafetensors(out).size, 1)
  })

  it('is refused when it is a receipt that was named, whatever the output', async (t) => {
    const { folder, base, adapter } = pair(t)
    const receipt = join(folder, 'mine.json')
    writeFileSync(receipt, '{}')
    for (const out of [join(folder, 'out'), join(folder, 'out.safetensors')]) {
      assertFileSystem(await refusal(folder, () => merge({ base, adapters: [{ path: adapter }], out, receipt })), /mine\.json: is there already/)
    }
  })

  it('is never a folder where a file goes, with force neither', async (t) => {
    const { folder, base, adapter } = pair(t)
    mkdirSync(join(folder, 'out.safetensors'))
    assertFileSystem(await refusal(folder, () => merge({ base, adapters: [{ path: adapter }], out: join(folder, 'out.safetensors') }, true)), /is a folder/)
    mkdirSync(join(folder, 'out', 'config.json'), { recursive: true })
    assertFileSystem(await refusal(folder, () => merge({ base, adapters: [{ path: adapter }], out: join(folder, 'out') }, true)), /config\.json: is a folder/)
  })

  it('is never a file where a folder goes', async (t) => {
    const { folder, base, adapter } = pair(t)
    const file = join(folder, 'file')
    writeFileSync(file, 'x')
    assertFileSystem(await refusal(folder, () => merge({ base, adapters: [{ path: adapter }], out: file }, true)), /is a file/)
    assertFileSystem(await refusal(folder, () => merge({ base, adapters: [{ path: adapter }], out: join(file, 'out.safetensors') }, true)), /is a file/)
    assertFileSystem(await refusal(folder, () => merge({ base, adapters: [{ path: adapter }], out: join(file, 'deep', 'out') }, true)), /file/)
  })

  it('of a plan that is executed twice is refused the second time, its receipt too', async (t) => {
    const root = workspace(t, 'twice')
    const plan = handPlan(root, [{ name: 'x', shape: [2], program: { kind: 'bytes', tensor: memoryTensor('x', 'U8', [2], Uint8Array.of(1, 2)) } }])
    await executePlan(plan, TOOL)
    assertFileSystem(await refusal(root, () => executePlan(plan, TOOL)), /out\.bin: is there already/)
  })
})

describe('an output that is an input', () => {
  const cases: Readonly<Record<string, (folder: string, base: string, adapter: string) => string>> = {
    'by the same path': (_, base) => join(base, 'model.safetensors'),
    'by another spelling of the path': (_, base) => join(base, '..', 'base', '.', 'model.safetensors'),
    'by a symbolic link': (folder, base) => link(symlinkSync, join(base, 'model.safetensors'), join(folder, 'link.safetensors')),
    'by a hard link': (folder, base) => link(linkSync, join(base, 'model.safetensors'), join(folder, 'hard.safetensors')),
    'by a link to the folder': (folder, base) => join(link(symlinkSync, base, join(folder, 'base-link')), 'model.safetensors'),
    'as the weights of the adapter': (_, __, adapter) => join(adapter, 'adapter_model.safetensors'),
    'as the folder of the base': (_, base) => base,
    'as the folder of the base, through a link': (folder, base) => link(symlinkSync, base, join(folder, 'base-link')),
    'as the folder of the adapter': (_, __, adapter) => adapter,
    'as the folder of the adapter, with a slash': (_, __, adapter) => `${adapter}/`,
  }
  for (const [how, out] of Object.entries(cases)) {
    for (const force of [false, true]) {
      it(`${how} is refused with exit 2${force ? ', even with force' : ''}`, async (t) => {
        const { folder, base, adapter } = pair(t)
        const options = { base, adapters: [{ path: adapter }], out: out(folder, base, adapter) }
        assertUsage(await refusal(folder, () => merge(options, force)))
      })
    }
  }

  it('is refused for GGUF outputs: weights, config, tokenizer, and with no tensors at all', async (t) => {
    const folder = workspace(t, 'gguf-input')
    const model = join(folder, 'story')
    cpSync(STORY, model, { recursive: true })
    for (const name of ['model-00001-of-00002.safetensors', 'config.json', 'tokenizer.json', 'README.md']) {
      for (const vocabOnly of [false, true]) {
        const run = async (): Promise<unknown> =>
          execute(await planGguf({ model, adapters: [{ path: LOG }], outfile: join(model, name), vocabOnly }), { force: true })
        assertUsage(await refusal(folder, run))
      }
    }
  })

  it('may be the base’s own folder for a GGUF of another name', async (t) => {
    const folder = workspace(t, 'gguf-beside')
    const model = join(folder, 'story')
    cpSync(STORY, model, { recursive: true })
    const before = filesOf(model)
    await execute(await planGguf({ model, outfile: join(model, 'story.gguf') }))
    const after = filesOf(model)
    for (const [name, content] of before) assert.equal(after.get(name), content, name)
    assert.deepEqual([...after.keys()].filter((name) => !before.has(name)).toSorted(), ['Modelfile', 'story.gguf', 'story.gguf.receipt.json'])
  })
})

function link(make: (target: string, path: string) => void, target: string, path: string): string {
  make(target, path)
  return path
}

describe('a folder that is not empty', () => {
  it('is refused without force', async (t) => {
    const { folder, base, adapter } = pair(t)
    const out = join(folder, 'out')
    writeSideFiles(out, { 'notes.txt': 'mine' })
    assertFileSystem(await refusal(folder, () => merge({ base, adapters: [{ path: adapter }], out })), /is not empty \("notes\.txt"\).*--force/)
    await merge({ base, adapters: [{ path: adapter }], out }, true)
    assert.equal(readFileSync(join(out, 'notes.txt'), 'utf8'), 'mine')
  })

  it('may be empty', async (t) => {
    const { folder, base, adapter } = pair(t)
    mkdirSync(join(folder, 'out'))
    await merge({ base, adapters: [{ path: adapter }], out: join(folder, 'out') })
  })

  for (const foreign of ['model-00001-of-00002.safetensors', 'pytorch_model.bin', 'model.safetensors.index.json', 'other.gguf']) {
    it(`is refused, even with force, when ${foreign} would stay and be taken for part of the model`, async (t) => {
      const { folder, base, adapter } = pair(t)
      const out = join(folder, 'out')
      writeSideFiles(out, { [foreign]: 'foreign' })
      assertFileSystem(await refusal(folder, () => merge({ base, adapters: [{ path: adapter }], out }, true)), /would be taken for part of the new model/)
    })
  }

  it('that is an adapter is refused with exit 2: OUT is missing', async (t) => {
    const { folder, base, adapter } = pair(t)
    const second = writeAdapter(join(folder, 'second'), { modules: { 'm0.proj': [6, 5] } })
    for (const force of [false, true]) assertUsage(await refusal(folder, () => merge({ base, adapters: [{ path: adapter }], out: second }, force)))
  })
})

describe('an older output of ours', () => {
  it('with more files is cleared away: its shards and its index', async (t) => {
    const { folder, base, adapter } = pair(t, 3)
    const out = join(folder, 'out')
    await merge({ base, adapters: [{ path: adapter }], out })
    assert.equal(readdirSync(out).filter((name) => name.endsWith('.safetensors')).length, 3)
    await merge({ base, adapters: [{ path: adapter }], out, maxShardBytes: 1e6 }, true)
    assert.deepEqual(readdirSync(out).toSorted(), ['config.json', RECEIPT, 'model.safetensors'])
    await merge({ base, adapters: [{ path: adapter }], out, maxShardBytes: 240 }, true)
    assert.deepEqual(readdirSync(out).toSorted(), [
      'config.json',
      RECEIPT,
      'model-00001-of-00002.safetensors',
      'model-00002-of-00002.safetensors',
      'model.safetensors.index.json',
    ])
  })

  it('without a receipt is not known to be ours, and its shards are refused', async (t) => {
    const { folder, base, adapter } = pair(t, 2)
    const out = join(folder, 'out')
    await merge({ base, adapters: [{ path: adapter }], out, receipt: false })
    assertFileSystem(await refusal(folder, () => merge({ base, adapters: [{ path: adapter }], out, maxShardBytes: 1e6 }, true)), /would be taken for part/)
  })

  it('leaves its receipt to be replaced without force, when the GGUF itself is gone', async (t) => {
    const root = workspace(t, 'receipt')
    writeFileSync(join(root, 'out.bin.receipt.json'), 'old')
    const tensor = memoryTensor('x', 'U8', [2], Uint8Array.of(1, 2))
    await executePlan(handPlan(root, [{ name: 'x', shape: [2], program: { kind: 'bytes', tensor } }], { receipt: 'out.bin.receipt.json' }), TOOL)
    assert.notEqual(readFileSync(join(root, 'out.bin.receipt.json'), 'utf8'), 'old')
  })
})

describe('the folder of an output', () => {
  it('is made with all its parents, and unmade when the run fails', async (t) => {
    const { folder, base, adapter } = pair(t)
    await merge({ base, adapters: [{ path: adapter }], out: join(folder, 'a', 'b c', 'ü', 'out') })
    assert.ok(existsSync(join(folder, 'a', 'b c', 'ü', 'out', 'model.safetensors')))
    const nan = handPlan(join(folder, 'x', 'y'), [
      { name: 'x', shape: [1], program: { kind: 'rows', rows: { op: 'values', rows: 1, cols: 1, values: [1e9] }, encode: 'f16' } },
    ])
    await refusal(folder, () => executePlan(nan, TOOL))
    assert.equal(existsSync(join(folder, 'x')), false)
  })

  it('may have a name with spaces and other scripts, and so may the files', async (t) => {
    const { folder, base, adapter } = pair(t)
    const strange = join(folder, ' Größe 模型 🚢 ')
    mkdirSync(strange)
    cpSync(base, join(strange, 'базовая модель'), { recursive: true })
    cpSync(adapter, join(strange, 'a@b ½'), { recursive: true })
    const out = join(strange, '出力 é.safetensors')
    await merge({ base: join(strange, 'базовая модель'), adapters: [{ path: join(strange, 'a@b ½') }], out })
    assert.equal(readSafetensors(out).size, 1)
    assert.deepEqual(readdirSync(strange).toSorted(), ['a@b ½', 'базовая модель', '出力 é.safetensors', '出力 é.safetensors.receipt.json'])
  })

  it('takes names as long as the file system allows', async (t) => {
    const root = workspace(t, 'long')
    const tensor = memoryTensor('x', 'U8', [2], Uint8Array.of(1, 2))
    for (const name of [`${'n'.repeat(250)}.gguf`, `${'模'.repeat(83)}.gguf`, `${'🚢'.repeat(62)}.gguf`]) {
      const plan = handPlan(root, [{ name: 'x', shape: [2], program: { kind: 'bytes', tensor } }], { receipt: undefined })
      await executePlan({ ...plan, target: name, files: plan.files.map((file) => ({ ...file, name })) }, TOOL)
      assert.ok(existsSync(join(root, name)))
    }
    assert.equal(readdirSync(root).length, 3)
  })
})
