/** `--sizes`: what it says of a file is what the file becomes, without reading a weight; the errors are those of the rows it samples. */
import assert from 'node:assert/strict'
import { statSync, truncateSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it, type TestContext } from 'node:test'
import { string, u32 } from '../src/core/key-value.js'
import { execute, planGguf } from '../src/index.js'
import { ggufSizes } from '../src/host/sizes.js'
import { contextRoom } from '../src/plan/context-room.js'
import { sampleRows, sampleTensors } from '../src/plan/sizes-sample.js'
import { ALL_FILE_TYPES, type AnyFileType } from '../src/quantize/file-types.js'
import { FIXTURES } from './support/paths.js'
import { runCli, runCliOk } from './support/run-cli.js'
import { writeSmallLlama } from './support/small-llama.js'
import { writeAdapter } from './support/tiny-models.js'
import { workspace } from './support/workspace.js'

const STORY = join(FIXTURES, 'tiny-story')
const FILE_TYPES = Object.keys(ALL_FILE_TYPES) as AnyFileType[]

async function gguf(t: TestContext, outtype: AnyFileType): Promise<string> {
  const outfile = join(workspace(t, 'sizes'), 'base.gguf')
  await execute(await planGguf({ model: STORY, outtype, outfile, modelfile: false, receipt: false }))
  return outfile
}

describe('the sizes of all types', () => {
  it('are those that the plans of a folder have, header and padding too', async () => {
    const { types, refused, weights } = await ggufSizes({ model: STORY }, false)
    assert.deepEqual(refused, [])
    assert.deepEqual(
      types.map(({ fileType }) => fileType),
      FILE_TYPES,
    )
    for (const { fileType, bytes, bitsPerWeight } of types) {
      if (fileType === 'q2_k_s') continue // wants an importance matrix
      const { files, tensors } = await planGguf({ model: STORY, outtype: fileType })
      assert.equal(bytes, files[0]?.byteLength, fileType)
      assert.equal(bitsPerWeight, (tensors.reduce((sum, { byteLength }) => sum + byteLength, 0) * 8) / weights, fileType)
    }
    assert.deepEqual(types.find(({ fileType }) => fileType === 'q2_k_s')?.notes, ['needs --imatrix'])
    assert.match(types.find(({ fileType }) => fileType === 'mxfp4')?.notes.join(' ') ?? '', /no tensor of this model gets mxfp4/)
  })

  it('are those that the plans of a GGUF have, quantized or not, without --allow-requantize', async (t) => {
    const model = await gguf(t, 'q8_0')
    const { types } = await ggufSizes({ model }, false)
    assert.deepEqual(
      types.map(({ fileType }) => fileType),
      FILE_TYPES,
    )
    for (const { fileType, bytes } of types) {
      if (fileType === 'q2_k_s') continue
      const { files } = await planGguf({ model, outtype: fileType, outfile: 'x.gguf', quantize: { allowRequantize: true } })
      assert.equal(bytes, files[0]?.byteLength, fileType)
    }
  })

  it('read no weights: files of the right size without them will do', async (t) => {
    const model = writeSmallLlama(workspace(t, 'sizes'), () => 'BF16')
    const before = (await ggufSizes({ model, noVocab: true }, false)).types.map(({ bytes }) => bytes)
    const weights = join(model, 'model.safetensors')
    const { size } = statSync(weights)
    truncateSync(weights, 4096) // the header stays, the data become zeros
    truncateSync(weights, size)
    assert.deepEqual(
      (await ggufSizes({ model, noVocab: true }, false)).types.map(({ bytes }) => bytes),
      before,
    )
  })

  it('follow the options and the adapters', async (t) => {
    const quantize = { outputTensorType: 'f32', tokenEmbeddingType: 'f32' } as const
    const [plain, large] = [await ggufSizes({ model: STORY }, false), await ggufSizes({ model: STORY, quantize }, false)]
    plain.types.forEach(({ fileType, bytes }, i) => assert.ok(fileType === 'f32' || (large.types[i]?.bytes ?? 0) > bytes, fileType))
    const folder = workspace(t, 'sizes')
    const path = writeAdapter(join(folder, 'adapter'), { modules: { 'model.layers.0.self_attn.q_proj': [256, 256] } })
    const fused = await ggufSizes({ model: STORY, adapters: [{ path }], outtype: 'q4_0' }, true)
    assert.deepEqual(
      fused.types.map(({ fileType }) => fileType),
      ['q4_0'],
    )
    const { errors } = await ggufSizes({ model: STORY, outtype: 'q4_0' }, true)
    assert.notEqual(fused.errors?.get('q4_0')?.rmse, errors?.get('q4_0')?.rmse) // the merged values are measured
  })

  it('fit a card that holds the file, 8192 tokens of context and 1 GiB', () => {
    const keyValues = [
      { key: 'general.architecture', value: string('llama') },
      ...Object.entries({
        block_count: 32,
        context_length: 131_072,
        embedding_length: 4096,
        'attention.head_count': 32,
        'attention.head_count_kv': 8,
      }).map(([key, value]) => ({ key: `llama.${key}`, value: u32(value) })),
    ]
    // Llama 3.1 8B: 128 KiB for each token
    assert.deepEqual(contextRoom(keyValues, 'llama'), { tokens: 8192, contextBytes: 2 ** 30, computeBytes: 2 ** 30 })
    const short = keyValues.map(({ key, value }) => (key === 'llama.context_length' ? { key, value: u32(2048) } : { key, value }))
    assert.deepEqual(contextRoom(short, 'llama'), { tokens: 2048, contextBytes: 2 ** 28, computeBytes: 2 ** 30 })
    const wide = [...keyValues, { key: 'llama.attention.key_length', value: u32(256) }, { key: 'llama.attention.value_length', value: u32(64) }]
    assert.equal(contextRoom(wide, 'llama').contextBytes, (2 ** 30 * (256 + 64)) / 256)
    const layers = keyValues.map(({ key, value }) =>
      key.endsWith('head_count_kv') ? { key, value: { type: 'array', items: 'i32', value: [8, 0, 4] } as const } : { key, value },
    )
    assert.equal(contextRoom(layers, 'llama').contextBytes, 8192 * 12 * 256 * 2)
    assert.equal(contextRoom([], 'nobody').contextBytes, 0)
  })
})

