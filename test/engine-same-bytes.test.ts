/** The same bytes and the same receipt with 1, 2 and 7 threads, and tiles of 64 KiB and 4 MiB: of real models, and of a file that goes past the page cache. */
import assert from 'node:assert/strict'
import { readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { execute as run } from '../src/engine/execute.js'
import { execute, planGguf, planMerge } from '../src/index.js'
import { fileDigest } from '../src/sources/digest.js'
import { handPlan, lowRank, memoryTensor, rows, TOOL } from './support/plans.js'
import { FIXTURES } from './support/paths.js'
import { packed, Seeded } from './support/straight-math.js'
import { workspace } from './support/workspace.js'

const BASE = join(FIXTURES, 'tiny-story')
const ADAPTER = join(FIXTURES, 'ship-log-lora')

const THREADS = [1, 2, 7]
/** Elements of tiles whose f32 take 64 KiB, 4 MiB, and what a run takes by itself. */
const TILES = [16_384, 1_048_576, undefined]

/** Every combination must give the same; a smaller text tells more than two files that differ. */
async function checkAll(make: (threads: number, tileElements: number | undefined) => Promise<string>): Promise<void> {
  let first: string | undefined
  for (const threads of THREADS)
    for (const tileElements of TILES) {
      const made = await make(threads, tileElements)
      first ??= made
      assert.equal(made, first, `${threads} threads, tiles of ${tileElements ?? 'the usual number of'} elements`)
    }
}

describe('threads and tiles change nothing', () => {
  for (const outtype of ['f32', 'bf16', 'q8_0', 'q4_k_m', 'mxfp4'] as const)
    it(`in a GGUF as ${outtype} with an adapter`, async (t) => {
      const folder = workspace(t, 'same')
      const outfile = join(folder, 'x.gguf')
      await checkAll(async (threads, tileElements) => {
        const tiles = tileElements === undefined ? {} : { tileElements }
        const plan = await planGguf({ model: BASE, adapters: [{ path: ADAPTER }], outtype, outfile, modelfile: false, ...tiles })
        await execute(plan, { threads, force: true })
        return `${await fileDigest(outfile)}\n${readFileSync(`${outfile}.receipt.json`, 'utf8').replace(/"fingerprint": ".*"/, '')}`
      })
    })

  it('in a merged folder', async (t) => {
    const out = join(workspace(t, 'same'), 'out')
    await checkAll(async (threads, tileElements) => {
      const tiles = tileElements === undefined ? {} : { tileElements }
      await execute(await planMerge({ base: BASE, adapters: [{ path: ADAPTER }], out, ...tiles }), { threads, force: true })
      const files = ['model-00001-of-00002.safetensors', 'model-00002-of-00002.safetensors'].map((name) => fileDigest(join(out, name)))
      return (await Promise.all(files)).join(' ')
    })
  })

  it('in a file that is large enough to be written past the page cache', async (t) => {
    const root = join(workspace(t, 'same'), 'out')
    const random = new Seeded(11)
    const tensor = (name: string, shape: readonly number[]): ReturnType<typeof memoryTensor> =>
      memoryTensor(name, 'F32', shape, packed('F32', random.weights((shape[0] ?? 1) * (shape[1] ?? 1), 0.1)))
    const [W, B, A] = [tensor('w', [1501, 1000]), tensor('b', [1501, 4]), tensor('a', [4, 1000])]
    const program = { op: 'add', base: { op: 'read', tensor: W }, deltas: [lowRank(B, A, 0.5)] } as const
    await checkAll(async (threads, tileElements) => {
      // 12 times 6 MB, between tensors whose ends are no ends of pages
      const outputs = Array.from({ length: 12 }, (_, i) => [
        { name: `w${i}`, shape: [1501, 1000], program: rows(program, 'f32'), ...(tileElements === undefined ? {} : { tileElements }) },
        { name: `b${i}`, shape: [1501, 4], program: rows({ op: 'read', tensor: B }, 'f16') },
      ])
      const { tensors } = await run(handPlan(root, outputs.flat()), TOOL, { threads, force: true })
      const made = `${await fileDigest(join(root, 'out.bin'))} ${JSON.stringify(tensors)}`
      rmSync(root, { recursive: true })
      return made
    })
  })
})
