/** Merged folders and files, from real folders on disk: weights, shards, index, config, side files. */
import assert from 'node:assert/strict'
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { describe, it, type TestContext } from 'node:test'
import { execute, MismatchError, planGguf, planMerge, UsageError, type AdapterOption, type MergeOptions } from '../src/index.js'
import { readWithNpmSafetensors } from './support/npm-safetensors.js'
import { tensorFile } from './support/model-folder.js'
import { FIXTURES } from './support/paths.js'
import { readSafetensors, type PlainTensor, writeSafetensors } from './support/plain-tensors.js'
import { merged as straight, packed, unpacked } from './support/straight-math.js'
import { seededTensor, writeAdapter, writeSideFiles, writeWeights, type Float } from './support/tiny-models.js'
import { workspace } from './support/workspace.js'

const STORY = join(FIXTURES, 'tiny-story')
const LOG = join(FIXTURES, 'ship-log-lora')
const RECEIPT = 'lora-to-gguf.receipt.json'
const INDEX = 'model.safetensors.index.json'

type Json = Readonly<Record<string, unknown>>

function readJson(...path: readonly string[]): Json {
  return JSON.parse(readFileSync(join(...path), 'utf8')) as Json
}

async function merge(options: MergeOptions): Promise<ReadonlyMap<string, PlainTensor>> {
  await execute(await planMerge(options))
  return readSafetensors(options.out)
}

function tensorOf(tensors: ReadonlyMap<string, PlainTensor>, name: string): PlainTensor {
  const tensor = tensors.get(name)
  assert.ok(tensor, `${name} is missing`)
  return tensor
}

/** What a straight loop makes of one tensor of the base and one PEFT adapter. */
function expected(base: PlainTensor, adapterFolder: string, module: string, dtype = base.dtype, weight = 1): Uint8Array {
  const factors = readSafetensors(join(adapterFolder, 'adapter_model.safetensors'))
  const [A, B] = ['A', 'B'].map((one) => tensorOf(factors, `base_model.model.${module}.lora_${one}.weight`))
  const { lora_alpha: alpha, r } = readJson(adapterFolder, 'adapter_config.json') as { lora_alpha: number; r: number }
  assert.ok(A && B)
  const [rows = 0, cols = 0] = base.shape
  const delta = { B: unpacked(B.dtype, B.bytes), A: unpacked(A.dtype, A.bytes), rank: r, scale: Math.fround(weight * (alpha / r)) }
  return packed(dtype, straight(unpacked(base.dtype, base.bytes), rows, cols, [delta]).values)
}

/** A base of one file: a folder with config. */
function smallBase(t: TestContext, dtype: Float = 'BF16', config: object = { model_type: 'x' }): { folder: string; base: string; adapter: string } {
  const folder = workspace(t, 'merge')
  const tensors = {
    'a.proj.weight': seededTensor(1, dtype, [6, 5]),
    'b.norm.weight': seededTensor(2, dtype, [5]),
    'b.proj.weight': seededTensor(3, dtype, [4, 6]),
    ids: { dtype: 'I64', shape: [2], bytes: Uint8Array.from({ length: 16 }, (_, i) => i) },
  }
  const base = writeWeights(join(folder, 'small-base'), { 'model.safetensors': tensors })
  writeSideFiles(base, { 'config.json': config })
  return { folder, base, adapter: writeAdapter(join(folder, 'adapter'), { modules: { 'a.proj': [6, 5] } }) }
}

