import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, it } from 'node:test'
import { FileSystemError, FormatError, type ToolkitError, UnsupportedError } from '../src/core/errors.js'
import { openModel } from '../src/sources/model.js'
import { tensorFile, writeFolder } from './support/model-folder.js'

const ROOT = mkdtempSync(join(tmpdir(), 'sources-model-'))
const INDEX = 'model.safetensors.index.json'
const NO_LINKS = process.platform === 'win32' ? 'links need rights on Windows' : false
let made = 0

after(() => rmSync(ROOT, { recursive: true, force: true }))

function folder(files: Parameters<typeof writeFolder>[1]): string {
  const path = join(ROOT, `model-${made++}`)
  mkdirSync(path)
  return writeFolder(path, files)
}

async function refuses(files: Parameters<typeof writeFolder>[1], kind: new (what: string) => ToolkitError, message: RegExp): Promise<void> {
  await assert.rejects(openModel(folder(files)), (error) => {
    assert.ok(error instanceof kind, String(error))
    assert.match(error.message, message)
    return true
  })
}

const two = { 'model-00001-of-00002.safetensors': tensorFile({ a: [2] }), 'model-00002-of-00002.safetensors': tensorFile({ b: [2] }) }
const indexOf = (weightMap: object, metadata?: object): object => ({ metadata, weight_map: weightMap })
const twoIndex = { a: 'model-00001-of-00002.safetensors', b: 'model-00002-of-00002.safetensors' }

