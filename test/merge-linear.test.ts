/** --combine linear: PEFT's combination of factors, against its own results and against the formula in f64. */
import assert from 'node:assert/strict'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { combineOptions, parseCombine } from '../src/cli/combine-options.js'
import { MismatchError, UnsupportedError, UsageError } from '../src/core/errors.js'
import { execute, planGguf, planMerge, type AdapterOption } from '../src/index.js'
import { assertClose } from './support/close.js'
import { GOLDEN, FIXTURES } from './support/paths.js'
import { readSafetensors, valuesOf, type PlainTensor } from './support/plain-tensors.js'
import { refused } from './support/refused.js'
import { smallLlamaModules, writeSmallLlama } from './support/small-llama.js'
import { writeAdapter } from './support/tiny-models.js'
import { workspace } from './support/workspace.js'

async function merged(out: string, base: string, adapters: readonly AdapterOption[], combine: 'linear' | 'sum' = 'linear'): Promise<Map<string, PlainTensor>> {
  await execute(await planMerge({ base, adapters, out, dtype: 'F32', combine }))
  return readSafetensors(out)
}

/** W + (Σ √|c|·B) · (Σ sign(c)·√|c|·A), in f64. */
function linearly(W: Float64Array, cols: number, parts: readonly { A: Float64Array; B: Float64Array; c: number }[], rank: number): Float64Array {
  const sum = (of: 'A' | 'B'): Float64Array =>
    parts.reduce((all, part) => {
      const factor = Math.sqrt(Math.abs(part.c)) * (of === 'A' ? Math.sign(part.c) : 1)
      return part[of].map((value, i) => (all[i] ?? 0) + factor * value)
    }, new Float64Array(0))
  const [A, B] = [sum('A'), sum('B')]
  return W.map((value, i) => {
    for (let k = 0; k < rank; k++) value += (B[Math.floor(i / cols) * rank + k] ?? 0) * (A[k * cols + (i % cols)] ?? 0)
    return value
  })
}

describe('adapters combined linearly', () => {
  for (const root of [join(FIXTURES, 'golden', 'merge'), ...(GOLDEN === undefined ? [] : [join(GOLDEN, 'merge')])]) {
    const folder = join(root, 'two_adapters')
    for (const [first, second] of [
      [0.7, 0.3],
      [1, 1],
    ] as const) {
      const expected = join(folder, `expected-linear-${first}-${second}`)
      if (!existsSync(expected)) continue
      it(`equal PEFT's with weights ${first} and ${second}`, async (t) => {
        const adapters = [
          { path: join(folder, 'adapter'), weight: first },
          { path: join(folder, 'adapter-b'), weight: second },
        ]
        const ours = await merged(join(workspace(t), 'out'), join(folder, 'base'), adapters)
        for (const [name, tensor] of readSafetensors(expected)) assertClose(ours.get(name), valuesOf(tensor), name)
      })
    }
  }

  it('follow the formula for any weights, three of them and negative ones, where modules are in some of them only', async (t) => {
    const folder = workspace(t)
    const base = writeSmallLlama(folder, () => 'F32')
    const both = { ...smallLlamaModules(0, 'q_proj', 'down_proj') }
    const given = [
      { path: writeAdapter(join(folder, 'a'), { modules: { ...both, ...smallLlamaModules(1, 'v_proj') }, seed: 1, alpha: 8 }), weight: 0.7 },
      { path: writeAdapter(join(folder, 'b'), { modules: both, seed: 2, alpha: 3 }), weight: -0.4 },
      { path: writeAdapter(join(folder, 'c'), { modules: smallLlamaModules(0, 'q_proj'), seed: 3, alpha: 1 }), weight: 2 },
    ]
    const scales = [8, 3, 1].map((alpha, i) => (alpha / 4) * (given[i]?.weight ?? 0))
    const [ours, before, turned] = [
      await merged(join(folder, 'out'), base, given),
      readSafetensors(base),
      await merged(join(folder, 'turned'), base, given.toReversed()),
    ]
    const factors = given.map(({ path }) => readSafetensors(path))
    for (const [name, tensor] of before) {
      const key = `base_model.model.${name.replace(/\.weight$/, '')}`
      const parts = factors.flatMap((one, i) => {
        const [A, B] = [one.get(`${key}.lora_A.weight`), one.get(`${key}.lora_B.weight`)]
        return A === undefined || B === undefined ? [] : [{ A: valuesOf(A), B: valuesOf(B), c: scales[i] ?? 0 }]
      })
      const wanted = parts.length === 0 ? valuesOf(tensor) : linearly(valuesOf(tensor), tensor.shape[1] ?? 1, parts, 4)
      assertClose(ours.get(name), wanted, name)
      assert.deepEqual(turned.get(name)?.bytes, ours.get(name)?.bytes, `${name}: the order of adapters shows`)
    }
  })

  it('are the sum where only one adapter is given, in GGUFs too', async (t) => {
    const folder = workspace(t)
    const model = writeSmallLlama(folder, () => 'F32')
    const adapters = [{ path: writeAdapter(join(folder, 'a'), { modules: smallLlamaModules(0, 'q_proj') }), weight: 0.5 }]
    const files: Buffer[] = []
    for (const combine of ['sum', 'linear'] as const) {
      const outfile = join(folder, `${combine}.gguf`)
      await execute(await planGguf({ model, adapters, noVocab: true, outtype: 'f32', outfile, combine }))
      files.push(readFileSync(outfile))
    }
    assert.deepEqual(files[0], files[1])
  })

  it('say in receipt and decisions what was done, adapter by adapter', async (t) => {
    const folder = workspace(t)
    const base = writeSmallLlama(folder, () => 'F32')
    const adapters = [1, 2].map((seed) => ({ path: writeAdapter(join(folder, `a${seed}`), { modules: smallLlamaModules(0, 'q_proj'), seed }) }))
    const plan = await planMerge({ base, adapters, out: join(folder, 'out'), combine: 'linear' })
    assert.match(plan.decisions.join('\n'), /factors of the adapters are added \(linear\)/)
    assert.deepEqual(
      plan.tensors.find(({ name }) => name.endsWith('0.self_attn.q_proj.weight'))?.applied.map(({ adapter, variant }) => [adapter, variant]),
      [
        [0, 'lora'],
        [1, 'lora'],
      ],
    )
    assert.equal(plan.options['combine'], 'linear')
  })

  it('need the same rank, and plain LoRA', async (t) => {
    const folder = workspace(t)
    const base = writeSmallLlama(folder, () => 'F32')
    const modules = smallLlamaModules(0, 'q_proj')
    const [a, b, stabilized] = [
      { path: writeAdapter(join(folder, 'a'), { modules, rank: 4 }) },
      { path: writeAdapter(join(folder, 'b'), { modules, rank: 2 }) },
      { path: writeAdapter(join(folder, 'c'), { modules, rank: 4, seed: 3, config: { use_rslora: true } }) },
    ] as const
    await assert.rejects(merged(join(folder, 'x'), base, [a, b]), refused(MismatchError, /has ranks \d and \d in the adapters.*same rank; use sum or svd/))
    assert.equal(existsSync(join(folder, 'x')), false)
    assert.equal((await merged(join(folder, 'y'), base, [a, stabilized])).size > 0, true)
  })
})

