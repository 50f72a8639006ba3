/** PyTorch checkpoints as bases and adapters: the same bytes as from safetensors, and nothing left behind by damaged ones. */
import assert from 'node:assert/strict'
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it, type TestContext } from 'node:test'
import { FormatError } from '../src/core/errors.js'
import { execute, planMerge } from '../src/index.js'
import { openModel } from '../src/sources/model.js'
import { readSafetensors, writeSafetensors, type PlainTensor } from './support/plain-tensors.js'
import { seededTensor, writeAdapter, writeSideFiles } from './support/tiny-models.js'
import { legacyFile, torchFile, type PickledTensor } from './support/torch-file.js'
import { workspace } from './support/workspace.js'

const CONFIG = { architectures: ['LlamaForCausalLM'], model_type: 'llama', hidden_size: 24 }
const MODULES = { 'model.a': [40, 24], 'model.b': [40, 24] } as const
const WEIGHTS: Readonly<Record<string, PlainTensor>> = {
  'model.b.weight': seededTensor(1, 'F32', [40, 24]),
  'model.a.weight': seededTensor(2, 'F32', [40, 24]),
  'model.norm.weight': seededTensor(3, 'F32', [24]),
}

describe('merging into PyTorch checkpoints', () => {
  it('gives the bytes that safetensors give, from stored, deflated, big-endian, transposed and legacy storages, whatever the threads', async (t) => {
    const root = workspace(t, 'torch')
    const adapter = writeAdapter(join(root, 'adapter'), { modules: MODULES })
    const expected = await merged(
      t,
      baseFolder(root, 'plain', (path) => writeSafetensors(join(path, 'model.safetensors'), WEIGHTS)),
      adapter,
    )
    const files: Record<string, Uint8Array> = {
      stored: torchFile(pickled(WEIGHTS), storagesOf(WEIGHTS)),
      deflated: torchFile(pickled(WEIGHTS), storagesOf(WEIGHTS), { deflated: true }),
      'big-endian': torchFile(pickled(WEIGHTS), mapped(storagesOf(WEIGHTS), swapped), { byteOrder: 'big', deflated: true }),
      transposed: torchFile(
        pickled(WEIGHTS, true),
        mapped(storagesOf(WEIGHTS), (bytes) => (bytes.byteLength > 96 ? transposed(bytes, 40, 24) : bytes)),
      ),
      legacy: legacyFile(
        pickled(WEIGHTS),
        Object.fromEntries(Object.entries(storagesOf(WEIGHTS)).map(([key, bytes]) => [key, { bytes, count: bytes.byteLength / 4 }])),
      ),
    }
    for (const [kind, file] of Object.entries(files)) {
      const base = baseFolder(root, kind, (path) => writeFileSync(join(path, 'pytorch_model.bin'), file))
      for (const threads of [1, 2]) assert.deepEqual(await merged(t, base, adapter, threads), expected, `${kind}, ${threads} threads`)
      // untouched tensors, by themselves: the adapter changes one of two modules
      const one = writeAdapter(join(root, `one-${kind}`), { modules: { 'model.a': MODULES['model.a'] } })
      assert.deepEqual((await merged(t, base, one)).get('model.b.weight')?.bytes, WEIGHTS['model.b.weight']?.bytes, kind)
    }
  })

  it('takes shards in the order of their names, tensors in the order of the pickle, and writes safetensors', async (t) => {
    const root = workspace(t, 'torch-shards')
    const [b, a, norm] = pickled(WEIGHTS)
    assert.ok(a !== undefined && b !== undefined && norm !== undefined)
    const { 0: bytesB = new Uint8Array(), 1: bytesA = new Uint8Array(), 2: bytesNorm = new Uint8Array() } = storagesOf(WEIGHTS)
    const base = baseFolder(root, 'base', (path) => {
      writeFileSync(join(path, 'pytorch_model-00002-of-00002.bin'), torchFile([norm], { 2: bytesNorm }))
      writeFileSync(join(path, 'pytorch_model-00001-of-00002.bin'), torchFile([b, a], { 0: bytesB, 1: bytesA }))
      const map = {
        [b.name]: 'pytorch_model-00001-of-00002.bin',
        [a.name]: 'pytorch_model-00001-of-00002.bin',
        [norm.name]: 'pytorch_model-00002-of-00002.bin',
      }
      writeSideFiles(path, { 'pytorch_model.bin.index.json': { metadata: { total_size: 1 }, weight_map: map } })
    })
    assert.deepEqual([...(await openModel(base)).tensors.keys()], ['model.b.weight', 'model.a.weight', 'model.norm.weight'])
    const out = join(root, 'out')
    await execute(await planMerge({ base, adapters: [{ path: writeAdapter(join(root, 'adapter'), { modules: MODULES }) }], out }))
    const written = readdirSync(out).filter((name) => /safetensors|bin/.test(name))
    assert.deepEqual(written, ['model-00001-of-00002.safetensors', 'model-00002-of-00002.safetensors', 'model.safetensors.index.json'])
  })

  it('opens adapter_model.bin, and a single file as a base', async (t) => {
    const root = workspace(t, 'torch-adapter')
    const plain = writeAdapter(join(root, 'plain'), { modules: MODULES })
    const factors = Object.fromEntries(readSafetensors(join(plain, 'adapter_model.safetensors')))
    const pickledAdapter = join(root, 'pickled')
    mkdirSync(pickledAdapter)
    writeFileSync(join(pickledAdapter, 'adapter_config.json'), readFileSync(join(plain, 'adapter_config.json')))
    writeFileSync(
      join(pickledAdapter, 'adapter_model.bin'),
      torchFile(
        pickled(factors, true),
        mapped(storagesOf(factors), (bytes, key) => transposedOf(factors, key, bytes)),
      ),
    )
    const base = join(root, 'base.pth')
    writeFileSync(base, torchFile(pickled(WEIGHTS), storagesOf(WEIGHTS)))
    assert.deepEqual(await merged(t, base, pickledAdapter), await merged(t, base, plain))
  })

  it('refuses a damaged record before anything has its name, and leaves nothing', async (t) => {
    const root = workspace(t, 'torch-damage')
    const adapter = writeAdapter(join(root, 'adapter'), { modules: MODULES })
    for (const deflated of [false, true]) {
      const file = torchFile(pickled(WEIGHTS), storagesOf(WEIGHTS), { deflated })
      const at = Buffer.from(file).indexOf('archive/data/1') + 'archive/data/1'.length + 100
      file[at] = (file[at] ?? 0) ^ 0x10
      const base = baseFolder(root, `base-${deflated}`, (path) => writeFileSync(join(path, 'pytorch_model.bin'), file))
      const out = join(root, `out-${deflated}`)
      await assert.rejects(
        planMerge({ base, adapters: [{ path: adapter }], out }).then((plan) => execute(plan)),
        (error) => {
          assert.ok(error instanceof FormatError, String(error))
          assert.match(error.message, /pytorch_model\.bin.*record archive\/data\/1: (?:CRC-32 is|its deflate stream|inflates to)/)
          return true
        },
      )
      assert.ok(!readdirSync(root).includes(`out-${deflated}`))
    }
  })
})