describe('opening a base model', () => {
  it('reads a folder with one file: tensors by name in code-point order, config, metadata', async () => {
    const tensors = { 'l.10': [1], 'l.2': [2, 2], '\u{10000}': [1], '\uffff': [1] }
    const path = folder({ 'model.safetensors': tensorFile(tensors, { format: 'pt' }), 'config.json': { hidden_size: 4 }, 'other.safetensors': 'x' })
    const model = await openModel(path)
    assert.deepEqual([...model.tensors.keys()], ['l.10', 'l.2', '\uffff', '\u{10000}'])
    assert.deepEqual(model.shards, [{ ...model.shards[0], fileName: 'model.safetensors', tensorNames: [...model.tensors.keys()] }])
    assert.deepEqual([...(model.shards[0]?.metadata ?? [])], [['format', 'pt']])
    assert.equal(model.config?.get('hidden_size'), 4)
    assert.deepEqual([model.identity, model.label, model.folder?.has('config.json')], [`model-${made - 1}`, path, true])
    assert.deepEqual(model.tensors.get('l.2')?.shape, [2, 2])
  })

  it('reads one .safetensors file, without a folder and a config', async () => {
    const path = join(folder({ 'base.v1.safetensors': tensorFile({ a: [1] }), 'config.json': {} }), 'base.v1.safetensors')
    const model = await openModel(path)
    assert.deepEqual([model.identity, model.folder, model.config, model.shards[0]?.fileName], ['base.v1', undefined, undefined, 'base.v1.safetensors'])
    assert.deepEqual([...model.tensors.keys()], ['a'])
  })

  it('reads the shards that an index names, in file-name order, wherever they lie in the folder', async () => {
    const index = indexOf({ a: './z/one.safetensors', b: 'model-00002-of-00002.safetensors', c: './z/one.safetensors' })
    const path = folder({
      [INDEX]: index,
      'z/one.safetensors': tensorFile({ c: [1], a: [2] }),
      'model-00002-of-00002.safetensors': tensorFile({ b: [2] }),
      'model.safetensors': 'left over',
    })
    const model = await openModel(path)
    assert.deepEqual(
      model.shards.map(({ fileName, tensorNames }) => [fileName, tensorNames]),
      [
        ['model-00002-of-00002.safetensors', ['b']],
        ['z/one.safetensors', ['a', 'c']],
      ],
    )
    assert.deepEqual([...model.tensors.keys()], ['b', 'a', 'c'])
    assert.equal(model.config, undefined)
  })

  it('reads every model*.safetensors where there is no index, and asks numbered ones to be whole', async () => {
    assert.deepEqual([...(await openModel(folder({ ...two, 'model-extra.safetensors': tensorFile({ x: [1] }) }))).tensors.keys()], ['a', 'b', 'x'])
    await refuses(
      { 'model-00001-of-00003.safetensors': tensorFile({ a: [2] }), 'model-00003-of-00003.safetensors': tensorFile({ b: [2] }) },
      FileSystemError,
      /"model-00002-of-00003.safetensors" is missing, and so is model.safetensors.index.json/,
    )
  })

  it('refuses shards that are missing, left over, or disagree with the index', async () => {
    const { 'model-00001-of-00002.safetensors': first } = two
    await refuses(
      { 'model-00001-of-00002.safetensors': first, [INDEX]: indexOf(twoIndex) },
      FileSystemError,
      /names "model-00002-of-00002.safetensors", which is not in the folder/,
    )
    await refuses({ ...two, [INDEX]: indexOf({ a: 'model-00001-of-00002.safetensors' }) }, FormatError, /does not name "model-00002-of-00002.safetensors"/)
    await refuses({ ...two, [INDEX]: indexOf({ a: twoIndex.b, b: twoIndex.a }) }, FormatError, /in another file than the index says: "a", "b"/)
    await refuses({ ...two, [INDEX]: indexOf({ ...twoIndex, c: twoIndex.a }) }, FormatError, /missing in the files: "c"/)
    const extra = { ...two, 'model-00001-of-00002.safetensors': tensorFile({ a: [2], d: [1] }) }
    await refuses({ ...extra, [INDEX]: indexOf(twoIndex) }, FormatError, /not in the index: "d"/)
  })

  it('refuses a tensor that lies in two files', async () => {
    await refuses(
      { 'model-a.safetensors': tensorFile({ a: [2] }), 'model-b.safetensors': tensorFile({ a: [2] }) },
      FormatError,
      /model-b.safetensors: tensor "a": lies in "model-a.safetensors" too/,
    )
  })

  it('takes a total_size that is wrong by habit, refuses one that is absurd', async () => {
    const withSize = (size: number): Parameters<typeof writeFolder>[1] => ({ ...two, [INDEX]: indexOf(twoIndex, { total_size: size }) })
    for (const size of [0, 12, 16, 16 * 16 + (1 << 20)]) assert.equal((await openModel(folder(withSize(size)))).tensors.size, 2)
    await refuses(withSize(16 * 16 + (1 << 20) + 1), FormatError, /total_size is 1048833, the files hold 16 bytes/)
  })

  it('says what a path is that is no base model, and what to do', async () => {
    await refuses({ 'adapter_config.json': {}, 'adapter_model.safetensors': tensorFile({ a: [1] }) }, FormatError, /is an adapter, not a base model/)
    await refuses({ 'pytorch_model.bin': 'PK\x03\x04', 'config.json': {} }, FormatError, /pytorch_model.bin at byte 4: the zip archive has no end record/)
    await refuses({ 'pytorch_model-00001-of-00002.bin': 'x', 'pytorch_model.bin.index.json': {} }, FormatError, /pytorch_model.bin.index.json: weight_map/)
    await refuses(
      { 'pytorch_model-00001-of-00002.bin': 'x' },
      FileSystemError,
      /"pytorch_model-00002-of-00002.bin" is missing, and so is pytorch_model.bin.index/,
    )
    await refuses({ 'consolidated.00.pth': 'x' }, FormatError, /holds "consolidated.00.pth".*name the file itself/)
    await refuses({ 'tiny.gguf': 'GGUF' }, UnsupportedError, /holds "tiny.gguf".*safetensors model is wanted/)
    await refuses({ 'weights.safetensors': tensorFile({ a: [1] }) }, FormatError, /holds "weights.safetensors", but no model.safetensors/)
    await refuses({ 'config.json': {} }, FormatError, /holds no weights \(found "config.json"\)/)
    await refuses({}, FormatError, /is empty/)
    const files: [string, string, new (what: string) => ToolkitError, RegExp][] = [
      ['m.gguf', 'GGUF\x03', UnsupportedError, /m.gguf: is a GGUF/],
      ['blob', 'GGUF\x03', UnsupportedError, /is a GGUF/],
      ['m.pt', 'whatever', FormatError, /m.pt: is neither a zip archive nor a pickle/],
      ['m.bin', 'GGUF\x03', FormatError, /m.bin: is a GGUF file, no PyTorch checkpoint/],
      ['renamed', 'PK\x03\x04zip', FormatError, /the zip archive has no end record/],
      ['m.bin', `version https://git-lfs.github.com/spec/v1\noid sha256:${'0'.repeat(64)}\nsize 12\n`, FormatError, /Git LFS pointer/],
      [INDEX, '{}', FormatError, /is a JSON file, not weights. Name the folder/],
      ['m.safetensors', 'GGUF\x03\0\0\0\0\0', FormatError, /this is a GGUF file/],
    ]
    for (const [name, text, kind, message] of files) {
      await assert.rejects(openModel(join(folder({ [name]: text }), name)), (error) => error instanceof kind && message.test(error.message), name)
    }
    await assert.rejects(openModel(join(ROOT, 'missing')), (error) => error instanceof FileSystemError && /ENOENT/.test(error.message))
  })

  it('refuses a config.json that is no JSON object, naming it', async () => {
    for (const config of ['null', '[]', '{"a":1,"a":2}', '<html>', ''])
      await refuses({ 'model.safetensors': tensorFile({ a: [1] }), 'config.json': config }, FormatError, /config.json/)
  })

  it('opens a folder of links as the Hugging Face cache has it, and refuses one with a link to nowhere', { skip: NO_LINKS }, async () => {
    const blobs = folder({ abc: tensorFile({ a: [1] }), def: '{"model_type":"x"}' })
    const snapshot = folder({})
    symlinkSync(join('..', `model-${made - 2}`, 'abc'), join(snapshot, 'model.safetensors'))
    symlinkSync(join(blobs, 'def'), join(snapshot, 'config.json'))
    const model = await openModel(snapshot)
    assert.deepEqual([[...model.tensors.keys()], model.config?.get('model_type')], [['a'], 'x'])
    symlinkSync(join(blobs, 'gone'), join(snapshot, 'tokenizer.json'))
    await assert.rejects(
      openModel(snapshot),
      (error) => error instanceof FileSystemError && /"tokenizer.json" is a link that leads to no file/.test(error.message),
    )
  })
})
