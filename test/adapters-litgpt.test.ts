/** LitGPT's adapters: slices of unequal size in a fused qkv, what its two YAML files say, and checkpoint folders that stay such. */
import assert from 'node:assert/strict'
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it, type TestContext } from 'node:test'
import { readFlatYaml, yamlBoolean, yamlNumber, yamlUint } from '../src/adapters/flat-yaml.js'
import { FileSystemError, FormatError, MismatchError, UnsupportedError, UsageError } from '../src/core/errors.js'
import { execute, planGguf, planMerge } from '../src/index.js'
import { assertNear, plus, rowsFrom, seeded, tensorOf, times, zeros, type Matrix } from './support/dense.js'
import { GOLDEN, SKIP_WITHOUT_GOLDEN } from './support/paths.js'
import { readSafetensors, type PlainTensor } from './support/plain-tensors.js'
import { writeSideFiles } from './support/tiny-models.js'
import { readTorchFile, writeTorchFile } from './support/torch-output.js'
import { workspace } from './support/workspace.js'

const WIDTH = 24
const QKV = 'transformer.h.0.attn.qkv'

interface Make {
  readonly heads?: number
  readonly groups?: number | undefined
  readonly headSize?: number | undefined
  readonly enabled?: readonly [boolean, boolean, boolean]
  readonly rank?: number
  readonly alpha?: number
  readonly extra?: Readonly<Record<string, PlainTensor>>
  readonly yaml?: string
}

/** Base and adapter folders as LitGPT writes them, and the qkv that its formula gives. */
function made(t: TestContext, make: Make = {}): { root: string; base: string; adapter: string; expected: Matrix; W: Matrix } {
  const { heads = 6, groups, headSize, enabled = [true, false, true], rank = 3, alpha = 6, extra = {} } = make
  const size = headSize ?? WIDTH / heads
  const rows = [heads * size, (groups ?? heads) * size, (groups ?? heads) * size]
  const trained = rows.filter((_, i) => enabled[i])
  const A = seeded(1, rank * trained.length, WIDTH)
  const B = seeded(
    2,
    trained.reduce((sum, one) => sum + one, 0),
    rank,
  )
  const W = seeded(
    3,
    rows.reduce((sum, one) => sum + one, 0),
    WIDTH,
  )
  let [number, row] = [0, 0]
  const delta = rows.flatMap((count, i) => {
    if (enabled[i] !== true) return zeros(count, WIDTH)
    const part = times(rowsFrom(B, row, count), rowsFrom(A, number * rank, rank))
    number++
    row += count
    return part
  })
  const root = workspace(t, 'litgpt')
  const config = `hf_config:\n  name: x\n  n_head: 999\nhead_size: ${headSize ?? 'null'}\nn_embd: ${WIDTH}\nn_head: ${heads}\n${groups === undefined ? '' : `n_query_groups: ${groups}\n`}`
  const [base, adapter] = ['base', 'adapter'].map((name) => writeSideFiles(join(root, name), { 'model_config.yaml': config, 'tokenizer.json': '{}' })) as [
    string,
    string,
  ]
  writeTorchFile(join(base, 'lit_model.pth'), { [`${QKV}.weight`]: tensorOf(W), 'transformer.h.0.attn.proj.weight': tensorOf(seeded(5, WIDTH, WIDTH)) })
  writeTorchFile(join(adapter, 'lit_model.pth.lora'), { [`${QKV}.lora_A`]: tensorOf(A), [`${QKV}.lora_B`]: tensorOf(B), ...extra }, 'model')
  const [query, key, value] = enabled
  writeSideFiles(adapter, {
    'hyperparameters.yaml':
      make.yaml ??
      `lora_alpha: ${alpha}\nlora_dropout: 0.05\nlora_key: ${key}\nlora_query: ${query}\nlora_r: ${rank}\nlora_value: ${value}\ntrain:\n  lora_r: 77\n`,
    'prompt_style.yaml': 'class_path: litgpt.prompts.Alpaca\n',
  })
  return { root, base, adapter, expected: plus(W, delta, alpha / rank), W }
}

async function merge(base: string, adapter: string, out: string): Promise<void> {
  await execute(await planMerge({ base, adapters: [{ path: adapter }], out, tileElements: 100 }), { threads: 2 })
}