describe('--combine', () => {
  it('takes PEFT’s names, in any spelling, cat being the sum', () => {
    assert.deepEqual(
      ['sum', 'cat', 'linear', 'LINEAR', 'svd', 'ties', 'magnitude-prune', 'magnitude_prune'].map((typed) => parseCombine('--combine', typed)),
      ['sum', 'sum', 'linear', 'linear', 'svd', 'ties', 'magnitude_prune', 'magnitude_prune'],
    )
  })

  it('refuses the other combinations of PEFT by name, and tells the way', () => {
    for (const [name, reason] of [
      ['dare_linear', 'random numbers'],
      ['dare-ties', 'random numbers'],
      ['dare_ties_svd', 'random numbers'],
      ['ties_svd', 'whole matrices'],
      ['magnitude_prune_svd', 'whole matrices'],
    ] as const)
      assert.throws(
        () => parseCombine('--combine', name),
        refused(
          UnsupportedError,
          new RegExp(`--combine ${name.replace('-', '_')} is not supported: it .*${reason}.*add_weighted_adapter.*or use sum, cat, linear`),
        ),
      )
    assert.throws(() => parseCombine('--combine', 'mean'), refused(UsageError, /takes sum, cat, linear, svd, ties, magnitude_prune, not "mean"/))
  })

  it('comes with options that are checked as they are typed', () => {
    assert.deepEqual(combineOptions({ combine: 'ties', density: '.5', majoritySign: 'Frequency' }), {
      combine: 'ties',
      density: 0.5,
      majoritySign: 'frequency',
      svdRank: undefined,
    })
    assert.equal(combineOptions({ combine: 'svd', svdRank: '16' }).svdRank, 16)
    assert.throws(() => combineOptions({ density: 'half' }), refused(UsageError, /--density takes a number/))
    assert.throws(() => combineOptions({ majoritySign: 'most' }), refused(UsageError, /--majority-sign takes total or frequency, not "most"/))
    assert.throws(() => combineOptions({ svdRank: '0' }), refused(UsageError, /--svd-rank takes a whole number from 1/))
  })
})
