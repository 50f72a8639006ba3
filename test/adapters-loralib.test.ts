/** loralib's files: what each layer merges to, what the user must say, and what is asked instead of guessed. */
import assert from 'node:assert/strict'
import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it, type TestContext } from 'node:test'
import { MismatchError, UnsupportedError, UsageError } from '../src/core/errors.js'
import { execute, planMerge, type MergeOptions } from '../src/index.js'
import { assertNear, matrix, plus, rowsFrom, seeded, tensorOf, times, turned, zeros, type Matrix } from './support/dense.js'
import { GOLDEN, SKIP_WITHOUT_GOLDEN } from './support/paths.js'
import { readSafetensors, type PlainTensor } from './support/plain-tensors.js'
import { runCli } from './support/run-cli.js'
import { readTorchFile, writeTorchFile } from './support/torch-output.js'
import { workspace } from './support/workspace.js'

type Tensors = Readonly<Record<string, PlainTensor>>
type Said = Pick<MergeOptions, 'alpha' | 'enableLora' | 'fanInFanOut'>

async function merged(t: TestContext, base: Tensors, adapter: Tensors, said: Said, under?: string): Promise<Map<string, PlainTensor>> {
  const root = workspace(t, 'loralib')
  const options = { base: writeTorchFile(join(root, 'base.pt'), base), adapters: [{ path: writeTorchFile(join(root, 'lora.pt'), adapter, under) }], ...said }
  const out = join(root, 'out.pt')
  await execute(await planMerge({ ...options, out, tileElements: 64 }), { threads: 1 })
  return readTorchFile(out)
}

/** Factors of a layer, and what they are in the file. */
function factors(module: string, seed: number, rank: number, inputs: number, out: number, slices = 1): { A: Matrix; B: Matrix; file: Tensors } {
  const [A, B] = [seeded(seed, rank * slices, inputs), seeded(seed + 1, out, rank)]
  return { A, B, file: { [`${module}.lora_A`]: tensorOf(A), [`${module}.lora_B`]: tensorOf(B) } }
}

/** `B·A` slice by slice, nothing where a slice was not trained. */
function sliced({ A, B }: { A: Matrix; B: Matrix }, rank: number, rows: number, enabled: readonly boolean[]): Matrix {
  let number = 0
  return enabled.flatMap((one) => {
    if (!one) return zeros(rows, A[0]?.length ?? 0)
    const part = times(rowsFrom(B, number * rows, rows), rowsFrom(A, number * rank, rank))
    number++
    return part
  })
}