function baseFolder(root: string, name: string, write: (path: string) => void): string {
  const path = join(root, name)
  mkdirSync(path)
  write(path)
  return writeSideFiles(path, { 'config.json': CONFIG })
}

let outputs = 0

/** Tensors of the merged model; its folder holds nothing else than it should. */
async function merged(t: TestContext, base: string, adapter: string, threads?: number): Promise<Map<string, PlainTensor>> {
  const out = join(workspace(t, 'merged'), `out-${outputs++}`)
  await execute(await planMerge({ base, adapters: [{ path: adapter }], out, tileElements: 64 }), threads === undefined ? {} : { threads })
  assert.deepEqual(readdirSync(out).filter((name) => name.endsWith('.tmp')), []) // prettier-ignore
  return new Map([...readSafetensors(out)].sort(([a], [b]) => (a < b ? -1 : 1)))
}

/** Storages are numbered in the order of the tensors. */
function pickled(tensors: Readonly<Record<string, PlainTensor>>, transposes = false): PickledTensor[] {
  return Object.entries(tensors).map(([name, { shape }], i) => {
    const strides = transposes && shape.length === 2 ? { strides: [1, shape[0] ?? 1] } : {}
    return { name, shape, key: String(i), ...strides }
  })
}

function storagesOf(tensors: Readonly<Record<string, PlainTensor>>): Record<string, Uint8Array> {
  return Object.fromEntries(Object.values(tensors).map(({ bytes }, i) => [String(i), bytes]))
}

function mapped(storages: Record<string, Uint8Array>, change: (bytes: Uint8Array, key: string) => Uint8Array): Record<string, Uint8Array> {
  return Object.fromEntries(Object.entries(storages).map(([key, bytes]) => [key, change(bytes, key)]))
}

function swapped(bytes: Uint8Array): Uint8Array {
  const turned = bytes.slice()
  for (let at = 0; at < turned.byteLength; at += 4) turned.subarray(at, at + 4).reverse()
  return turned
}

function transposedOf(tensors: Readonly<Record<string, PlainTensor>>, key: string, bytes: Uint8Array): Uint8Array {
  const [rows = 1, cols = 1] = Object.values(tensors)[Number(key)]?.shape ?? []
  return transposed(bytes, rows, cols)
}

/** A matrix of 4-byte elements, column by column. */
function transposed(bytes: Uint8Array, rows: number, cols: number): Uint8Array {
  const turned = new Uint8Array(bytes.byteLength)
  for (let row = 0; row < rows; row++)
    for (let col = 0; col < cols; col++) turned.set(bytes.subarray((row * cols + col) * 4, (row * cols + col) * 4 + 4), (col * rows + row) * 4)
  return turned
}
