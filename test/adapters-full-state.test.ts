/** Full state dicts of loralib: weights and factors in one file, which eval() may have merged. What is in the weights is found out or asked for, never added twice. */
import assert from 'node:assert/strict'
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it, type TestContext } from 'node:test'
import { MismatchError, UnsupportedError, UsageError } from '../src/core/errors.js'
import { execute, planGguf, planMerge, type MergeOptions, type Plan } from '../src/index.js'
import { assertNear, matrix, plus, rowsFrom, seeded, tensorOf, times, turned, zeros, type Matrix } from './support/dense.js'
import { readGguf } from './support/gguf-file.js'
import { FIXTURES, GOLDEN, SKIP_WITHOUT_GOLDEN } from './support/paths.js'
import { readSafetensors, valuesOf, type PlainTensor } from './support/plain-tensors.js'
import { runCli } from './support/run-cli.js'
import { packed } from './support/straight-math.js'
import { modulesOf, writeSideFiles } from './support/tiny-models.js'
import { torchFile } from './support/torch-file.js'
import { readTorchFile, writeTorchFile } from './support/torch-output.js'
import { workspace } from './support/workspace.js'

type Tensors = Readonly<Record<string, PlainTensor>>
type Said = Omit<Partial<MergeOptions>, 'base' | 'adapters' | 'out'>

const SAID: Said = { alpha: 8, enableLora: [true, false, true] }

/** One layer: its weight, and what alpha 8 makes of its factors. */
interface Layer {
  readonly weight: Matrix
  readonly update: Matrix
  readonly factors: Tensors
  readonly shape?: readonly number[]
}

function layer(module: string, seed: number, [out, inputs]: readonly [number, number], rank: number): Layer {
  const [A, B] = [seeded(seed, rank, inputs, 0.1), seeded(seed + 1, out, rank, 0.1)]
  const update = times(B, A).map((row) => row.map((value) => (value * 8) / rank))
  return { weight: seeded(seed + 2, out, inputs), update, factors: { [`${module}.lora_A`]: tensorOf(A), [`${module}.lora_B`]: tensorOf(B) } }
}

/** Every kind of layer that loralib has. */
function layers(): Record<string, Layer> {
  const plain = layer('fc', 1, [24, 16], 4)
  const stored = layer('fct', 11, [24, 16], 4)
  const embedding = layer('emb', 21, [16, 40], 2)
  const conv = layer('c', 31, [12, 15], 6)
  const first = layer('attn', 41, [10, 16], 3)
  const second = layer('attn', 51, [10, 16], 3)
  const both = (name: string): PlainTensor => {
    const [one, two] = [first.factors[name], second.factors[name]].map((tensor) => tensor ?? assert.fail())
    assert.ok(one && two)
    return { dtype: 'F32', shape: [2 * (one.shape[0] ?? 0), one.shape[1] ?? 0], bytes: new Uint8Array(Buffer.concat([one.bytes, two.bytes])) }
  }
  return {
    'fc.weight': plain,
    'fct.weight': { ...stored, weight: turned(stored.weight), update: turned(stored.update) },
    'emb.weight': { ...embedding, weight: turned(embedding.weight), update: turned(embedding.update) },
    // (out / groups · k x in · k), seen as (out x in x k x k); of rank r · k
    'c.conv.weight': {
      ...conv,
      update: rowsFrom(
        conv.update.map((row) => row.map((value) => value * 3)),
        0,
        12,
      ),
      shape: [4, 5, 3, 3],
    },
    'attn.weight': {
      weight: seeded(61, 30, 16),
      update: [...first.update, ...zeros(10, 16), ...second.update],
      factors: { 'attn.lora_A': both('attn.lora_A'), 'attn.lora_B': both('attn.lora_B') },
    },
  }
}

const LAYERS = layers()
const REST: Tensors = {
  'ln.weight': tensorOf([[1, 2, 3, 4]], [4]),
  'head.weight': tensorOf(seeded(71, 3, 16)),
  step: { dtype: 'I64', shape: [], bytes: new Uint8Array(8) },
}
const FACTORS: Tensors = Object.assign({}, ...Object.values(LAYERS).map(({ factors }) => factors)) as Tensors

function stored(dtype: string, values: Matrix, shape: readonly number[] = [values.length, values[0]?.length ?? 0]): PlainTensor {
  return { dtype, shape, bytes: packed(dtype, values.flat()) }
}

