/** What several adapters together must be, whatever they hold. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { execute, planMerge, type AdapterOption } from '../src/index.js'
import { readSafetensors, valuesOf, writeSafetensors, type PlainTensor } from './support/plain-tensors.js'
import { modulesOf, writeAdapter, writeSideFiles, type Float } from './support/tiny-models.js'
import { writeSmallLlama } from './support/small-llama.js'
import { workspace } from './support/workspace.js'

const MODULES = /\.(?:q_proj|k_proj|o_proj|down_proj)\.weight$/

/** @param how  what must change no byte */
async function merged(
  base: string,
  adapters: readonly AdapterOption[],
  out: string,
  how: { tileElements?: number; threads?: number } = {},
): Promise<Map<string, PlainTensor>> {
  const { threads = 1, ...tiles } = how
  await execute(await planMerge({ base, adapters, out, dtype: 'F32', receipt: false, ...tiles }), { threads, force: true })
  return readSafetensors(out)
}

function assertSame(ours: ReadonlyMap<string, PlainTensor>, wanted: ReadonlyMap<string, PlainTensor>): void {
  assert.deepEqual([...ours.keys()].sort(), [...wanted.keys()].sort())
  for (const [name, { dtype, bytes }] of wanted) assert.deepEqual([ours.get(name)?.dtype, ours.get(name)?.bytes], [dtype, bytes], name)
}

/** The same LoRA with the sign of every B turned. */
function mirrorOf(adapter: string, folder: string): string {
  writeSideFiles(folder, { 'adapter_config.json': readFileSync(join(adapter, 'adapter_config.json')) })
  const parts = [...readSafetensors(join(adapter, 'adapter_model.safetensors'))].map(([name, tensor]): [string, PlainTensor] => {
    const turned = Float32Array.from(valuesOf(tensor), (value) => (name.includes('lora_B') ? -value : value))
    return [name, { dtype: 'F32', shape: tensor.shape, bytes: new Uint8Array(turned.buffer) }]
  })
  writeSafetensors(join(folder, 'adapter_model.safetensors'), Object.fromEntries(parts))
  return folder
}

const oneAdapter = fc.record({
  seed: fc.integer({ min: 1, max: 1_000_000 }),
  rank: fc.constantFrom(1, 2, 3, 8, 17),
  alpha: fc.constantFrom(1, 8, 7, 0.3),
  dtype: fc.constantFrom<Float>('F32', 'F16', 'BF16'),
  weight: fc.oneof(fc.constantFrom(1, -1, 0.7, 2), fc.double({ min: -3, max: 3, noNaN: true })),
  config: fc.constantFrom({}, { use_rslora: true }),
  some: fc.constantFrom(MODULES, /[qv]_proj\.weight$/, /(?:o|down)_proj\.weight$/),
})

/** Some ranks of an f32 LoRA, with the same scale. */
function ranksOf(adapter: string, folder: string, first: number, count: number, rank: number): string {
  const config = JSON.parse(readFileSync(join(adapter, 'adapter_config.json'), 'utf8')) as { lora_alpha: number }
  writeSideFiles(folder, { 'adapter_config.json': { ...config, r: count, lora_alpha: (config.lora_alpha * count) / rank } })
  const parts = [...readSafetensors(join(adapter, 'adapter_model.safetensors'))].map(([name, tensor]): [string, PlainTensor] => {
    const values = valuesOf(tensor)
    const [rows = 0, cols = 0] = tensor.shape
    const isA = name.includes('lora_A')
    const shape = isA ? [count, cols] : [rows, count]
    const own = Float32Array.from({ length: (shape[0] ?? 0) * (shape[1] ?? 0) }, (_, i) => {
      if (isA) return values[first * cols + i] ?? Number.NaN
      return values[Math.floor(i / count) * rank + first + (i % count)] ?? Number.NaN
    })
    return [name, { dtype: 'F32', shape, bytes: new Uint8Array(own.buffer) }]
  })
  writeSafetensors(join(folder, 'adapter_model.safetensors'), Object.fromEntries(parts))
  return folder
}

