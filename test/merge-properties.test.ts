/** What several adapters together must be, whatever they hold. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { execute, planMerge, type AdapterOption } from '../src/index.js'
import { readSafetensors, valuesOf, writeSafetensors, type PlainTensor } from './support/plain-tensors.js'
import { modulesOf, writeAdapter, writeSideFiles } from './support/tiny-models.js'
import { writeSmallLlama } from './support/small-llama.js'
import { workspace } from './support/workspace.js'

const MODULES = /\.(?:q_proj|k_proj|o_proj|down_proj)\.weight$/

async function merged(base: string, adapters: readonly AdapterOption[], out: string): Promise<Map<string, PlainTensor>> {
  await execute(await planMerge({ base, adapters, out, dtype: 'F32', receipt: false }), { threads: 1 })
  return readSafetensors(out)
}

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

  it('does not depend on the order of three, and one more with weight 0 changes no byte', async (t) => {
    const folder = workspace(t, 'any-order')
    const base = writeSmallLlama(folder, () => 'F32', 'model')
    const modules = modulesOf(readSafetensors(base), MODULES)
    const [a, b, c, idle] = [1, 2, 3, 4].map((seed, i) => ({
      path: writeAdapter(join(folder, `adapter-${seed}`), { modules, rank: 2 + i, seed }),
      weight: 0.3 + i,
    }))
    assert.ok(a && b && c && idle)
    const wanted = await merged(base, [a, b, c], join(folder, 'abc'))
    for (const [name, order] of Object.entries({ cab: [c, a, b], bca: [b, c, a], cba: [c, b, a], idle: [{ ...idle, weight: 0 }, b, a, c] })) {
      const ours = await merged(base, order, join(folder, name))
      for (const [tensor, { bytes }] of wanted) assert.deepEqual(ours.get(tensor)?.bytes, bytes, `${name} ${tensor}`)
    }
  })
})