/** The weights as they are with so much of the update; rounded once. */
function weightsOf(dtype: string, share: number): Tensors {
  return Object.fromEntries(Object.entries(LAYERS).map(([name, { weight, update, shape }]) => [name, stored(dtype, plus(weight, update, share), shape)]))
}

interface Merged {
  readonly tensors: Map<string, PlainTensor>
  readonly plan: Plan
}

async function merged(t: TestContext, base: Tensors, full: Tensors, said: Said = SAID, weight = 1): Promise<Merged> {
  const root = workspace(t, 'full-state')
  const [out, adapters] = [join(root, 'out.pt'), [{ path: writeTorchFile(join(root, 'full.pt'), full), weight }]]
  const plan = await planMerge({ base: writeTorchFile(join(root, 'base.pt'), base), adapters, out, ...said })
  await execute(plan, { threads: 1 })
  return { tensors: await readTorchFile(out), plan }
}

/** The same file as base and adapter. */
async function alone(t: TestContext, full: Tensors, said: Said, weight = 1): Promise<Merged> {
  const root = workspace(t, 'full-state-alone')
  const [base, out] = [writeTorchFile(join(root, 'full.pt'), full), join(root, 'out.pt')]
  const plan = await planMerge({ base, adapters: [{ path: base, weight }], out, ...said })
  await execute(plan, { threads: 1 })
  return { tensors: await readTorchFile(out), plan }
}

function assertUpdatedOnce(tensors: ReadonlyMap<string, PlainTensor>): void {
  for (const [name, { weight, update }] of Object.entries(LAYERS)) assertNear(name, tensors.get(name), plus(weight, update))
}

const noteOf = ({ decisions }: Plan): string => decisions.find((one) => one.includes('full state dict')) ?? assert.fail(decisions.join('\n'))