describe('a merged folder', () => {
  it('holds the law’s bytes where the adapter acts, and the base’s own bytes everywhere else', async (t) => {
    const { folder, base, adapter } = smallBase(t)
    const out = await merge({ base, adapters: [{ path: adapter }], out: join(folder, 'out') })
    for (const [name, tensor] of readSafetensors(base)) {
      const bytes = name === 'a.proj.weight' ? expected(tensor, adapter, 'a.proj') : tensor.bytes
      assert.deepEqual(tensorOf(out, name), { ...tensor, bytes }, name)
    }
    assert.deepEqual(readdirSync(join(folder, 'out')).toSorted(), ['config.json', RECEIPT, 'model.safetensors'])
  })

  for (const dtype of ['F32', 'F16', 'BF16'] as const) {
    it(`rounds once into ${dtype} when asked, and keeps integers`, async (t) => {
      const { folder, base, adapter } = smallBase(t)
      const out = await merge({ base, adapters: [{ path: adapter }], out: join(folder, 'out'), dtype })
      for (const [name, tensor] of readSafetensors(base)) {
        if (tensor.dtype === 'I64') assert.deepEqual(tensorOf(out, name), tensor)
        else {
          const bytes = name === 'a.proj.weight' ? expected(tensor, adapter, 'a.proj', dtype) : packed(dtype, unpacked(tensor.dtype, tensor.bytes))
          assert.deepEqual(tensorOf(out, name), { dtype, shape: tensor.shape, bytes }, name)
        }
      }
    })
  }

  it('equals the base exactly, byte for byte, after +w and −w of one adapter, and says so', async (t) => {
    const { folder, base, adapter } = smallBase(t)
    const plan = await planMerge({
      base,
      adapters: [
        { path: adapter, weight: 0.3 },
        { path: `${adapter}/`, weight: -0.3 },
      ],
      out: join(folder, 'out'),
    })
    assert.deepEqual(plan.adapters, [])
    assert.match(plan.decisions.join('\n'), /more than once/)
    assert.match(plan.warnings.join('\n'), /the output equals the base/)
    await execute(plan)
    assert.deepEqual(readSafetensors(join(folder, 'out')), readSafetensors(base))
  })

  it('gives one adapter twice the bytes of one adapter with the sum of the weights', async (t) => {
    const { folder, base, adapter } = smallBase(t)
    const twice = await merge({
      base,
      adapters: [
        { path: adapter, weight: 0.5 },
        { path: adapter, weight: 0.75 },
      ],
      out: join(folder, 'twice'),
    })
    const once = await merge({ base, adapters: [{ path: adapter, weight: 1.25 }], out: join(folder, 'once') })
    assert.deepEqual(twice, once)
    assert.deepEqual(tensorOf(once, 'a.proj.weight').bytes, expected(tensorOf(readSafetensors(base), 'a.proj.weight'), adapter, 'a.proj', 'BF16', 1.25))
  })

  it('drops an adapter of weight 0 with a note', async (t) => {
    const { folder, base, adapter } = smallBase(t)
    const idle = writeAdapter(join(folder, 'idle'), { modules: { 'b.proj': [4, 6] }, seed: 9 })
    const plan = await planMerge({ base, adapters: [{ path: adapter }, { path: idle, weight: 0 }], out: join(folder, 'out') })
    assert.match(plan.decisions.join('\n'), /idle has weight 0 and changes nothing/)
    assert.deepEqual(
      plan.tensors.filter(({ applied }) => applied.length > 0).map(({ name }) => name),
      ['a.proj.weight'],
    )
  })

  it('does not depend on the order of the adapters, nor does its receipt', async (t) => {
    const { folder, base, adapter } = smallBase(t)
    const second = writeAdapter(join(folder, 'second'), { modules: { 'a.proj': [6, 5], 'b.proj': [4, 6] }, seed: 9, rank: 2 })
    const adapters: AdapterOption[] = [
      { path: adapter, weight: 0.7 },
      { path: second, weight: -0.2 },
    ]
    const [one, two] = [join(folder, 'one'), join(folder, 'two')]
    await merge({ base, adapters, out: one })
    await merge({ base, adapters: adapters.toReversed(), out: two })
    for (const name of readdirSync(one)) assert.ok(readFileSync(join(one, name)).equals(readFileSync(join(two, name))), name)
  })
})

