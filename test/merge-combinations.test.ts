/** --combine svd, ties, magnitude_prune (and linear): PEFT's results on its own adapters, and what must hold for any. */
import assert from 'node:assert/strict'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { MismatchError, UnsupportedError, UsageError } from '../src/core/errors.js'
import { execute, planGguf, planMerge, type AdapterOption, type MergeOptions } from '../src/index.js'
import { assertClose } from './support/close.js'
import { ggufLoraOf } from './support/gguf-lora-file.js'
import { FIXTURES } from './support/paths.js'
import { readSafetensors, valuesOf, writeSafetensors, type PlainTensor } from './support/plain-tensors.js'
import { refused } from './support/refused.js'
import { runCli, runCliOk } from './support/run-cli.js'
import { smallLlamaModules, writeSmallLlama } from './support/small-llama.js'
import { seededTensor, writeAdapter, writeSideFiles, writeWeights } from './support/tiny-models.js'
import { workspace } from './support/workspace.js'

type Wishes = Partial<MergeOptions>

async function merged(out: string, base: string, adapters: readonly AdapterOption[], wishes: Wishes): Promise<Map<string, PlainTensor>> {
  await execute(await planMerge({ base, adapters, out, dtype: 'F32', ...wishes }))
  return readSafetensors(out)
}

const METHODS: readonly Wishes[] = [
  { combine: 'linear' },
  { combine: 'svd' },
  { combine: 'svd', svdRank: 6 },
  { combine: 'ties', density: 0.4 },
  { combine: 'ties', density: 0.7, majoritySign: 'frequency' },
  { combine: 'magnitude_prune', density: 0.3 },
]

/** What a case of the fixtures asks for, in PEFT's words. */
interface Case {
  readonly name: string
  readonly adapters: Readonly<Record<string, number>>
  readonly like_peft: boolean
  readonly options: {
    readonly combination_type: NonNullable<Wishes['combine']>
    readonly density?: number
    readonly majority_sign_method?: 'total' | 'frequency'
    readonly svd_rank?: number
  }
}

describe('adapters combined as PEFT does', () => {
  const folder = join(FIXTURES, 'combinations')
  for (const { name, adapters, like_peft, options } of JSON.parse(readFileSync(join(folder, 'cases.json'), 'utf8')) as Case[]) {
    it(`are equal to PEFT's on Conv1D layers and embeddings with many equal elements: ${name}`, async (t) => {
      const given = Object.entries(adapters).map(([adapter, weight]) => ({ path: join(folder, adapter), weight }))
      const wishes: Wishes = {
        combine: options.combination_type,
        density: options.density,
        majoritySign: options.majority_sign_method,
        svdRank: options.svd_rank,
        likePeft: like_peft,
      }
      const ours = await merged(join(workspace(t), 'out'), join(folder, 'base'), given, wishes)
      const before = readSafetensors(join(folder, 'base'))
      const expected = readSafetensors(join(folder, `expected-${name}.safetensors`))
      assert.ok(expected.size >= 2)
      for (const [tensor, wanted] of before) {
        const theirs = expected.get(tensor)
        if (theirs === undefined) assert.deepEqual(ours.get(tensor)?.bytes, wanted.bytes, tensor)
        else assertClose(ours.get(tensor), valuesOf(theirs), tensor)
      }
    })
  }
})

/** A llama with three adapters, of which each module has one, two or three. */
function threeAdapters(folder: string): { base: string; adapters: AdapterOption[] } {
  const all = smallLlamaModules(0, 'q_proj', 'down_proj')
  const adapters = [
    { path: writeAdapter(join(folder, 'a'), { modules: { ...all, ...smallLlamaModules(1, 'v_proj') }, seed: 1, alpha: 8 }), weight: 0.7 },
    { path: writeAdapter(join(folder, 'b'), { modules: all, seed: 2, alpha: 3 }), weight: -0.4 },
    { path: writeAdapter(join(folder, 'c'), { modules: { ...all, ...smallLlamaModules(1, 'q_proj') }, seed: 3, alpha: 1, dtype: 'BF16' }), weight: 2 },
  ]
  return { base: writeSmallLlama(folder, () => 'F32'), adapters }
}

