import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { ftruncateSync, mkdirSync, mkdtempSync, openSync, readFileSync, rmSync, writeSync, closeSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, it } from 'node:test'
import { FormatError, MismatchError, UnsupportedError } from '../src/core/errors.js'
import { parseJsonObject, type JsonObject } from '../src/core/json.js'
import { encodeHeader } from '../src/formats/safetensors/header-writer.js'
import { ARCHITECTURE_NAMES } from '../src/inspect/architecture-names.js'
import { checkConfig } from '../src/inspect/check-config.js'
import { inspect } from '../src/inspect/inspect.js'
import { metadataOf } from '../src/inspect/inspection.js'
import { GOLDEN, SKIP_WITHOUT_GOLDEN } from './support/paths.js'
import { torchFile } from './support/torch-file.js'
import { tensorFile, writeFolder } from './support/model-folder.js'

const ROOT = mkdtempSync(join(tmpdir(), 'sources-inspect-'))
let made = 0

after(() => rmSync(ROOT, { recursive: true, force: true }))

function folder(files: Parameters<typeof writeFolder>[1]): string {
  const path = join(ROOT, `inspected-${made++}`)
  mkdirSync(path)
  return writeFolder(path, files)
}

const LLAMA = {
  architectures: ['LlamaForCausalLM'],
  model_type: 'llama',
  hidden_size: 64,
  num_hidden_layers: 2,
  num_attention_heads: 4,
  vocab_size: 100,
  rms_norm_eps: 1e-5,
  torch_dtype: 'bfloat16',
}
const config = (changes: object): JsonObject => parseJsonObject(new TextEncoder().encode(JSON.stringify({ ...LLAMA, ...changes })), 'config.json')