describe('the files of weights', () => {
  it('are those of the base: names, and which tensor lies in which', async (t) => {
    const out = join(workspace(t, 'shards'), 'out')
    await merge({ base: STORY, adapters: [{ path: LOG }], out })
    const shards = readdirSync(STORY).filter((name) => name.endsWith('.safetensors'))
    assert.equal(shards.length, 2)
    for (const shard of shards)
      assert.deepEqual([...readSafetensors(join(out, shard)).keys()].toSorted(), [...readSafetensors(join(STORY, shard)).keys()].toSorted())
    assert.deepEqual(readJson(out, INDEX)['weight_map'], readJson(STORY, INDEX)['weight_map'])
  })

  it('have an index exactly when there are several, with the bytes of their tensors as total_size', async (t) => {
    const folder = workspace(t, 'index')
    for (const [maxShardBytes, dtype] of [
      [undefined, undefined],
      [1_000_000, 'F32'],
      [300_000, 'F16'],
      [1e9, undefined],
    ] as const) {
      const out = join(folder, `out-${maxShardBytes}`)
      const tensors = await merge({ base: STORY, adapters: [{ path: LOG }], out, maxShardBytes, dtype })
      const files = readdirSync(out).filter((name) => name.endsWith('.safetensors'))
      assert.equal(existsSync(join(out, INDEX)), files.length > 1)
      assert.deepEqual([...tensors.keys()].toSorted(), [...readSafetensors(STORY).keys()].toSorted())
      if (files.length === 1) {
        assert.deepEqual(files, ['model.safetensors'])
        continue
      }
      const { metadata, weight_map: map } = readJson(out, INDEX) as { metadata: Json; weight_map: Record<string, string> }
      assert.equal(
        metadata['total_size'],
        [...tensors.values()].reduce((sum, { bytes }) => sum + bytes.byteLength, 0),
      )
      for (const file of files) {
        const own = readSafetensors(join(out, file))
        assert.deepEqual(
          Object.keys(map)
            .filter((name) => map[name] === file)
            .toSorted(),
          [...own.keys()].toSorted(),
        )
        const bytes = [...own.values()].reduce((sum, { bytes }) => sum + bytes.byteLength, 0)
        if (maxShardBytes !== undefined) assert.ok(bytes <= maxShardBytes || own.size === 1, `${file}: ${bytes}`)
      }
      await planMerge({ base: out, adapters: [{ path: LOG }], out: join(folder, 'again') }) // our own reader agrees with index and files
    }
  })

  it('are one file `model.safetensors` where the base’s one file has another name', async (t) => {
    const { folder, adapter } = smallBase(t)
    const base = writeWeights(join(folder, 'numbered'), { 'model-00001-of-00001.safetensors': { 'a.proj.weight': seededTensor(1, 'F32', [6, 5]) } })
    writeSideFiles(base, { 'config.json': {}, [INDEX]: { metadata: {}, weight_map: { 'a.proj.weight': 'model-00001-of-00001.safetensors' } } })
    await merge({ base, adapters: [{ path: adapter }], out: join(folder, 'out') })
    assert.deepEqual(readdirSync(join(folder, 'out')).toSorted(), ['config.json', RECEIPT, 'model.safetensors'])
  })

  it('carry the metadata of the base, and `format`, without which transformers refuses them', async (t) => {
    const { folder, adapter } = smallBase(t)
    const base = join(folder, 'with-metadata')
    mkdirSync(base)
    writeSafetensors(join(base, 'model.safetensors'), { 'a.proj.weight': seededTensor(1, 'F32', [6, 5]) }, { made_by: 'me' })
    writeSideFiles(base, { 'config.json': {} })
    await merge({ base, adapters: [{ path: adapter }], out: join(folder, 'out') })
    const file = readFileSync(join(folder, 'out', 'model.safetensors'))
    const header = JSON.parse(file.toString('utf8', 8, 8 + Number(file.readBigUInt64LE()))) as { __metadata__: Json }
    assert.deepEqual(header.__metadata__, { made_by: 'me', format: 'pt', 'lora-to-gguf.base': 'with-metadata' })
  })
})