describe('LitGPT adapters', () => {
  for (const [what, make] of [
    ['equal sizes, all trained', { enabled: [true, true, true] }],
    ['equal sizes, two of three', {}],
    ['groups of queries, all trained', { groups: 2, enabled: [true, true, true] }],
    ['groups of queries, without keys', { groups: 3 }],
    ['one group, keys only', { groups: 1, enabled: [false, true, false] }],
    ['heads wider than the model', { heads: 4, groups: 2, headSize: 10, enabled: [true, false, true] }],
  ] as const satisfies readonly (readonly [string, Make])[]) {
    it(`merge the slices of qkv: ${what}`, async (t) => {
      const { root, base, adapter, expected } = made(t, make)
      await merge(base, adapter, join(root, 'out.pth'))
      const merged = await readTorchFile(join(root, 'out.pth'))
      assertNear('qkv', merged.get(`${QKV}.weight`), expected)
      assert.deepEqual(merged.get('transformer.h.0.attn.proj.weight')?.bytes, tensorOf(seeded(5, WIDTH, WIDTH)).bytes)
    })
  }

  it('merge square layers as they are stored, which LitGPT never does otherwise', async (t) => {
    const [A, B] = [seeded(8, 3, WIDTH), seeded(9, WIDTH, 3)]
    const extra = { 'transformer.h.0.attn.proj.lora_A': tensorOf(A), 'transformer.h.0.attn.proj.lora_B': tensorOf(B) }
    const { root, base, adapter } = made(t, { extra })
    await merge(base, adapter, join(root, 'out.pth'))
    const proj = (await readTorchFile(join(root, 'out.pth'))).get('transformer.h.0.attn.proj.weight')
    assertNear('proj', proj, plus(seeded(5, WIDTH, WIDTH), times(B, A), 2))
  })

  it('make a LitGPT folder of a LitGPT folder, with the prompt style that was trained', async (t) => {
    const { root, base, adapter, expected } = made(t)
    const out = join(root, 'out')
    await merge(base, adapter, out)
    const names = ['lit_model.pth', 'lora-to-gguf.receipt.json', 'model.safetensors', 'model_config.yaml', 'prompt_style.yaml', 'tokenizer.json']
    assert.deepEqual(readdirSync(out).sort(), names)
    const [litgpt, plain] = [await readTorchFile(join(out, 'lit_model.pth')), readSafetensors(join(out, 'model.safetensors'))]
    assertNear('qkv', litgpt.get(`${QKV}.weight`), expected)
    assert.deepEqual(litgpt, plain) // maps are equal in any order
    assert.deepEqual(readFileSync(join(out, 'model_config.yaml')), readFileSync(join(base, 'model_config.yaml')))
    await merge(out, adapter, join(root, 'again.pth')) // it is a base again
    await assert.rejects(planMerge({ base, adapters: [{ path: adapter }], out: join(root, 'cut'), maxShardBytes: 100 }), UsageError)
    await assert.rejects(
      planGguf({ model: base, outfile: join(root, 'x.gguf') }),
      (error) => error instanceof UnsupportedError && /convert_from_litgpt/.test(error.message),
    )
  })

  it('find their own checkpoint beside one of Hugging Face', async (t) => {
    const { root, base, adapter, expected } = made(t)
    writeTorchFile(join(base, 'pytorch_model.bin'), { 'model.embed_tokens.weight': tensorOf(seeded(1, 4, 4)) })
    await merge(base, adapter, join(root, 'out.pth'))
    assertNear('qkv', (await readTorchFile(join(root, 'out.pth'))).get(`${QKV}.weight`), expected)
  })

  it('are refused when their files do not fit together', async (t) => {
    const fault = async (make: Make, kind: typeof MismatchError | typeof FormatError, reason: RegExp): Promise<void> => {
      const { root, base, adapter } = made(t, make)
      await assert.rejects(merge(base, adapter, join(root, 'out.pth')), (error) => error instanceof kind && reason.test(error.message))
    }
    const said = (r: string): string => `lora_alpha: 6\nlora_r: ${r}\nlora_query: true\nlora_value: true\n`
    await fault({ yaml: said('2') }, MismatchError, /rank 2 are not those of 2 of the slices 24, 24, 24/)
    await fault({ yaml: said('0') }, FormatError, /lora_r must be a whole number above 0, found 0/)
    await fault({ yaml: 'lora_r: 3\n' }, FormatError, /lora_alpha must be a number, found nothing/)
    await fault({ yaml: `${said('3')}lora_key: true\n` }, MismatchError, /not those of 3 of the slices/)
    const proj = { 'transformer.h.0.attn.proj.lora_A': tensorOf(seeded(1, 2, WIDTH)), 'transformer.h.0.attn.proj.lora_B': tensorOf(seeded(1, WIDTH, 2)) }
    await fault({ extra: proj }, MismatchError, /hyperparameters\.yaml says lora_r 3/)
    const { root, base, adapter } = made(t)
    mkdirSync(join(root, 'bare'))
    writeFileSync(join(root, 'bare', 'lit_model.pth.lora'), readFileSync(join(adapter, 'lit_model.pth.lora')))
    await assert.rejects(
      merge(base, join(root, 'bare'), join(root, 'out.pth')),
      (error) => error instanceof FileSystemError && /hyperparameters\.yaml/.test(error.message),
    )
  })

  it('of the old layout are refused by name', async (t) => {
    const old = { 'transformer.h.0.attn.attn.lora_A': tensorOf(seeded(1, 6, WIDTH)), 'transformer.h.0.attn.attn.lora_B': tensorOf(seeded(1, 48, 3)) }
    const { root, base, adapter } = made(t, { extra: old })
    await assert.rejects(merge(base, adapter, join(root, 'out.pth')), (error) => error instanceof UnsupportedError && /before 0\.5/.test(error.message))
    assert.equal(existsSync(join(root, 'out.pth')), false)
  })
})