function assertSameBytes(ours: ReadonlyMap<string, PlainTensor>, theirs: ReadonlyMap<string, PlainTensor>): void {
  assert.deepEqual([...ours.keys()], [...theirs.keys()])
  for (const [name, { bytes }] of ours) assert.deepEqual(bytes, theirs.get(name)?.bytes, name)
}

describe('combinations of adapters', () => {
  it('give the same bytes in any order of adapters, in tiles of any size, and beside an adapter of weight 0', async (t) => {
    const folder = workspace(t)
    const { base, adapters } = threeAdapters(folder)
    const idle = { path: writeAdapter(join(folder, 'd'), { modules: smallLlamaModules(0, 'q_proj'), seed: 4 }), weight: 0 }
    for (const [i, wishes] of METHODS.entries()) {
      const wanted = await merged(join(folder, `w${i}`), base, adapters, wishes)
      assertSameBytes(await merged(join(folder, `x${i}`), base, adapters.toReversed(), wishes), wanted)
      assertSameBytes(await merged(join(folder, `y${i}`), base, adapters, { ...wishes, tileElements: 300 }), wanted)
      assertSameBytes(await merged(join(folder, `z${i}`), base, [idle, ...adapters], wishes), wanted)
    }
  })

  it('go straight into a GGUF as they do through a merged folder', async (t) => {
    const folder = workspace(t)
    const { base, adapters } = threeAdapters(folder)
    const plain = join(folder, 'plain.gguf')
    await execute(await planGguf({ model: base, noVocab: true, outtype: 'f32', outfile: plain, modelName: 'm' }))
    for (const [i, wishes] of METHODS.entries()) {
      const [direct, through, into] = ['direct', 'through', 'into'].map((name) => join(folder, `${name}${i}.gguf`)) as [string, string, string]
      const common = { noVocab: true, outtype: 'f32', modelName: 'm' } as const
      await merged(join(folder, `merged${i}`), base, adapters, wishes)
      await execute(await planGguf({ ...common, model: join(folder, `merged${i}`), outfile: through }))
      await execute(await planGguf({ ...common, ...wishes, model: base, adapters, outfile: direct }))
      await execute(await planGguf({ ...wishes, model: plain, adapters, outfile: into }))
      assert.deepEqual(readFileSync(direct), readFileSync(through), JSON.stringify(wishes))
      assert.deepEqual(readFileSync(into), readFileSync(through), `into a GGUF: ${JSON.stringify(wishes)}`)
      assert.notDeepEqual(readFileSync(direct), readFileSync(plain))
    }
  })

  it('by svd are the sum, byte for byte, where no component is lost', async (t) => {
    const folder = workspace(t)
    const { base, adapters } = threeAdapters(folder)
    const sum = await merged(join(folder, 'sum'), base, adapters, {})
    assertSameBytes(await merged(join(folder, 'svd'), base, adapters, { combine: 'svd', svdRank: 12 }), sum)
    const cut = await merged(join(folder, 'cut'), base, adapters, { combine: 'svd' })
    // a module of one adapter has no more components than that: only the others are cut
    assert.deepEqual(cut.get('model.layers.1.self_attn.v_proj.weight')?.bytes, sum.get('model.layers.1.self_attn.v_proj.weight')?.bytes)
    assert.notDeepEqual(cut.get('model.layers.0.self_attn.q_proj.weight')?.bytes, sum.get('model.layers.0.self_attn.q_proj.weight')?.bytes)
  })

  it('by svd take adapters of different ranks, and cut single ones that have more', async (t) => {
    const folder = workspace(t)
    const base = writeSmallLlama(folder, () => 'F32')
    const [q, v] = [smallLlamaModules(0, 'q_proj'), smallLlamaModules(0, 'v_proj')]
    const adapters = [
      { path: writeAdapter(join(folder, 'a'), { modules: { ...q, ...v }, rank: 6, seed: 1 }) },
      { path: writeAdapter(join(folder, 'b'), { modules: q, rank: 2, seed: 2 }) },
    ]
    const name = (module: string): string => `model.layers.0.self_attn.${module}.weight`
    const sum = await merged(join(folder, 'sum'), base, adapters, {})
    const [kept, cut] = [
      await merged(join(folder, 'kept'), base, adapters, { combine: 'svd' }),
      await merged(join(folder, 'cut'), base, adapters, { combine: 'svd', svdRank: 2 }),
    ]
    assert.deepEqual(kept.get(name('v_proj'))?.bytes, sum.get(name('v_proj'))?.bytes)
    assert.notDeepEqual(cut.get(name('v_proj'))?.bytes, sum.get(name('v_proj'))?.bytes)
  })

  it('of two adapters that keep all elements are linear, byte for byte', async (t) => {
    const folder = workspace(t)
    const { base, adapters } = threeAdapters(folder)
    const two = adapters.slice(0, 2)
    const linear = await merged(join(folder, 'linear'), base, two, { combine: 'linear' })
    assertSameBytes(await merged(join(folder, 'pruned'), base, two, { combine: 'magnitude_prune', density: 1 }), linear)
  })

  it('of one adapter are what it does, and say so', async (t) => {
    const folder = workspace(t)
    const { base, adapters } = threeAdapters(folder)
    const one = adapters.slice(0, 1)
    const sum = await merged(join(folder, 'sum'), base, one, {})
    for (const [i, wishes] of METHODS.entries()) {
      const plan = await planMerge({ base, adapters: one, out: join(folder, `o${i}`), dtype: 'F32', ...wishes })
      assert.match(plan.decisions.join('\n'), new RegExp(`${wishes.combine} needs several adapters: one is added as it is`))
      await execute(plan)
      assertSameBytes(readSafetensors(join(folder, `o${i}`)), sum)
    }
  })

  it('of LoRAs in GGUF are those of the PEFT adapters that they were made from', async (t) => {
    const folder = workspace(t)
    const base = writeSmallLlama(folder, () => 'F32')
    const modules = { ...smallLlamaModules(0, 'q_proj', 'v_proj'), ...smallLlamaModules(1, 'k_proj') }
    const adapters = [1, 2].map((seed) => ({ path: writeAdapter(join(folder, `a${seed}`), { modules, seed, alpha: 6 }), weight: seed - 1.6 }))
    const files = adapters.map(({ path, weight }, i) => ({ path: ggufLoraOf(path, join(folder, `a${i}.gguf`), 6, { q: 4, k: 2 }), weight }))
    for (const [i, wishes] of METHODS.entries()) {
      const [ours, theirs] = [await merged(join(folder, `g${i}`), base, files, wishes), await merged(join(folder, `p${i}`), base, adapters, wishes)]
      for (const [name, tensor] of theirs) assertClose(ours.get(name), valuesOf(tensor), `${wishes.combine}: ${name}`)
    }
  })

  it('are the same in a base that keeps the modules of both as rows of one tensor', async (t) => {
    const folder = workspace(t)
    const [experts, rows, cols] = [2, 6, 10]
    const stem = 'model.layers.0.mlp.experts'
    const names = Array.from({ length: experts }, (_, expert) => ['gate_proj', 'up_proj'].map((part) => `${stem}.${expert}.${part}`)).flat()
    const apart = names.map((_, i) => seededTensor(i + 1, 'F32', [rows, cols]))
    const fused = { dtype: 'F32', shape: [experts, 2 * rows, cols], bytes: Buffer.concat(apart.map(({ bytes }) => bytes)) }
    const bases = [
      writeWeights(join(folder, 'apart'), { 'model.safetensors': Object.fromEntries(names.map((name, i) => [`${name}.weight`, apart[i] ?? assert.fail()])) }),
      writeWeights(join(folder, 'fused'), { 'model.safetensors': { [`${stem}.gate_up_proj`]: fused } }),
    ] as const
    const modulesOf = (some: readonly string[]): Record<string, [number, number]> => Object.fromEntries(some.map((name) => [name, [rows, cols]]))
    const adapters = [
      { path: writeAdapter(join(folder, 'a'), { modules: modulesOf(names), seed: 1 }), weight: 0.7 },
      { path: writeAdapter(join(folder, 'b'), { modules: modulesOf(names.slice(1)), seed: 2 }), weight: -0.5 },
    ]
    for (const [i, wishes] of METHODS.entries()) {
      const ofApart = await merged(join(folder, `x${i}`), bases[0], adapters, wishes)
      const ofFused = await merged(join(folder, `y${i}`), bases[1], adapters, { ...wishes, tileElements: 30 })
      const joined = Buffer.concat(names.map((name) => ofApart.get(`${name}.weight`)?.bytes ?? assert.fail()))
      assert.deepEqual(Buffer.from(ofFused.get(`${stem}.gate_up_proj`)?.bytes ?? []), joined, JSON.stringify(wishes))
      assert.notDeepEqual(joined, fused.bytes)
    }
  })

  it('leave what only one adapter trains as a whole', async (t) => {
    const folder = workspace(t)
    const base = writeSmallLlama(folder, () => 'F32')
    const modules = smallLlamaModules(0, 'q_proj')
    const [a, b] = [1, 2].map((seed) => ({ path: writeAdapter(join(folder, `a${seed}`), { modules, seed, factor: 0.3 }) })) as [AdapterOption, AdapterOption]
    const head = readSafetensors(base).get('lm_head.weight') ?? assert.fail()
    const values = new Uint8Array(head.bytes.length).fill(0x3e)
    const tensors = { ...Object.fromEntries(readSafetensors(a.path)), 'base_model.model.lm_head.weight': { ...head, bytes: values } }
    writeSafetensors(join(a.path, 'adapter_model.safetensors'), tensors)
    const ours = await merged(join(folder, 'out'), base, [a, b], { combine: 'ties', density: 0.5 })
    assert.deepEqual(ours.get('lm_head.weight')?.bytes, values)
  })
})