describe('a base in one file', () => {
  function oneFile(t: TestContext): { folder: string; base: string; adapter: string; tensors: Map<string, PlainTensor> } {
    const { folder, adapter } = smallBase(t)
    const base = join(folder, 'base.safetensors')
    writeFileSync(base, tensorFile({ 'a.proj.weight': ['F16', [6, 5]], 'b.proj.weight': ['F16', [4, 6]] })) // without `__metadata__`
    return { folder, base, adapter, tensors: readSafetensors(base) }
  }

  it('without config.json merges into a folder and into a file', async (t) => {
    const { folder, base, adapter, tensors } = oneFile(t)
    const want = new Map(
      [...tensors].map(([name, tensor]) => [name, name === 'a.proj.weight' ? { ...tensor, bytes: expected(tensor, adapter, 'a.proj') } : tensor]),
    )
    assert.deepEqual(await merge({ base, adapters: [{ path: adapter }], out: join(folder, 'out') }), want)
    assert.deepEqual(readdirSync(join(folder, 'out')).toSorted(), [RECEIPT, 'model.safetensors'])
    assert.deepEqual(await merge({ base, adapters: [{ path: adapter }], out: join(folder, 'merged.safetensors') }), want)
    assert.ok(existsSync(join(folder, 'merged.safetensors.receipt.json')))
  })

  it('gives a file that the safetensors package of npm reads', async (t) => {
    const { folder, base, adapter, tensors } = oneFile(t)
    const out = join(folder, 'merged.safetensors')
    await merge({ base, adapters: [{ path: adapter }], out, dtype: 'F32' })
    assert.deepEqual(readWithNpmSafetensors(readFileSync(out)), readSafetensors(out))
    assert.deepEqual([...readSafetensors(out).keys()].toSorted(), [...tensors.keys()].toSorted())
  })

  it('cannot become a GGUF, for it has no config: exit 4 that says so', async (t) => {
    const { base, adapter } = oneFile(t)
    await assert.rejects(
      planGguf({ model: base, adapters: [{ path: adapter }] }),
      (error: { exitCode?: number; message: string }) => error.exitCode === 4 && /config\.json/.test(error.message),
    )
  })
})

describe('models that no architecture table knows', () => {
  it('an encoder-decoder with a SEQ_2_SEQ_LM adapter', async (t) => {
    const folder = workspace(t, 'seq2seq')
    const modules: Record<string, [number, number]> = {}
    const tensors: Record<string, PlainTensor> = { 'shared.weight': seededTensor(50, 'F32', [11, 8]) }
    for (const module of ['encoder.block.0.layer.0.SelfAttention.q', 'decoder.block.0.layer.1.EncDecAttention.v', 'decoder.block.0.layer.0.SelfAttention.q']) {
      modules[module] = [6, 8]
      tensors[`${module}.weight`] = seededTensor(Object.keys(tensors).length, 'F32', [6, 8])
    }
    const base = writeWeights(join(folder, 't5'), { 'model.safetensors': tensors })
    writeSideFiles(base, { 'config.json': { architectures: ['T5ForConditionalGeneration'], model_type: 't5', is_encoder_decoder: true } })
    const adapter = writeAdapter(join(folder, 'adapter'), { modules, taskType: 'SEQ_2_SEQ_LM', rank: 2, alpha: 3 })
    const out = await merge({ base, adapters: [{ path: adapter }], out: join(folder, 'out') })
    for (const [name, tensor] of Object.entries(tensors)) {
      const module = name.slice(0, -'.weight'.length)
      assert.deepEqual(tensorOf(out, name).bytes, module in modules ? expected(tensor, adapter, module) : tensor.bytes, name)
    }
  })

  it('a classifier with a SEQ_CLS adapter', async (t) => {
    const folder = workspace(t, 'classifier')
    const tensors = {
      'bert.encoder.layer.0.attention.self.query.weight': seededTensor(1, 'F16', [8, 8]),
      'bert.encoder.layer.0.attention.self.query.bias': seededTensor(2, 'F16', [8]),
      'classifier.weight': seededTensor(3, 'F16', [3, 8]),
    }
    const base = writeWeights(join(folder, 'bert'), { 'model.safetensors': tensors })
    writeSideFiles(base, { 'config.json': { architectures: ['BertForSequenceClassification'], model_type: 'bert' } })
    const module = 'bert.encoder.layer.0.attention.self.query'
    const adapter = writeAdapter(join(folder, 'adapter'), { modules: { [module]: [8, 8] }, taskType: 'SEQ_CLS', config: { modules_to_save: null } })
    const out = await merge({ base, adapters: [{ path: adapter }], out: join(folder, 'out') })
    assert.deepEqual(tensorOf(out, `${module}.weight`).bytes, expected(tensors[`${module}.weight` as keyof typeof tensors], adapter, module))
    assert.deepEqual(tensorOf(out, 'classifier.weight').bytes, tensors['classifier.weight'].bytes)
    assert.deepEqual(tensorOf(out, `${module}.bias`).bytes, tensors[`${module}.bias` as keyof typeof tensors].bytes)
  })
})