describe('the sum of adapters', () => {
  for (const [rank, first, seed] of [
    [2, 1, 1],
    [8, 4, 2],
    [8, 3, 3],
    [64, 32, 4],
  ] as const) {
    it(`of rank ${first} and rank ${rank - first} is the adapter of rank ${rank} that was split, but for rounding`, async (t) => {
      const folder = workspace(t, 'split-rank')
      const base = writeSmallLlama(folder, () => 'F32', 'model')
      const modules = modulesOf(readSafetensors(base), MODULES)
      const whole = writeAdapter(join(folder, 'whole'), { modules, rank, alpha: 3 * rank, seed })
      const parts = [ranksOf(whole, join(folder, 'left'), 0, first, rank), ranksOf(whole, join(folder, 'right'), first, rank - first, rank)]
      const halves = parts.map((path) => ({ path, weight: 0.5 }))
      const one = await merged(base, [{ path: whole, weight: 0.5 }], join(folder, 'one'))
      const two = await merged(base, halves, join(folder, 'two'))
      const before = readSafetensors(base)
      let changed = 0
      for (const [name, tensor] of one) {
        const [a, b] = [valuesOf(tensor), valuesOf(two.get(name) ?? tensor)]
        // rank products of at most 1, each rounded half an f32 step twice
        for (const [i, want] of a.entries()) assert.ok(Math.abs(want - (b[i] ?? Number.NaN)) <= (rank + 4) * 2 ** -23 * (1 + Math.abs(want)), `${name}[${i}]`)
        if (Buffer.compare(tensor.bytes, before.get(name)?.bytes ?? tensor.bytes) !== 0) changed++
      }
      assert.equal(changed, Object.keys(modules).length)
    })
  }

  it('depends neither on their order, nor on one more of weight 0, on tiles or on threads, and with the weights turned once more it is the base', async (t) => {
    const folder = workspace(t, 'any-sum')
    const base = writeSmallLlama(folder, (name) => (name.includes('.0.') ? 'F32' : 'BF16'), 'model')
    const tensors = readSafetensors(base)
    const plain = await merged(base, [{ path: writeAdapter(join(folder, 'none'), { modules: modulesOf(tensors, MODULES) }), weight: 0 }], join(folder, 'base'))
    const changes = { idle: oneAdapter, all: fc.uniqueArray(oneAdapter, { minLength: 1, maxLength: 3, selector: ({ seed }) => seed }) }
    const how = { tileElements: fc.constantFrom(1, 257, 4000), threads: fc.constantFrom(1, 2), rotate: fc.nat(2) }
    await fc.assert(
      fc.asyncProperty(fc.record(changes), fc.record(how), async ({ all, idle }, { rotate, ...tiles }) => {
        const written = [idle, ...all].map(({ some, weight, ...make }, i) => {
          const path = writeAdapter(join(folder, `adapter-${i}`), { ...make, modules: modulesOf(tensors, some) })
          return { path, weight: Math.abs(weight) < 1e-3 ? 1 : weight }
        })
        const [unused, ...adapters] = written.map((one, i) => (i === 0 ? { ...one, weight: 0 } : one))
        assert.ok(unused)
        const sum = await merged(base, adapters, join(folder, 'sum'))
        const other = [...adapters.slice(rotate % adapters.length), ...adapters.slice(0, rotate % adapters.length)]
        assertSame(await merged(base, [...other.toReversed(), unused], join(folder, 'other'), tiles), sum)
        const away = adapters.map(({ path, weight }) => ({ path, weight: -weight }))
        assertSame(await merged(base, [...adapters, ...away], join(folder, 'back'), tiles), plain)
        assert.ok([...sum].some(([name, { bytes }]) => Buffer.compare(bytes, plain.get(name)?.bytes ?? bytes) !== 0))
      }),
      { numRuns: 12 },
    )
  })

  it('of an adapter and its mirror image, which are other files, is the base to the last bit', async (t) => {
    const folder = workspace(t, 'mirror')
    const base = writeSmallLlama(folder, () => 'F32', 'model')
    const path = writeAdapter(join(folder, 'adapter'), { modules: modulesOf(readSafetensors(base), MODULES), rank: 5, alpha: 9 })
    const mirror = mirrorOf(path, join(folder, 'mirror'))
    for (const weight of [1, 0.37, -2])
      assertSame(
        await merged(
          base,
          [
            { path, weight },
            { path: mirror, weight },
          ],
          join(folder, 'out'),
        ),
        readSafetensors(base),
      )
  })
})