describe('the errors of all types', () => {
  it('are zero for f32, small for q8_0, and grow as the types get smaller', async () => {
    const { errors } = await ggufSizes({ model: STORY }, true)
    const rmse = (type: AnyFileType): number => errors?.get(type)?.rmse ?? Number.NaN
    assert.equal(rmse('f32'), 0)
    assert.equal(rmse('bf16'), 0) // the example is stored so
    const order = ['bf16', 'q8_0', 'q6_k', 'q5_k_m', 'q4_k_m', 'q4_k_s', 'q4_0', 'q3_k_m', 'q3_k_s', 'q2_k'] as const
    order.slice(1).forEach((type, i) => assert.ok(rmse(type) > rmse(order[i] ?? 'f32'), type))
    const { rmse: absolute, relative } = errors?.get('q8_0') ?? assert.fail()
    assert.ok(relative > 0.001 && relative < 0.01 && absolute < relative, `${absolute} ${relative}`)
  })

  it('are the same in every run', async () => {
    const [one, two] = [await ggufSizes({ model: STORY, outtype: 'q4_k_m' }, true), await ggufSizes({ model: STORY, outtype: 'q4_k_m' }, true)]
    assert.deepEqual(one.errors, two.errors)
  })

  it('of f16 are within half a step of its 11 bits', async (t) => {
    const model = writeSmallLlama(workspace(t, 'sizes'), () => 'F32')
    const { errors } = await ggufSizes({ model, noVocab: true, outtype: 'f16' }, true)
    const { rmse, relative } = errors?.get('f16') ?? assert.fail()
    assert.ok(rmse > 0 && relative > 2 ** -14 && relative < 2 ** -11)
  })

  it('are sampled from at most 32 matrices and 64 rows of each, fewer where rows are long, from everywhere', () => {
    const drafts = Array.from({ length: 100 }, (_, i) => ({
      name: `t${i}`,
      shape: i % 2 === 0 ? [64, 32] : [32],
      type: 'f32' as const,
      program: { op: 'values' as const, rows: 64, cols: 32, values: [] },
      from: [],
      applied: [],
    }))
    const sampled = sampleTensors(drafts)
    assert.equal(sampled.length, 32)
    assert.ok(sampled.every(({ shape }) => shape.length === 2))
    assert.equal(new Set(sampled).size, 32)
    const rows = sampleRows({ rows: 100_000, cols: 4096 }, 5)
    assert.equal(rows.length, 32)
    assert.ok(rows.every((row, i) => row > (rows[i - 1] ?? -1) && row < 100_000))
    assert.ok((rows[0] ?? 0) < 3200 && (rows.at(-1) ?? 0) > 96_000)
    assert.deepEqual(sampleRows({ rows: 3, cols: 8 }, 1), [0, 1, 2])
    assert.deepEqual(sampleRows({ rows: 10, cols: 10_000_000 }, 1).length, 1)
    assert.deepEqual(sampleRows({ rows: 100, cols: 8 }, 1), sampleRows({ rows: 100, cols: 8 }, 1))
  })
})