describe('commands with --combine', () => {
  it('say in receipts and plans what was done, and end with the codes of their errors', async (t) => {
    const folder = workspace(t)
    const { base, adapters } = threeAdapters(folder)
    const typed = adapters.slice(0, 2).map(({ path, weight }) => `${path}@${weight}`)
    const out = join(folder, 'out.safetensors')
    const options = ['--combine', 'TIES', '--density', '0.5', '--majority_sign', 'frequency']
    const { stdout } = await runCliOk('lora-merge', [base, ...typed, out, ...options, '--json'])
    assert.match(stdout, /the largest 50 % of each, where their signs agree \(ties, majority by frequency\)/)
    const receipt = JSON.parse(readFileSync(`${out}.receipt.json`, 'utf8')) as { options: Record<string, unknown> }
    assert.deepEqual([receipt.options['combine'], receipt.options['density'], receipt.options['majoritySign']], ['ties', 0.5, 'frequency'])
    const planned = await runCliOk('to-gguf', [
      base,
      ...typed.flatMap((one) => ['--adapter', one]),
      '--no-vocab',
      '--dry-run',
      '--combine',
      'svd',
      '--svd-rank',
      '3',
    ])
    assert.match(planned.stdout, /cut to its 3 largest singular components/)
    for (const [code, wrong] of [
      [4, ['--combine', 'dare_linear']],
      [2, ['--combine', 'ties']],
      [2, ['--svd-rank', '3']],
    ] as const)
      assert.equal((await runCli('lora-merge', [base, ...typed, join(folder, 'x'), ...wrong])).code, code, wrong.join(' '))
  })
})

