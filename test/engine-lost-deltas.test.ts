/** Deltas that f16 and bf16 round away are counted, the same for any tiles and threads, and told when they are many. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { execute, planGguf, planMerge } from '../src/index.js'
import { readSafetensors, valuesOf, type PlainTensor } from './support/plain-tensors.js'
import { smallLlamaModules, writeSmallLlama } from './support/small-llama.js'
import { writeAdapter } from './support/tiny-models.js'
import { workspace } from './support/workspace.js'

interface Entry {
  readonly name: string
  readonly lostToRounding?: number
}

function receipt(path: string): Entry[] {
  return (JSON.parse(readFileSync(path, 'utf8')) as { tensors: Entry[] }).tensors
}

/** B·A of a tensor's module, empty when it has none. */
function deltaOf(adapter: ReadonlyMap<string, PlainTensor>, name: string): number[] {
  const key = `base_model.model.${name.replace(/\.weight$/, '')}`
  const [A, B] = [adapter.get(`${key}.lora_A.weight`), adapter.get(`${key}.lora_B.weight`)]
  if (A === undefined || B === undefined) return []
  const [[rank = 0, cols = 0], [rows = 0], a, b] = [A.shape, B.shape, valuesOf(A), valuesOf(B)]
  return Array.from({ length: rows * cols }, (_, i) => {
    let sum = 0
    for (let k = 0; k < rank; k++) sum += (b[Math.floor(i / cols) * rank + k] ?? 0) * (a[k * cols + (i % cols)] ?? 0)
    return sum
  })
}

const MODULES = { ...smallLlamaModules(0, 'q_proj', 'up_proj'), ...smallLlamaModules(1, 'k_proj', 'down_proj') }

describe('deltas that rounding loses', () => {
  for (const [dtype, weight] of [
    ['BF16', 0.002],
    ['F16', 0.0002],
  ] as const) {
    it(`are counted for ${dtype}: elements of the changed tensors that equal the base's`, async (t) => {
      const folder = workspace(t)
      const base = writeSmallLlama(folder, () => dtype)
      const adapters = [{ path: writeAdapter(join(folder, 'adapter'), { modules: MODULES, rank: 4 }), weight }]
      const { warnings } = await execute(await planMerge({ base, adapters, out: join(folder, 'narrow') }))
      const [before, after] = [readSafetensors(base), readSafetensors(join(folder, 'narrow'))]
      let [allChanged, allLost] = [0, 0]
      for (const { name, lostToRounding } of receipt(join(folder, 'narrow', 'lora-to-gguf.receipt.json'))) {
        const [from, to] = [before, after].map((tensors) => valuesOf(tensors.get(name) ?? assert.fail(name)))
        const delta = deltaOf(readSafetensors(adapters[0]?.path ?? ''), name)
        const changed = delta.filter((value) => value !== 0).length
        const lost = delta.filter((value, i) => value !== 0 && Object.is(from?.[i], to?.[i])).length
        assert.equal(lostToRounding, changed === 0 ? undefined : lost / changed, name)
        allChanged += changed
        allLost += lost
      }
      const share = allLost / allChanged
      assert.ok(share > 0.25, `only ${share} is lost`)
      assert.match(
        warnings.join('\n'),
        new RegExp(`${dtype.toLowerCase()} is too coarse for ${(share * 100).toFixed(0)} % of the elements that the adapters change.*--dtype f32`),
      )
    })
  }

  it('are none in f32, and few enough in an ordinary merge to say nothing', async (t) => {
    const folder = workspace(t)
    const base = writeSmallLlama(folder, () => 'BF16')
    const adapters = [{ path: writeAdapter(join(folder, 'adapter'), { modules: MODULES, rank: 4 }) }]
    for (const dtype of ['F32', 'BF16'] as const) {
      const { warnings } = await execute(await planMerge({ base, adapters, out: join(folder, dtype), dtype }))
      assert.deepEqual(warnings, [])
      const shares = receipt(join(folder, dtype, 'lora-to-gguf.receipt.json')).flatMap(({ lostToRounding }) => lostToRounding ?? [])
      assert.equal(shares.length, dtype === 'F32' ? 0 : 4)
    }
  })

  it('are the same for any tiles and threads, in folders and GGUFs, DoRA included', async (t) => {
    const folder = workspace(t)
    const base = writeSmallLlama(folder, () => 'BF16')
    const plain = { path: writeAdapter(join(folder, 'adapter'), { modules: MODULES, rank: 4 }), weight: 0.001 }
    const shares = async (out: string, tileElements: number, threads: number): Promise<(number | undefined)[]> => {
      const gguf = join(folder, `${out}.gguf`)
      await execute(await planGguf({ model: base, adapters: [plain], noVocab: true, outtype: 'bf16', outfile: gguf, tileElements }), { threads })
      await execute(await planMerge({ base, adapters: [plain], out: join(folder, out), tileElements }), { threads })
      const [one, two] = [receipt(`${gguf}.receipt.json`), receipt(join(folder, out, 'lora-to-gguf.receipt.json'))]
      return [...one, ...two].map(({ lostToRounding }) => lostToRounding)
    }
    const expected = await shares('one', 1 << 20, 1)
    assert.equal(expected.filter((share) => share !== undefined).length, 8)
    assert.deepEqual(await shares('two', 700, 1), expected)
    assert.deepEqual(await shares('three', 4096, 3), expected)
  })
})