describe('config.json of a merged folder', () => {
  async function mergedConfig(t: TestContext, text: string, dtype?: 'F32' | 'F16' | 'BF16'): Promise<string> {
    const { folder, base, adapter } = smallBase(t)
    writeSideFiles(base, { 'config.json': text })
    await merge({ base, adapters: [{ path: adapter }], out: join(folder, 'out'), dtype })
    return readFileSync(join(folder, 'out', 'config.json'), 'utf8')
  }

  it('says the type that was written, under either name and in nested configs, and nothing else anew', async (t) => {
    const config = { a: 1e-5, dtype: 'bfloat16', text_config: { torch_dtype: 'float16', note: 'dtype: "float16"' }, list: [1.0], _name_or_path: 'org/name' }
    const text = JSON.stringify(config, undefined, 1).replace('1e-5', '1e-05')
    const out = await mergedConfig(t, text, 'F32')
    assert.equal(out, text.replace('"dtype": "bfloat16"', '"dtype": "float32"').replace('"torch_dtype": "float16"', '"torch_dtype": "float32"'))
  })

  it('is the base’s own file where the type is kept', async (t) => {
    for (const text of ['{ "_name_or_path":"/home/me/x",\n"torch_dtype" : "bfloat16", "big": 18446744073709551615 }', '\ufeff{}', ' {\n}\n'])
      assert.equal(await mergedConfig(t, text), text)
  })

  it('stays JSON of the same facts where no type is named', async (t) => {
    const config = { model_type: 'x', nested: { dtype: 'auto', torch_dtype: null }, text: 'a { "dtype": "float16" } b', bnb_4bit_compute_dtype: 'float16' }
    assert.deepEqual(JSON.parse(await mergedConfig(t, JSON.stringify(config), 'F16')), config)
    assert.equal(await mergedConfig(t, '{}', 'F16'), '{}')
  })
})

describe('the files beside the weights', () => {
  const KEPT = {
    'generation_config.json': '{"temperature": 0.5}',
    'tokenizer.json': '{"model": {"vocab": {}}}',
    'tokenizer_config.json': '{"a": 1}\n',
    'special_tokens_map.json': '{}',
    'vocab.txt': 'a\r\nb\r\n',
    'chat_template.jinja': '{{ messages }}',
    'additional_chat_templates/rag.jinja': '{{ documents }}',
    'README.md': '# Base\n',
    LICENSE: 'MIT\n',
    'preprocessor_config.json': '{}',
    'modeling_custom.py': 'print(1)\n',
  }
  const LEFT = {
    'consolidated.safetensors': 'x',
    'pytorch_model.bin': 'x',
    'pytorch_model.bin.index.json': '{}',
    'model.gguf': 'x',
    Modelfile: 'FROM ./old.gguf\n',
    'old.Modelfile': 'FROM ./old.gguf\n',
    'training_args.bin': 'x',
    'optimizer.pt': 'x',
    'trainer_state.json': '{}',
    'rng_state_0.pth': 'x',
    '.gitattributes': 'x',
    'old.gguf.receipt.json': '{}',
  }

  it('are copied byte for byte; other weights, indexes and training state are not', async (t) => {
    const { folder, base, adapter } = smallBase(t)
    writeSideFiles(base, { ...KEPT, ...LEFT })
    const out = join(folder, 'out')
    await merge({ base, adapters: [{ path: adapter }], out })
    for (const [name, text] of Object.entries(KEPT)) assert.equal(readFileSync(join(out, name), 'utf8'), text, name)
    assert.deepEqual(filesBelow(out), [...Object.keys(KEPT), 'config.json', 'model.safetensors', RECEIPT].toSorted())
  })

  it('are those of the modules too that make vectors of a model: their folders are copied with their weights', async (t) => {
    const { folder, base, adapter } = smallBase(t)
    const modules = ['', '1_Pooling', '2_Dense/', '3_Normalize', '../elsewhere', '.'].map((path, idx) => ({
      idx,
      name: String(idx),
      path,
      type: 'sentence_transformers.models.X',
    }))
    const kept = {
      '1_Pooling/config.json': '{"pooling_mode_mean_tokens": true}',
      '2_Dense/config.json': '{}',
      '2_Dense/model.safetensors': 'weights',
      '2_Dense/notes.txt': 'x',
    }
    writeSideFiles(base, { 'modules.json': modules, ...kept, '../elsewhere/config.json': '{}' })
    const out = join(folder, 'out')
    await merge({ base, adapters: [{ path: adapter }], out })
    const { '2_Dense/notes.txt': _notes, ...copied } = kept
    for (const [name, text] of Object.entries(copied)) assert.equal(readFileSync(join(out, name), 'utf8'), text, name)
    assert.deepEqual(filesBelow(out), [...Object.keys(copied), 'modules.json', 'config.json', 'model.safetensors', RECEIPT].toSorted())
  })

  it('of the example: all but weights and index', async (t) => {
    const out = join(workspace(t, 'side'), 'out')
    await merge({ base: STORY, adapters: [{ path: LOG }], out })
    for (const name of readdirSync(STORY)) {
      if (name === 'config.json' || /safetensors/.test(name)) continue
      assert.ok(readFileSync(join(out, name)).equals(readFileSync(join(STORY, name))), name)
    }
  })

  it('leave nothing that the adapter’s folder holds beside its tokenizer', async (t) => {
    const { folder, base, adapter } = smallBase(t)
    writeSideFiles(adapter, { 'README.md': 'of the adapter', 'optimizer.pt': 'x' })
    await merge({ base, adapters: [{ path: adapter }], out: join(folder, 'out') })
    assert.deepEqual(readdirSync(join(folder, 'out')).toSorted(), ['config.json', RECEIPT, 'model.safetensors'])
  })
})