describe('loralib files', () => {
  it('merge Linear with alpha / r, in both directions of storage', async (t) => {
    const lora = factors('fc', 1, 4, 20, 12)
    const W = seeded(9, 12, 20)
    const expected = plus(W, times(lora.B, lora.A), 8 / 4)
    assertNear('plain', (await merged(t, { 'fc.weight': tensorOf(W) }, lora.file, { alpha: 8 })).get('fc.weight'), expected)
    assertNear('in x out', (await merged(t, { 'fc.weight': tensorOf(turned(W)) }, lora.file, { alpha: 8 })).get('fc.weight'), turned(expected))
  })

  it('merge Embedding as the transpose of B·A', async (t) => {
    const lora = factors('emb', 2, 4, 30, 12)
    const W = seeded(8, 30, 12)
    assertNear('emb', (await merged(t, { 'emb.weight': tensorOf(W) }, lora.file, { alpha: 6 })).get('emb.weight'), plus(W, turned(times(lora.B, lora.A)), 1.5))
  })

  for (const enabled of [
    [true, false, true],
    [true, true, true],
    [false, true, false],
    [false, false, true, true],
  ])
    // prettier-ignore
    for (const isTransposed of [false, true])
      it(`merge MergedLinear with enable_lora ${enabled.join(',')}${isTransposed ? ', stored (in x out)' : ''}`, async (t) => {
        const [rank, rows, inputs] = [3, 16, 18]
        const trained = enabled.filter(Boolean).length
        const lora = factors('attn', 3, rank, inputs, rows * trained, trained)
        const W = seeded(7, rows * enabled.length, inputs)
        const base = { 'attn.weight': tensorOf(isTransposed ? turned(W) : W), 'attn.bias': tensorOf(seeded(6, rows * enabled.length, 1), [rows * enabled.length]) }
        const all = await merged(t, base, lora.file, { alpha: 6, enableLora: enabled })
        const expected = plus(W, sliced(lora, rank, rows, enabled), 2)
        assertNear('attn', all.get('attn.weight'), isTransposed ? turned(expected) : expected)
        assert.deepEqual(all.get('attn.bias')?.bytes, base['attn.bias'].bytes)
        const deduced = merged(t, base, lora.file, { alpha: 6 })
        if (trained === enabled.length) assert.deepEqual((await deduced).get('attn.weight'), all.get('attn.weight'))
        else await assert.rejects(deduced, (error) => error instanceof MismatchError && /attn.*--enable-lora/.test(error.message))
      })

  for (const [groups, size] of [
    [1, 3],
    [2, 3],
    [1, 1],
    [2, 5],
  ] as const)
    // prettier-ignore
    it(`merge Conv2d of ${groups} groups and a kernel of ${size}, wrapped or not`, async (t) => {
      const [rank, inputs, out] = [4, 4 * groups, 6 * groups]
      const [A, B] = [seeded(4, rank * size, inputs * size), seeded(5, (out / groups) * size, rank * size)]
      const W = seeded(6, out, (inputs / groups) * size * size)
      const product = times(B, A).flat()
      const expected = matrix(out, W[0]?.length ?? 0, (i, j) => (W[i]?.[j] ?? 0) + 2 * (product[i * (W[0]?.length ?? 0) + j] ?? 0))
      const file = { 'c.lora_A': tensorOf(A), 'c.lora_B': tensorOf(B), 'c.conv.bias': tensorOf(seeded(7, out, 1), [out]) }
      for (const path of ['c.conv', 'c']) {
        const base = { [`${path}.weight`]: tensorOf(W, [out, inputs / groups, size, size]), [`${path}.bias`]: tensorOf(seeded(8, out, 1), [out]) }
        const all = await merged(t, base, file, { alpha: 8 })
        assertNear(path, all.get(`${path}.weight`), expected)
        assert.deepEqual(all.get(`${path}.bias`)?.bytes, file['c.conv.bias'].bytes)
      }
    })

  it('are refused for convolutions that loralib itself cannot run', async (t) => {
    const file = { 'c.lora_A': tensorOf(seeded(1, 12, 12)), 'c.lora_B': tensorOf(seeded(2, 18, 12)) }
    await assert.rejects(merged(t, { 'c.conv.weight': tensorOf(seeded(3, 6, 12), [6, 4, 3]) }, file, { alpha: 8 }), UnsupportedError)
  })

  it('replace biases and whole tensors, and leave masks to the base', async (t) => {
    const lora = factors('h.0.fc', 1, 2, 6, 5)
    const trained = {
      'h.0.fc.bias': tensorOf([[1, 2, 3, 4, 5]], [5]),
      'h.0.ln.bias': tensorOf([[6, 7]], [2]),
      'cls.weight': tensorOf(seeded(5, 2, 5)),
      scale: tensorOf([[3]], []),
    }
    const mask = { dtype: 'BOOL', shape: [2], bytes: Uint8Array.of(1, 0) }
    const base = {
      'model.h.0.fc.weight': tensorOf(seeded(2, 5, 6)),
      'model.h.0.fc.bias': tensorOf(zeros(1, 5), [5]),
      'model.h.0.ln.weight': tensorOf(zeros(1, 2), [2]),
      'model.h.0.ln.bias': tensorOf(zeros(1, 2), [2]),
      'model.h.0.attn.bias': { ...mask, bytes: Uint8Array.of(0, 1) },
      'cls.weight': tensorOf(zeros(2, 5)),
    }
    const { scale: _scale, ...named } = trained
    const all = await merged(t, base, { ...lora.file, ...named, 'h.0.attn.bias': mask }, { alpha: 2 }, 'model_state_dict')
    assert.deepEqual(all.get('model.h.0.fc.bias')?.bytes, trained['h.0.fc.bias'].bytes)
    assert.deepEqual(all.get('model.h.0.ln.bias')?.bytes, trained['h.0.ln.bias'].bytes)
    assert.deepEqual(all.get('cls.weight')?.bytes, trained['cls.weight'].bytes)
    assert.deepEqual(all.get('model.h.0.attn.bias')?.bytes, Uint8Array.of(0, 1))
    await assert.rejects(
      merged(t, base, { ...lora.file, ...trained }, { alpha: 2 }),
      (error) => error instanceof MismatchError && /"scale"/.test(error.message),
    )
  })

  it('of square matrices are asked for their direction, all of them by name, and never guessed', async (t) => {
    const [one, two] = [factors('h.0.q', 1, 2, 8, 8), factors('h.1.q', 3, 2, 8, 8)]
    const W = seeded(9, 8, 8)
    const base = { 'h.0.q.weight': tensorOf(W), 'h.1.q.weight': tensorOf(W), 'h.0.fc.weight': tensorOf(seeded(8, 16, 8)) }
    const adapter = { ...one.file, ...two.file, ...factors('h.0.fc', 5, 2, 8, 16).file }
    await assert.rejects(merged(t, base, adapter, { alpha: 2 }), (error) => {
      assert.ok(error instanceof MismatchError)
      assert.match(error.message, /"h\.0\.q", "h\.1\.q".*--no-fan-in-fan-out/)
      return !error.message.includes('"h.0.fc"')
    })
    assertNear('out x in', (await merged(t, base, adapter, { alpha: 2, fanInFanOut: false })).get('h.1.q.weight'), plus(W, times(two.B, two.A)))
    assertNear('in x out', (await merged(t, base, adapter, { alpha: 2, fanInFanOut: true })).get('h.1.q.weight'), plus(W, turned(times(two.B, two.A))))
  })

  it('are nothing without alpha, a partner for every factor, or factors at all', async (t) => {
    const lora = factors('fc', 1, 4, 20, 12)
    const base = { 'fc.weight': tensorOf(seeded(2, 12, 20)) }
    await assert.rejects(merged(t, base, lora.file, {}), (error) => error instanceof UsageError && /--alpha/.test(error.message))
    const { 'fc.lora_B': _B, ...half } = lora.file
    await assert.rejects(
      merged(t, base, half, { alpha: 8 }),
      (error) => error instanceof MismatchError && /"fc\.lora_A".*partner "fc\.lora_B"/.test(error.message),
    )
    await assert.rejects(
      merged(t, base, { 'embed.weight': tensorOf(seeded(1, 3, 3)) }, { alpha: 8 }),
      (error) => error instanceof UsageError && /whole model/.test(error.message),
    )
    await assert.rejects(
      merged(t, base, { 'a.lora_A.weight': tensorOf(seeded(1, 3, 3)) }, { alpha: 8 }),
      (error) => error instanceof UnsupportedError && /PEFT/.test(error.message),
    )
    await assert.rejects(
      merged(t, base, lora.file, { alpha: 8, enableLora: [true, false] }).then(() =>
        merged(t, { 'fc.weight': tensorOf(seeded(2, 24, 20)) }, lora.file, { alpha: 8, enableLora: [true] }),
      ),
      MismatchError,
    )
  })

  it('take their options from the command line, which nothing else may have', async (t) => {
    const root = workspace(t, 'loralib-cli')
    const lora = factors('attn', 3, 2, 6, 8, 2)
    const W = seeded(7, 12, 6)
    writeTorchFile(join(root, 'base.pt'), { 'attn.weight': tensorOf(W) })
    writeTorchFile(join(root, 'lora.pt'), lora.file)
    const run = (...args: string[]): ReturnType<typeof runCli> =>
      runCli('lora-merge', ['base.pt', 'lora.pt', 'out.pt', '--force', '--quiet', ...args], { cwd: root })
    for (const slices of ['q,v', 'true,false,true', 'T,F,T']) assert.equal((await run('--alpha', '4', '--enable-lora', slices)).code, 0, slices)
    assertNear('attn', (await readTorchFile(join(root, 'out.pt'))).get('attn.weight'), plus(W, sliced(lora, 2, 4, [true, false, true]), 2))
    assert.equal((await run()).code, 2)
    assert.equal((await run('--alpha', 'x')).code, 2)
    assert.equal((await run('--alpha', '4', '--enable-lora', 'q,z')).code, 2)
    assert.equal((await run('--alpha', '4')).code, 6)
    assert.equal((await run('--alpha', '4', '--enable-lora', 'q,k,v')).code, 6)
    const unused = await runCli('to-gguf', ['fixtures/tiny-story', '--adapter', 'fixtures/ship-log-lora', '--alpha', '4', '-o', join(root, 'x.gguf')])
    assert.equal(unused.code, 2)
    assert.match(unused.stderr, /--alpha is for adapters whose files do not say it/)
  })
})