describe('a full state dict of loralib beside its base', () => {
  it('that was saved while training gets the update of every kind of layer, once', async (t) => {
    const { tensors, plan } = await merged(t, { ...weightsOf('F32', 0), ...REST }, { ...weightsOf('F32', 0), ...FACTORS, ...REST })
    assertUpdatedOnce(tensors)
    assert.deepEqual([...tensors.keys()].sort(), [...Object.keys(LAYERS), ...Object.keys(REST)].sort())
    assert.match(noteOf(plan), /saved in train mode.*which is added: compared with the base on \d+ rows of 5 tensors$/)
    assert.equal(plan.adapters[0]?.kind, 'loralib LoRA (full state, train)')
  })

  for (const dtype of ['F32', 'F16', 'BF16'])
    // prettier-ignore
    for (const baseDtype of new Set(['F32', dtype]))
      it(`that was saved after eval() is taken as it is, in ${dtype} with a base of ${baseDtype}`, async (t) => {
        const saved = weightsOf(dtype, 1)
        const { tensors, plan } = await merged(t, { ...weightsOf(baseDtype, 0), ...REST }, { ...saved, ...FACTORS, ...REST })
        for (const [name, tensor] of Object.entries(saved)) assert.deepEqual([...valuesOf(tensors.get(name) ?? assert.fail(name))], [...valuesOf(tensor)], name)
        assert.match(noteOf(plan), /saved in eval mode.*nothing is added: compared with the base on \d+ rows of 5 tensors$/)
        const train = await merged(t, { ...weightsOf(baseDtype, 0), ...REST }, { ...weightsOf(dtype, 0), ...FACTORS, ...REST })
        assert.match(noteOf(train.plan), /saved in train mode/)
      })

  it('may have been turned to eval() and back many times, which leaves some units of the last place', async (t) => {
    for (const [share, mode] of [
      [0, 'train'],
      [1, 'eval'],
    ] as const) {
      // prettier-ignore
      const saved = Object.entries(weightsOf('F32', share)).map(([name, tensor]): [string, PlainTensor] => {
        const bits = new Int32Array(tensor.bytes.slice().buffer)
        bits.forEach((value, i) => (bits[i] = value === 0 ? 0 : value + (((i * 7) % 13) - 6)))
        return [name, { ...tensor, bytes: new Uint8Array(bits.buffer) }]
      })
      const { tensors, plan } = await merged(t, weightsOf('F32', 0), { ...Object.fromEntries(saved), ...FACTORS })
      assert.match(noteOf(plan), new RegExp(`saved in ${mode} mode`))
      if (mode === 'eval') for (const [name, { bytes }] of saved) assert.deepEqual(tensors.get(name)?.bytes, bytes, name)
    }
  })

  it('gives the values of what else was trained, by name, and leaves masks to the base', async (t) => {
    const mask = tensorOf(seeded(3, 1, 9), [1, 1, 3, 3])
    const base = {
      ...weightsOf('F32', 0),
      ...REST,
      cls: tensorOf([[5]], [1, 1]),
      'h.scale': tensorOf([[1, 2]], [2]),
      'h.offset.bias': tensorOf([[1, 2]], [2]),
      'h.attn.bias': mask,
    }
    const trained = {
      'ln.weight': tensorOf([[1, 2, 3, 5]], [4]),
      cls: tensorOf([[6]], [1, 1]),
      'h.scale': tensorOf([[1, 3]], [2]),
      'h.offset.bias': tensorOf([[0, 2]], [2]),
      'h.attn.bias': tensorOf(zeros(1, 9), [1, 1, 3, 3]),
      'h.attn.masked_bias': tensorOf([[-1e4]], []),
    }
    for (const share of [0, 1]) {
      const { tensors, plan } = await merged(t, base, { ...weightsOf('F32', share), ...REST, ...FACTORS, ...trained })
      assertUpdatedOnce(tensors)
      assert.match(noteOf(plan), /of the other tensors 4 differ from the base's, the file's are taken: "ln\.weight", "cls", "h\.scale", "h\.offset\.bias"$/)
      for (const name of ['ln.weight', 'cls', 'h.scale', 'h.offset.bias'] as const) assert.deepEqual(tensors.get(name)?.bytes, trained[name].bytes)
      assert.deepEqual(tensors.get('h.attn.bias')?.bytes, mask.bytes)
    }
  })

  it('is refused when its weights are neither, when alpha is wrong, or when the modes are mixed', async (t) => {
    const base = weightsOf('F32', 0)
    const other = { ...base, 'fct.weight': stored('F32', seeded(99, 16, 24)) }
    await assert.rejects(merged(t, base, { ...other, ...FACTORS }), (error) => {
      assert.ok(error instanceof MismatchError && error.place.tensor === 'fct.weight', String(error))
      return /neither the base's .* nor the base's plus/.test(error.message)
    })
    await assert.rejects(merged(t, base, { ...weightsOf('F32', 1), ...FACTORS }, { ...SAID, alpha: 16 }), /plus 0\.500 of the update: is --alpha 8 meant\?/)
    for (const dtype of ['BF16', 'F16'])
      await assert.rejects(
        merged(t, weightsOf(dtype, 0), { ...weightsOf(dtype, 1), ...FACTORS }, { ...SAID, alpha: 4000 }),
        MismatchError,
        'near to the base, beside such an update',
      )
    const mixed = { ...base, 'emb.weight': weightsOf('F32', 1)['emb.weight'] ?? assert.fail() }
    await assert.rejects(
      merged(t, base, { ...mixed, ...FACTORS }),
      (error) => error instanceof MismatchError && /in "emb\.weight" already, but not in "fc\.weight"/.test(error.message),
    )
  })

  it('is held against --state, which decides only where nothing can be seen', async (t) => {
    const base = weightsOf('F32', 0)
    const evaluated = { ...weightsOf('F32', 1), ...FACTORS }
    await assert.rejects(
      merged(t, base, evaluated, { ...SAID, state: 'train' }),
      (error) => error instanceof MismatchError && /saved in eval mode/.test(error.message),
    )
    await assert.rejects(
      merged(t, base, { ...base, ...FACTORS }, { ...SAID, state: 'eval' }),
      (error) => error instanceof MismatchError && /train mode/.test(error.message),
    )
    assertUpdatedOnce((await merged(t, base, evaluated, { ...SAID, state: 'eval' })).tensors)
    const { tensors, plan } = await merged(t, base, evaluated, { state: 'eval' })
    assertUpdatedOnce(tensors)
    assert.match(noteOf(plan), /as --state says; without --alpha this was not compared/)
  })

  it('is the same in both modes where B·A is zero, and asked for where rounding hides it', async (t) => {
    const base = {
      'fc.weight': stored(
        'BF16',
        seeded(5, 24, 16).map((row) => row.map((value) => 2 + value)),
      ),
    }
    const [A, B] = [tensorOf(seeded(6, 4, 16)), seeded(7, 24, 4)]
    const zero = await merged(t, base, { ...base, 'fc.lora_A': A, 'fc.lora_B': tensorOf(zeros(24, 4)) }, { alpha: 8 })
    assert.deepEqual(zero.tensors.get('fc.weight')?.bytes, base['fc.weight'].bytes)
    assert.match(noteOf(zero.plan), /B·A is zero, so both modes are the same/)
    const tiny = { ...base, 'fc.lora_A': A, 'fc.lora_B': tensorOf(B.map((row) => row.map((value) => value * 1e-12))) }
    await assert.rejects(merged(t, base, tiny, { alpha: 8 }), (error) => error instanceof UsageError && /cannot be seen.*--state eval/.test(error.message))
    for (const state of ['train', 'eval'] as const)
      assert.deepEqual((await merged(t, base, tiny, { alpha: 8, state })).tensors.get('fc.weight')?.bytes, base['fc.weight'].bytes)
  })

  it('is seen on the few rows that have an update: of tokens that were trained on', async (t) => {
    const [vocabulary, inputs] = [20_000, 8]
    const seen = new Set([7, 19_998])
    const [A, B] = [matrix(2, vocabulary, (i, j) => (seen.has(j) ? 0.5 + i : 0)), seeded(3, inputs, 2)]
    const W = seeded(4, vocabulary, inputs)
    const factors = { 'emb.lora_A': tensorOf(A), 'emb.lora_B': tensorOf(B) }
    const after = plus(W, turned(times(B, A)), 4)
    for (const [weights, mode] of [
      [W, 'train'],
      [after, 'eval'],
    ] as const) {
      // prettier-ignore
      const { tensors, plan } = await merged(t, { 'emb.weight': tensorOf(W) }, { 'emb.weight': tensorOf(weights), ...factors }, { alpha: 8 })
      assertNear('emb', tensors.get('emb.weight'), after)
      assert.match(noteOf(plan), new RegExp(`saved in ${mode} mode.*on 2 rows of 1 tensors`))
    }
  })

  it('may be deflated, and its weights stored as transposes', async (t) => {
    const root = workspace(t, 'full-state-deflated')
    const own = layer('fc', 1, [24, 16], 4)
    const storages = {
      '0': tensorOf(turned(plus(own.weight, own.update))).bytes,
      '1': own.factors['fc.lora_A']?.bytes ?? assert.fail(),
      '2': own.factors['fc.lora_B']?.bytes ?? assert.fail(),
    }
    const tensors = [
      { name: 'fc.weight', shape: [24, 16], strides: [1, 24], key: '0' },
      { name: 'fc.lora_A', shape: [4, 16], key: '1' },
      { name: 'fc.lora_B', shape: [24, 4], key: '2' },
    ]
    writeFileSync(join(root, 'full.pt'), torchFile(tensors, storages, { deflated: true }))
    const [base, out] = [writeTorchFile(join(root, 'base.pt'), { 'fc.weight': tensorOf(own.weight) }), join(root, 'out.pt')]
    const plan = await planMerge({ base, adapters: [{ path: join(root, 'full.pt') }], out, alpha: 8 })
    assert.match(noteOf(plan), /saved in eval mode/)
    await execute(plan, { threads: 1 })
    assertNear('fc', (await readTorchFile(out)).get('fc.weight'), plus(own.weight, own.update))
  })

  it('may have two names for one tensor, of which the base knows one', async (t) => {
    const root = workspace(t, 'full-state-alias')
    const own = layer('fc', 1, [24, 16], 4)
    const weight = plus(own.weight, own.update)
    const storages = {
      '0': tensorOf(weight).bytes,
      '1': own.factors['fc.lora_A']?.bytes ?? assert.fail(),
      '2': own.factors['fc.lora_B']?.bytes ?? assert.fail(),
    }
    const tensors = [
      { name: 'fc.weight', shape: [24, 16], key: '0' },
      { name: 'out.decoder.weight', shape: [24, 16], key: '0' },
      { name: 'fc.lora_A', shape: [4, 16], key: '1' },
      { name: 'fc.lora_B', shape: [24, 4], key: '2' },
    ]
    writeFileSync(join(root, 'full.pt'), torchFile(tensors, storages))
    const asked = { adapters: [{ path: join(root, 'full.pt') }], out: join(root, 'out.pt'), alpha: 8 }
    const plan = await planMerge({ ...asked, base: writeTorchFile(join(root, 'base.pt'), { 'fc.weight': tensorOf(own.weight) }) })
    assert.ok(plan.decisions.some((one) => /"out\.decoder" of the file is another name/.test(one)))
    await execute(plan, { threads: 1 })
    const merged = await readTorchFile(join(root, 'out.pt'))
    assert.deepEqual([...merged.keys()], ['fc.weight'])
    assertNear('fc', merged.get('fc.weight'), weight)
    const both = writeTorchFile(join(root, 'both.pt'), { 'fc.weight': tensorOf(own.weight), 'out.decoder.weight': tensorOf(own.weight) })
    await execute(await planMerge({ ...asked, base: both }), { threads: 1, force: true })
    assertNear('out', (await readTorchFile(join(root, 'out.pt'))).get('out.decoder.weight'), weight)
  })

  it('is refused when some weights are missing, stored in f64, or for a weight other than 1', async (t) => {
    const base = weightsOf('F32', 0)
    const { 'emb.weight': _one, ...incomplete } = base
    await assert.rejects(
      merged(t, base, { ...incomplete, ...FACTORS }),
      (error) => error instanceof MismatchError && /for "emb" factors alone/.test(error.message),
    )
    await assert.rejects(merged(t, base, { ...base, ...FACTORS }, SAID, 0.5), UnsupportedError)
    const { tensors } = await merged(t, base, { ...weightsOf('F32', 1), ...FACTORS }, SAID, 0)
    for (const [name, { bytes }] of Object.entries(base)) assert.deepEqual(tensors.get(name)?.bytes, bytes)
  })
})