function filesBelow(folder: string): string[] {
  return readdirSync(folder, { recursive: true })
    .map((name) => String(name).replaceAll('\\', '/'))
    .filter((name) => statSync(join(folder, name)).isFile())
    .toSorted()
}

describe('the tokenizer of a merged model', () => {
  /** The example pair, the adapter with a tokenizer of its own. */
  function withTokenizer(
    t: TestContext,
    change: (tokenizer: { added_tokens: object[]; model: { vocab: Record<string, number> } }) => void,
    config: object = {},
  ): { folder: string; adapter: string } {
    const folder = workspace(t, 'tokenizer')
    const adapter = join(folder, 'adapter')
    for (const name of readdirSync(LOG)) writeSideFiles(adapter, { [name]: readFileSync(join(LOG, name)) })
    const tokenizer = readJson(STORY, 'tokenizer.json') as unknown as Parameters<typeof change>[0]
    change(tokenizer)
    writeSideFiles(adapter, { 'tokenizer.json': tokenizer, 'tokenizer_config.json': { ...readJson(STORY, 'tokenizer_config.json'), ...config } })
    return { folder, adapter }
  }

  it('is the base’s where the adapter’s is the same', async (t) => {
    const { folder, adapter } = withTokenizer(t, () => {})
    const out = join(folder, 'out')
    await merge({ base: STORY, adapters: [{ path: adapter }], out })
    assert.ok(readFileSync(join(out, 'tokenizer.json')).equals(readFileSync(join(STORY, 'tokenizer.json'))))
  })

  it('is the adapter’s where its template differs, and the plan says so', async (t) => {
    const { folder, adapter } = withTokenizer(t, () => {})
    writeSideFiles(adapter, { 'chat_template.jinja': '{{ "other" }}' })
    const plan = await planMerge({ base: STORY, adapters: [{ path: adapter }], out: join(folder, 'out') })
    assert.match(plan.decisions.join('\n'), /tokenizer of adapter/)
    await execute(plan)
    assert.equal(readFileSync(join(folder, 'out', 'chat_template.jinja'), 'utf8'), '{{ "other" }}')
    assert.ok(readFileSync(join(folder, 'out', 'tokenizer.json')).equals(readFileSync(join(adapter, 'tokenizer.json'))))
    assert.ok(readFileSync(join(folder, 'out', 'generation_config.json')).equals(readFileSync(join(STORY, 'generation_config.json'))))
  })

  it('is the base’s with the adapter’s template where that is all it brings, in folders and GGUFs', async (t) => {
    const folder = workspace(t, 'template-only')
    const adapter = join(folder, 'adapter')
    for (const name of readdirSync(LOG)) writeSideFiles(adapter, { [name]: readFileSync(join(LOG, name)) })
    writeSideFiles(adapter, { 'chat_template.jinja': '{{ "of the adapter" }}' })
    // a base that keeps its template in its config, where it would win
    const inline = join(folder, 'inline')
    for (const name of readdirSync(STORY)) writeSideFiles(inline, { [name]: readFileSync(join(STORY, name)) })
    rmSync(join(inline, 'chat_template.jinja'))
    const config = readFileSync(join(STORY, 'tokenizer_config.json'), 'utf8')
    writeSideFiles(inline, { 'tokenizer_config.json': config.replace('{', '{\n  "chat_template": "{{ \\"of\\\\the base\\" }}",') })
    for (const base of [STORY, inline]) {
      const out = join(folder, `out-${basename(base)}`)
      const plan = await planMerge({ base, adapters: [{ path: adapter }], out })
      assert.match(plan.decisions.join('\n'), /tokenizer of adapter.*chat template.*its vocabulary is the base’s/)
      await execute(plan)
      assert.equal(readFileSync(join(out, 'chat_template.jinja'), 'utf8'), '{{ "of the adapter" }}')
      assert.ok(readFileSync(join(out, 'tokenizer.json')).equals(readFileSync(join(STORY, 'tokenizer.json'))))
      assert.deepEqual(readJson(out, 'tokenizer_config.json'), readJson(STORY, 'tokenizer_config.json'))
      const { keyValues } = await planGguf({ model: base, adapters: [{ path: adapter }], outfile: join(folder, 'out.gguf') })
      assert.deepEqual(keyValues.find(({ key }) => key === 'tokenizer.chat_template')?.value, { type: 'string', value: '{{ "of the adapter" }}' })
    }
  })

  it('is chosen by --tokenizer: base, adapter, or a folder', async (t) => {
    const { folder, adapter } = withTokenizer(t, () => {})
    writeSideFiles(adapter, { 'chat_template.jinja': '{{ "other" }}' })
    const other = writeSideFiles(join(folder, 'third'), {
      'tokenizer.json': readFileSync(join(STORY, 'tokenizer.json')),
      'tokenizer_config.json': '{"a": 1}',
      'chat_template.jinja': '{{ "third" }}',
    })
    const template = async (tokenizer: string): Promise<string> => {
      const out = join(folder, basename(tokenizer), 'out')
      await merge({ base: STORY, adapters: [{ path: adapter }], out, tokenizer })
      return readFileSync(join(out, 'chat_template.jinja'), 'utf8')
    }
    assert.equal(await template('base'), readFileSync(join(STORY, 'chat_template.jinja'), 'utf8'))
    assert.equal(await template('adapter'), '{{ "other" }}')
    assert.equal(await template(other), '{{ "third" }}')
    await assert.rejects(planMerge({ base: STORY, adapters: [{ path: LOG }], out: join(folder, 'no'), tokenizer: 'adapter' }), UsageError)
  })

  it('is refused with exit 6 when the embedding has no row for one of its tokens, for folders and GGUFs', async (t) => {
    const { folder, adapter } = withTokenizer(t, ({ added_tokens: added }) =>
      added.push({ id: 645, content: '<new>', special: true, single_word: false, lstrip: false, rstrip: false, normalized: false }),
    )
    const refused = (error: Error): boolean =>
      error instanceof MismatchError && error.exitCode === 6 && /645/.test(error.message) && /--tokenizer/.test(error.message)
    await assert.rejects(planMerge({ base: STORY, adapters: [{ path: adapter }], out: join(folder, 'out') }), refused)
    await assert.rejects(planGguf({ model: STORY, adapters: [{ path: adapter }], outfile: join(folder, 'out.gguf') }), refused)
    await planMerge({ base: STORY, adapters: [{ path: adapter }], out: join(folder, 'out'), tokenizer: 'base' })
  })

  it('of two adapters that disagree is refused with exit 6', async (t) => {
    const { folder, adapter } = withTokenizer(t, () => {})
    const { adapter: second } = withTokenizer(t, () => {})
    writeSideFiles(adapter, { 'chat_template.jinja': '{{ "one" }}' })
    writeSideFiles(second, { 'chat_template.jinja': '{{ "two" }}' })
    await assert.rejects(planMerge({ base: STORY, adapters: [{ path: adapter }, { path: second }], out: join(folder, 'out') }), MismatchError)
  })
})