describe('golden loralib merges', { skip: SKIP_WITHOUT_GOLDEN }, () => {
  const cases = GOLDEN === undefined ? [] : readdirSync(join(GOLDEN, 'merge')).filter((name) => name.startsWith('loralib_'))
  for (const name of cases) {
    const folder = join(GOLDEN ?? '', 'merge', name)
    const files = readdirSync(join(folder, 'adapter')).filter((file) => file.endsWith('.pt'))
    for (const file of files.filter((one) => one !== 'lora_none.pt' || !files.includes('lora_all.pt'))) {
      it(`${name} with ${file} is what loralib makes of it`, async (t) => {
        const said: Said = {
          alpha: name.includes('embedding') ? 6 : 8,
          ...(name.includes('merged') ? { enableLora: [true, name.includes('ttt'), true] } : {}),
        }
        const out = join(workspace(t), 'merged')
        const run = async (): Promise<void> =>
          void (await execute(await planMerge({ base: join(folder, 'base'), adapters: [{ path: join(folder, 'adapter', file) }], out, ...said })))
        if (!existsSync(join(folder, 'expected'))) return assert.rejects(run(), UnsupportedError)
        await run()
        const [ours, expected] = [readSafetensors(out), readSafetensors(join(folder, 'expected'))]
        assert.deepEqual([...ours.keys()].sort(), [...expected.keys()].sort())
        for (const [tensor, { bytes }] of expected) assertNear(tensor, ours.get(tensor), [[...new Float32Array(bytes.slice().buffer)]])
      })
    }
  }
})