describe('a full state dict of loralib that is its own base', () => {
  it('needs --state, and does what it says', async (t) => {
    const [train, evaluated] = [0, 1].map((share) => ({ ...weightsOf('F32', share), ...FACTORS, ...REST }))
    assert.ok(train && evaluated)
    await assert.rejects(alone(t, train, SAID), (error) => error instanceof UsageError && /--state eval.*--state train/.test(error.message))
    const added = await alone(t, train, { ...SAID, state: 'train' })
    assertUpdatedOnce(added.tensors)
    assert.match(noteOf(added.plan), /train mode.*as --state train says$/)
    const kept = await alone(t, evaluated, { state: 'eval' })
    for (const [name, { bytes }] of Object.entries(weightsOf('F32', 1))) assert.deepEqual(kept.tensors.get(name)?.bytes, bytes, name)
    for (const { tensors } of [added, kept]) assert.deepEqual([...tensors.keys()].sort(), [...Object.keys(LAYERS), ...Object.keys(REST)].sort())
    await assert.rejects(alone(t, evaluated, { state: 'eval' }, -1), (error) => error instanceof UsageError && /leave the weight out/.test(error.message))
    await assert.rejects(alone(t, { ...train, ...FACTORS }, {}), (error) => error instanceof UsageError && /full state dict.*--alpha/.test(error.message))
    const away = await alone(t, train, { ...SAID, state: 'train' }, -1)
    for (const [name, { weight, update }] of Object.entries(LAYERS)) assertNear(name, away.tensors.get(name), plus(weight, update, -1))
  })

  it('is no base for other adapters: factors in it would be carried along, or merged twice', async (t) => {
    await assert.rejects(
      merged(t, { ...weightsOf('F32', 0), ...FACTORS }, FACTORS),
      (error) => error instanceof UnsupportedError && /lora_A".*among the weights of the base.*--state train or eval/.test(error.message),
    )
  })

  it('is told what to say from the command line, and told what was done in receipt and JSON', async (t) => {
    const root = workspace(t, 'full-state-cli')
    writeTorchFile(join(root, 'full.pt'), { ...weightsOf('F32', 1), ...FACTORS })
    writeTorchFile(join(root, 'base.pt'), weightsOf('F32', 0))
    const run = (...args: string[]): ReturnType<typeof runCli> => runCli('lora-merge', [...args, '--force'], { cwd: root })
    const nothing = await run('full.pt', 'full.pt', 'out.pt')
    assert.equal(nothing.code, 2)
    assert.match(nothing.stderr, /full state dict.*--alpha.*--state train with --alpha, or --state eval alone/)
    assert.equal((await run('full.pt', 'full.pt', 'out.pt', '--alpha', '8', '--enable-lora', 'q,v')).code, 2)
    const told = await run('base.pt', 'full.pt', 'out.pt', '--alpha', '8', '--enable-lora', 'q,v', '--json')
    assert.equal(told.code, 0, told.stderr)
    assert.match(told.stdout, /saved in eval mode/)
    const receipt = JSON.parse(readFileSync(join(root, 'out.pt.receipt.json'), 'utf8')) as { decisions: string[]; adapters: { kind: string }[] }
    assert.ok(receipt.decisions.some((one) => /saved in eval mode.*nothing is added/.test(one)))
    assert.equal(receipt.adapters[0]?.kind, 'loralib LoRA (full state, eval)')
    assert.equal((await run('full.pt', 'full.pt', 'out.pt', '--state', 'eval')).code, 0)
    const unused = await runCli('to-gguf', ['fixtures/tiny-story', '--adapter', 'fixtures/ship-log-lora', '--state', 'eval', '-o', join(root, 'x.gguf')])
    assert.equal(unused.code, 2)
    assert.match(unused.stderr, /--state is for .*full state dicts of loralib/)
  })
})