describe('combinations of adapters that are refused', () => {
  it('are those of other kinds than plain LoRA, and of factors that differ in rank', async (t) => {
    const folder = workspace(t)
    const { base, adapters } = threeAdapters(folder)
    const [, b] = adapters as [AdapterOption, AdapterOption]
    const ofRank2 = { path: writeAdapter(join(folder, 'r2'), { modules: smallLlamaModules(0, 'q_proj'), rank: 2, seed: 9 }) }
    for (const wishes of METHODS.filter(({ combine }) => combine !== 'svd')) {
      const attempt = merged(join(folder, 'x'), base, [ofRank2, b], wishes)
      await assert.rejects(attempt, refused(MismatchError, new RegExp(`has ranks \\d and \\d in the adapters: --combine ${wishes.combine} .*use sum or svd`)))
    }
    const ia3 = { path: join(folder, 'ia3') }
    writeSideFiles(ia3.path, {
      'adapter_config.json': { peft_type: 'IA3', task_type: 'CAUSAL_LM', target_modules: ['v_proj'], feedforward_modules: [], fan_in_fan_out: false },
    })
    const factors = { dtype: 'F32', shape: [64, 1], bytes: new Uint8Array(new Float32Array(64).fill(2).buffer) }
    writeSafetensors(join(ia3.path, 'adapter_model.safetensors'), { 'base_model.model.model.layers.0.self_attn.v_proj.ia3_l': factors })
    for (const wishes of METHODS.filter(({ combine }) => combine !== 'linear')) {
      const attempt = merged(join(folder, 'x'), base, [ia3, b], wishes)
      await assert.rejects(attempt, refused(UnsupportedError, new RegExp(`changed by rescale .*--combine ${wishes.combine} is for factors of plain LoRA only`)))
    }
    // experts in one stack: each is a part of its factors
    const stem = 'model.layers.0.mlp.experts'
    const shapes = { gate_proj: [5, 8], up_proj: [5, 8], down_proj: [8, 5] } as const
    const weights = Object.entries(shapes).flatMap(([part, shape], i) =>
      [0, 1].map((expert): [string, PlainTensor] => [`${stem}.${expert}.${part}.weight`, seededTensor(2 * i + expert, 'F32', shape)]),
    )
    const moe = writeWeights(join(folder, 'moe'), { 'model.safetensors': Object.fromEntries(weights) })
    const stack = { r: 4, peft_version: '0.21.2', target_modules: [], target_parameters: ['gate_up_proj', 'down_proj'], rank_pattern: { experts: 4 } }
    const stacks = [1, 2].map((seed) => ({
      path: writeAdapter(join(folder, `s${seed}`), { modules: { [`${stem}.base_layer`]: [10, 8], [stem]: [8, 5] }, rank: 8, seed, config: stack }),
    }))
    // an expert's module in one adapter, the stack in the other
    const single = { path: writeAdapter(join(folder, 's3'), { modules: { [`${stem}.1.up_proj`]: [5, 8] }, rank: 4, seed: 3 }) }
    const fused = { dtype: 'F32', shape: [2, 10, 8], bytes: new Uint8Array(640) }
    const stacked = writeWeights(join(folder, 'fused'), { 'model.safetensors': { [`${stem}.gate_up_proj`]: fused, [`${stem}.down_proj`]: { ...fused, shape: [2, 8, 5], bytes: new Uint8Array(320) } } }) // prettier-ignore
    await assert.rejects(
      merged(join(folder, 'x'), stacked, [stacks[0] ?? single, single], { combine: 'linear' }),
      refused(
        UnsupportedError,
        /is changed by module .* and, in other rows, by .* of another adapter: --combine linear is for modules that are the same in all/,
      ),
    )
    const attempt = merged(join(folder, 'x'), moe, stacks, { combine: 'ties', density: 0.5 })
    await assert.rejects(attempt, refused(UnsupportedError, /takes a part of larger factors .*--combine ties is for factors of plain LoRA only/))
    assert.equal(existsSync(join(folder, 'x')), false)
  })

  it('are those whose options do not fit', async (t) => {
    const folder = workspace(t)
    const { base, adapters } = threeAdapters(folder)
    const cases: readonly (readonly [Wishes, RegExp])[] = [
      [{ combine: 'ties' }, /--combine ties needs --density/],
      [{ combine: 'magnitude_prune', density: 1.5 }, /--density is 1.5; a number above 0 and at most 1/],
      [{ combine: 'ties', density: Number.NaN }, /--density is NaN/],
      [{ combine: 'ties', density: 0 }, /--density is 0/],
      [{ combine: 'svd', density: 0.5 }, /--density is for --combine ties and magnitude_prune, not for svd/],
      [{ density: 0.5 }, /--density is for --combine ties and magnitude_prune, not for sum/],
      [{ combine: 'magnitude_prune', density: 0.5, majoritySign: 'total' }, /--majority-sign is for --combine ties, not for magnitude_prune/],
      [{ combine: 'linear', svdRank: 2 }, /--svd-rank is for --combine svd, not for linear/],
      [{ combine: 'svd', svdRank: 0 }, /--svd-rank is 0; a whole number from 1/],
    ]
    for (const [wishes, reason] of cases) {
      await assert.rejects(planMerge({ base, adapters, out: join(folder, 'x'), ...wishes }), refused(UsageError, reason))
      await assert.rejects(planGguf({ model: base, adapters, noVocab: true, ...wishes }), refused(UsageError, reason))
    }
  })
})