describe('to-gguf --sizes', () => {
  it('prints a table, its rule and what is not supported, and writes nothing', async (t) => {
    const cwd = workspace(t, 'sizes-cli')
    const { stdout } = await runCliOk('to-gguf', [STORY, '--sizes', '--measure'], { cwd })
    const rows = stdout.split('\n').filter((line) => / (?:k|M)B /.test(line) && / GB/.test(line))
    assert.equal(rows.length, FILE_TYPES.length)
    assert.match(stdout, /^type +file size +bits\/weight +rmse +of weights +fits$/m)
    assert.match(stdout, /^q8_0 +2\.71 MB +8\.52 +0\.000\d+ +0\.\d\d % +8 12 16 24 GB$/m)
    assert.match(stdout, /8, 12, 16, 24 GB that hold the file, 512 tokens of context in f16/)
    assert.match(stdout, /not supported: .*iq2_xs/)
  })

  it('gives one event with --json', async () => {
    const { stdout } = await runCliOk('to-gguf', [STORY, '--sizes', '--json'])
    assert.equal(stdout.trimEnd().split('\n').length, 1)
    const facts = JSON.parse(stdout) as {
      event: string
      weights: number
      sizes: { type: string; bytes: number; fits: number[]; rmse?: number }[]
      unsupported: { type: string; nearest: string }[]
    }
    assert.equal(facts.event, 'result')
    assert.deepEqual(
      facts.sizes.map(({ type }) => type),
      FILE_TYPES,
    )
    assert.ok(facts.sizes.every(({ bytes, fits, rmse }) => bytes > 500_000 && fits.length === 4 && rmse === undefined))
    assert.ok(facts.unsupported.some(({ type, nearest }) => type === 'iq2_xs' && nearest === 'q2_k'))
  })

  it('is pointed at by one line after a conversion to auto, and only then', async (t) => {
    const home = workspace(t, 'sizes-hint')
    const auto = await runCliOk('to-gguf', [STORY, '-o', join(home, 'a.gguf')])
    assert.equal(auto.stdout.split('\n').filter((line) => line.includes('--sizes')).length, 1)
    const chosen = await runCliOk('to-gguf', [STORY, '-o', join(home, 'b.gguf'), '--outtype', 'q8_0', '--no-modelfile'])
    assert.doesNotMatch(chosen.stdout, /--sizes/)
  })

  it('says no to --measure alone, to copy, and to types that cannot be written', async () => {
    for (const [args, code] of [
      [['--measure'], 2],
      [['--sizes', '--outtype', 'copy'], 2],
      [['--sizes', '--outtype', 'iq2_xs'], 4],
    ] as const)
      assert.equal((await runCli('to-gguf', [STORY, ...args])).code, code, args.join(' '))
  })
})