describe('a full state dict of a language model', () => {
  const STORY = join(FIXTURES, 'tiny-story')
  const MODULES = modulesOf(readSafetensors(STORY), /\.(?:q_proj|v_proj|down_proj)\.weight$/)

  /** The example model with factors on some modules, as torch saves it: the output has the embedding's bytes, where it shares them. */
  async function storyIn(folder: string, mode: 'train' | 'eval'): Promise<string> {
    const factors = Object.entries(MODULES).flatMap(([module, [rows, cols]], i): [string, PlainTensor][] => [
      [`${module}.lora_A`, tensorOf(seeded(2 * i + 1, 4, cols, 0.05))],
      [`${module}.lora_B`, tensorOf(seeded(2 * i + 2, rows, 4, 0.05))],
    ])
    const lora = writeTorchFile(join(folder, 'lora.pt'), Object.fromEntries(factors))
    const asked = { base: STORY, alpha: 8, fanInFanOut: false, receipt: false } as const
    const out = join(folder, 'merged.safetensors')
    await execute(await planMerge({ ...asked, adapters: [{ path: lora, weight: mode === 'eval' ? 1 : 0 }], out, dtype: 'F32' }), { force: true })
    const path = join(folder, `${mode}.pt`)
    const weights = [...readSafetensors(out), ...factors]
    const head = weights.findIndex(([name]) => name === 'model.embed_tokens.weight')
    const keys = [...weights.map(([name, { shape }], i) => ({ name, shape, key: String(i) }))]
    const ties = weights.every(([name]) => name !== 'lm_head.weight')
    const tied = ties ? [{ name: 'lm_head.weight', shape: weights[head]?.[1].shape ?? [], key: String(head) }] : []
    writeFileSync(path, torchFile([...keys, ...tied], Object.fromEntries(weights.map(([, { bytes }], i) => [String(i), bytes]))))
    return path
  }

  for (const mode of ['train', 'eval'] as const) {
    it(`saved in ${mode} mode goes into a GGUF in one pass, with the bytes of the way through an f32 folder`, async (t) => {
      const folder = workspace(t, 'full-state-gguf')
      const [path, base] = [await storyIn(folder, mode), STORY]
      const asked = { alpha: 8, fanInFanOut: false, receipt: false } as const
      const plan = await planMerge({ ...asked, base, adapters: [{ path }], out: join(folder, 'steps'), dtype: 'F32' })
      await execute(plan)
      assert.match(noteOf(plan), new RegExp(`saved in ${mode} mode`))
      const gguf = { outtype: 'f32', modelfile: false, receipt: false } as const
      await execute(await planGguf({ ...asked, ...gguf, model: base, adapters: [{ path }], outfile: join(folder, 'fused.gguf') }))
      await execute(await planGguf({ ...gguf, model: join(folder, 'steps'), outfile: join(folder, 'steps.gguf') }))
      assert.ok(readFileSync(join(folder, 'fused.gguf')).equals(readFileSync(join(folder, 'steps.gguf'))))
      assert.deepEqual([...readSafetensors(join(folder, 'steps')).keys()].sort(), [...readSafetensors(base).keys()].sort(), 'what was tied is tied')
      await assert.rejects(
        planGguf({ ...asked, ...gguf, model: join(folder, 'fused.gguf'), adapters: [{ path }], outfile: join(folder, 'x.gguf') }),
        UnsupportedError,
      )
    })
  }

  it('that lies in the folder of its model is merged there, and not taken for a plain model', async (t) => {
    const folder = workspace(t, 'full-state-folder')
    const path = await storyIn(folder, 'eval')
    const model = writeSideFiles(join(folder, 'model'), { 'pytorch_model.bin': readFileSync(path) })
    for (const file of readdirSync(STORY))
      if (!file.includes('safetensors')) writeSideFiles(model, { [file]: readFileSync(join(FIXTURES, 'tiny-story', file)) })
    const gguf = { outtype: 'f32', modelfile: false, receipt: false } as const
    await assert.rejects(
      planGguf({ ...gguf, model, outfile: join(folder, 'x.gguf') }),
      (error) => error instanceof UnsupportedError && /--state train or eval/.test(error.message),
    )
    const adapters = [{ path: join(model, 'pytorch_model.bin') }]
    await execute(await planGguf({ ...gguf, model, adapters, state: 'eval', outfile: join(folder, 'own.gguf') }))
    await execute(
      await planGguf({
        ...gguf,
        model: STORY,
        adapters: [{ path: join(folder, 'lora.pt') }],
        alpha: 8,
        fanInFanOut: false,
        outfile: join(folder, 'factors.gguf'),
      }),
    )
    const [own, factors] = [await readGguf(join(folder, 'own.gguf')), await readGguf(join(folder, 'factors.gguf'))]
    for (const { name, bytes } of factors.tensors) assert.ok(Buffer.from(own.tensor(name).bytes).equals(bytes), name)
  })
})