describe('inspect', () => {
  it('gives tensors, metadata, files and config facts of a model folder, and hashes when asked', async () => {
    const file = tensorFile({ b: [2, 3], a: ['BF16', [4]] }, { format: 'pt' })
    const path = folder({ 'model.safetensors': file, 'config.json': LLAMA, 'README.md': '# x' })
    const plain = await inspect(path)
    assert.deepEqual([plain.kind, plain.label, plain.config?.hiddenSize, plain.config?.dtype], ['model', path, 64, 'bfloat16'])
    assert.deepEqual(
      plain.files.map(({ name, format }) => [name, format]),
      [
        ['README.md', 'other'],
        ['config.json', 'json'],
        ['model.safetensors', 'safetensors'],
      ],
    )
    assert.deepEqual(plain.metadata, [{ file: 'model.safetensors', key: 'format', type: 'string', value: 'pt' }])
    assert.equal(plain.tensors[0]?.sha256, undefined)

    const hashed = JSON.parse(JSON.stringify(await inspect(path, { hash: true }))) as { tensors: object[] }
    const data = file.byteLength - 32
    const sha = (from: number, to: number): string => createHash('sha256').update(file.subarray(from, to)).digest('hex')
    assert.deepEqual(hashed.tensors, [
      { name: 'b', dtype: 'F32', shape: [2, 3], file: 'model.safetensors', offset: data, byteLength: 24, sha256: sha(data, data + 24) },
      { name: 'a', dtype: 'BF16', shape: [4], file: 'model.safetensors', offset: data + 24, byteLength: 8, sha256: sha(data + 24, data + 32) },
    ])
  })

  it('takes a folder without config.json, one file, and weights under other names', async () => {
    const bytes = tensorFile({ a: [1] })
    assert.match((await inspect(folder({ 'model.safetensors': bytes }))).notes.join(), /no config.json/)
    assert.deepEqual((await inspect(join(folder({ 'x.safetensors': bytes }), 'x.safetensors'))).kind, 'weights')
    const loose = await inspect(folder({ 'x.safetensors': bytes, 'y.safetensors': bytes }))
    assert.deepEqual([loose.kind, loose.tensors.map(({ name, file }) => `${file}:${name}`)], ['weights', ['x.safetensors:a', 'y.safetensors:a']])
  })

  it('gives the effective scale of every module of an adapter, and refuses NaN and infinity in it', async () => {
    const prefix = 'base_model.model.model.layers.0.self_attn.q_proj'
    const adapterConfig = { peft_type: 'LORA', r: 2, lora_alpha: 3, target_modules: ['q_proj'], bias: 'none' }
    const weights = tensorFile({ [`${prefix}.lora_A.weight`]: [2, 4], [`${prefix}.lora_B.weight`]: [4, 2] })
    const good = await inspect(folder({ 'adapter_config.json': adapterConfig, 'adapter_model.safetensors': weights }), { hash: true })
    assert.equal(good.kind, 'adapter')
    assert.equal(good.tensors.length, 2)
    assert.match(JSON.stringify(good.adapter), /"module":"model.layers.0.self_attn.q_proj".*"scale":1.5/)
    for (const upper of [0x7f80, 0xff80, 0x7fc0]) {
      const bad = weights.slice()
      new DataView(bad.buffer).setUint16(bad.byteLength - 2, upper, true)
      await assert.rejects(
        inspect(folder({ 'adapter_config.json': adapterConfig, 'adapter_model.safetensors': bad })),
        (error) => error instanceof MismatchError && /lora_B.weight": element 7 is NaN or infinite/.test(error.message),
      )
    }
  })

  it('judges a config or an index that stands alone', async () => {
    const path = folder({ 'config.json': LLAMA, 'model.safetensors.index.json': { weight_map: { a: 'x.safetensors' } } })
    assert.equal((await inspect(join(path, 'config.json'))).config?.layers, 2)
    assert.match((await inspect(join(path, 'model.safetensors.index.json'))).notes.join(), /Names 1 tensors in 1 files/)
    assert.equal((await inspect(folder({ 'config.json': LLAMA }))).kind, 'config')
    await assert.rejects(inspect(folder({ 'tokenizer.json': {} })), /holds no weights/)
    await assert.rejects(
      inspect(join(folder({ 'tokenizer.json': {} }), 'tokenizer.json')),
      (error) => error instanceof FormatError && /Name the folder/.test(error.message),
    )
  })

  it('reads PyTorch checkpoints under every name, alone and in a folder, and refuses broken ones', async () => {
    for (const name of ['pytorch_model.bin', 'model.pt', 'x.pth', 'x.ckpt']) {
      const good = folder({ [name]: torchFile([{ name: 'w', shape: [2], key: '0' }], { 0: new Uint8Array(8) }), 'config.json': LLAMA })
      for (const path of [good, join(good, name)]) {
        const { tensors, files } = await inspect(path, { hash: true })
        assert.deepEqual([tensors[0]?.name, tensors[0]?.file, tensors[0]?.sha256], ['w', name, createHash('sha256').update(new Uint8Array(8)).digest('hex')])
        assert.equal(files.find((file) => file.name === name)?.format, 'pytorch')
      }
      const broken = folder({ [name]: 'PK\x03\x04', 'config.json': LLAMA })
      for (const path of [broken, join(broken, name)]) await assert.rejects(inspect(path), FormatError, name)
    }
  })

  it('hashes a large file in bounded memory', async () => {
    const bytes = 256 << 20
    const path = join(folder({}), 'large.safetensors')
    const header = encodeHeader([{ name: 'w', dtype: 'U8', shape: [bytes] }])
    const handle = openSync(path, 'w')
    writeSync(handle, header.bytes)
    ftruncateSync(handle, header.fileSize)
    closeSync(handle)
    const before = process.memoryUsage().rss
    let peak = before
    const watch = setInterval(() => (peak = Math.max(peak, process.memoryUsage().rss)), 5)
    const { tensors } = await inspect(path, { hash: true })
    clearInterval(watch)
    assert.equal(tensors[0]?.sha256, 'a6d72ac7690f53be6ae46ba88506bd97302a093f7108472bd9efc3cefda06484') // of 256 MiB of zeros: head -c 268435456 /dev/zero | sha256sum
    assert.ok(peak - before < 96 << 20, `grew by ${(peak - before) >> 20} MiB`)
  })

  it('makes JSON of any GGUF value: long lists are cut, large integers and NaN are text', () => {
    assert.deepEqual(metadataOf('f', { key: 'k', value: { type: 'u64', value: 12n } }), { file: 'f', key: 'k', type: 'u64', value: 12 })
    assert.deepEqual(metadataOf('f', { key: 'k', value: { type: 'u64', value: 2n ** 64n - 1n } }).value, '18446744073709551615')
    assert.deepEqual(metadataOf('f', { key: 'k', value: { type: 'f32', value: Number.NaN } }).value, 'NaN')
    const tokens = metadataOf('f', { key: 'k', value: { type: 'array', items: 'string', value: Array.from({ length: 40 }, (_, i) => `t${i}`) } })
    assert.deepEqual([tokens.type, tokens.length, (tokens.value as string[]).length], ['string[]', 40, 16])
  })
})