describe('flat YAML', () => {
  const yaml = (text: string): ReturnType<typeof readFlatYaml> => readFlatYaml(new TextEncoder().encode(text), 'f.yaml')

  it('gives the scalars at the root and nothing that is nested', () => {
    const { scalars } = yaml('a: 1\r\nb: -2.5e-1 # why\nc: true\nd: null\ne:\nf: "x"\ng: \'y\'\nh: plain text\n  i: 3\n- j: 4\nk: [1, 2]\n')
    const expected = { a: 1, b: -0.25, c: true, d: null, e: null, f: 'x', g: 'y', h: 'plain text', k: '[1, 2]' }
    assert.deepEqual(Object.fromEntries(scalars), expected)
  })

  it('refuses keys that stand twice, and names keys of the wrong kind', () => {
    assert.throws(
      () => yaml('a: 1\na: 2\n'),
      (error) => error instanceof FormatError && /"a" twice, again in line 2/.test(error.message),
    )
    assert.throws(() => yamlUint(yaml('n: 1.5'), 'n'), /n must be a whole number above 0, found 1\.5/)
    assert.throws(() => yamlNumber(yaml('n: .inf'), 'n'), /n must be a number, found "\.inf"/)
    assert.throws(() => yamlBoolean(yaml('n: 1'), 'n'), /n must be true or false, found 1/)
    assert.equal(yamlUint(yaml('n: null'), 'n', 7), 7)
    assert.equal(yamlBoolean(yaml(''), 'n'), false)
  })
})

describe('golden LitGPT merges', { skip: SKIP_WITHOUT_GOLDEN }, () => {
  // LitGPT multiplies and adds in bf16; we round once, so its bf16 results are no measure
  const names = GOLDEN === undefined ? [] : readdirSync(join(GOLDEN, 'merge')).filter((name) => name.startsWith('litgpt_'))
  for (const name of names.filter((one) => existsSync(join(GOLDEN ?? '', 'merge', one, 'expected')))) {
    it(`${name} is what litgpt merge_lora writes`, async (t) => {
      const folder = join(GOLDEN ?? '', 'merge', name)
      const out = join(workspace(t), 'merged')
      await merge(join(folder, 'base'), join(folder, 'adapter'), out)
      const [ours, expected] = [await readTorchFile(join(out, 'lit_model.pth')), readSafetensors(join(folder, 'expected'))]
      assert.deepEqual([...ours.keys()].sort(), [...expected.keys()].sort())
      for (const [tensor, { bytes }] of expected) assertNear(tensor, ours.get(tensor), [[...new Float32Array(bytes.slice().buffer)]])
    })
  }
})