describe('golden loralib layers as full state dicts', { skip: SKIP_WITHOUT_GOLDEN }, () => {
  const cases = GOLDEN === undefined ? [] : readdirSync(join(GOLDEN, 'merge')).filter((name) => name.startsWith('loralib_'))
  for (const name of cases.filter((one) => existsSync(join(GOLDEN ?? '', 'merge', one, 'expected'))))
    // prettier-ignore
    for (const [mode, weights] of [['train', 'base'], ['eval', 'expected']] as const)
      it(`${name} saved in ${mode} mode is what loralib makes of it`, async (t) => {
        const [root, folder] = [workspace(t, 'full-state-golden'), join(GOLDEN ?? '', 'merge', name)]
        const [saved, expected] = [
          weights === 'base' ? await readTorchFile(join(folder, 'base', 'pytorch_model.bin')) : readSafetensors(join(folder, 'expected')),
          readSafetensors(join(folder, 'expected')),
        ]
        const [lora = ''] = readdirSync(join(folder, 'adapter')).filter((file) => file.endsWith('none.pt'))
        const factors = [...(await readTorchFile(join(folder, 'adapter', lora)))].filter(([key]) => key.includes('lora_'))
        const path = writeTorchFile(join(root, 'full.pt'), Object.fromEntries([...saved, ...factors]))
        const said = { alpha: name.includes('embedding') ? 6 : 8, ...(name.includes('merged') ? { enableLora: [true, name.includes('ttt'), true] } : {}) }
        const plan = await planMerge({ base: join(folder, 'base'), adapters: [{ path }], out: join(root, 'out'), ...said })
        assert.match(noteOf(plan), new RegExp(`saved in ${mode} mode`))
        await execute(plan)
        const ours = readSafetensors(join(root, 'out'))
        for (const [tensor, { bytes }] of expected)
          if (mode === 'eval') assert.deepEqual(ours.get(tensor)?.bytes, bytes, tensor)
          else if (factors.some(([key]) => tensor.startsWith(key.replace(/lora_[AB]$/, '')))) assertNear(tensor, ours.get(tensor), [[...new Float32Array(bytes.slice().buffer)]])
      })
})