describe('the check of config.json', () => {
  it('takes out the facts, also of the text part of a larger model, and integers written 64.0', () => {
    assert.deepEqual(checkConfig(config({ num_key_value_heads: null, max_position_embeddings: 2048 }), 'config.json', true), {
      architectures: ['LlamaForCausalLM'],
      modelType: 'llama',
      layers: 2,
      hiddenSize: 64,
      heads: 4,
      keyValueHeads: undefined,
      vocabularySize: 100,
      contextLength: 2048,
      dtype: 'bfloat16',
    })
    const nested = parseJsonObject(new TextEncoder().encode('{"text_config":{"hidden_size":64.0,"num_hidden_layers":3},"dtype":"float16"}'), 'config.json')
    const facts = checkConfig(nested, 'config.json', false)
    assert.deepEqual([facts.hiddenSize, facts.layers, facts.dtype, facts.architectures], [64, 3, 'float16', []])
  })

  it('refuses sizes that are no positive integers within reason, naming the key', () => {
    for (const key of ['hidden_size', 'num_hidden_layers', 'num_attention_heads', 'num_key_value_heads', 'vocab_size', 'head_dim', 'n_layer', 'n_embd']) {
      for (const value of [0, -64, 1.5, '64', true, {}, 1e12, [0]]) {
        assert.throws(
          () => checkConfig(config({ [key]: value }), 'config.json', false),
          (error) => error instanceof FormatError && error.message.startsWith(`config.json: ${key} is `),
          `${key} ${JSON.stringify(value)}`,
        )
      }
    }
    assert.throws(() => checkConfig(config({ text_config: { hidden_size: 0 } }), 'config.json', false), /hidden_size is the number 0/)
  })

  it('takes 10,000 layers, refuses 10,001', () => {
    assert.equal(checkConfig(config({ num_hidden_layers: 10_000 }), 'config.json', false).layers, 10_000)
    assert.throws(() => checkConfig(config({ num_hidden_layers: 10_001 }), 'config.json', false), /an integer from 1 to 10000/)
  })

  it('takes an epsilon of 0 and lists with a value for each layer, refuses negative ones and a rope_theta of 0', () => {
    checkConfig(config({ rms_norm_eps: 0, num_attention_heads: [4, 8], intermediate_size: [10, 20], rope_theta: 10000 }), 'config.json', false)
    for (const changes of [{ rms_norm_eps: -1 }, { layer_norm_eps: '1e-5' }, { rope_theta: 0 }, { rope_theta: -1 }]) {
      assert.throws(() => checkConfig(config(changes), 'config.json', false), FormatError)
    }
  })

  it('wants a known architecture only of a config that stands alone', () => {
    for (const architectures of [undefined, null, [], ['EvilForCausalLM'], ['constructor'], ['__proto__']]) {
      checkConfig(config({ architectures }), 'config.json', false)
      assert.throws(() => checkConfig(config({ architectures }), 'config.json', true), /architecture/)
    }
    for (const architectures of ['LlamaForCausalLM', [1], {}])
      assert.throws(() => checkConfig(config({ architectures }), 'config.json', false), /architectures/)
    assert.throws(() => checkConfig(config({ architectures: ['EvilForCausalLM'] }), 'config.json', true), UnsupportedError)
  })

  it('knows the architectures that the reference converter registers', { skip: SKIP_WITHOUT_GOLDEN }, () => {
    const tables = JSON.parse(readFileSync(join(GOLDEN ?? '', 'reference-tables.json'), 'utf8')) as {
      textArchitectures: object
      mmprojArchitectures: readonly string[]
    }
    assert.deepEqual(new Set([...Object.keys(tables.textArchitectures), ...tables.mmprojArchitectures]), ARCHITECTURE_NAMES)
  })
})
