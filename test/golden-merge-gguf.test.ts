/**
 * Every adapter of the golden merges goes straight into a GGUF, with the bytes of the way through a merged f32 folder; and into the GGUF of its base.
 */
import assert from 'node:assert/strict'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { execute, planGguf, planMerge, ToolkitError, type AdapterOption } from '../src/index.js'
import { readGguf } from './support/gguf-file.js'
import { FIXTURES, GOLDEN, SKIP_WITHOUT_GOLDEN } from './support/paths.js'
import { workspace } from './support/workspace.js'

/** What a GGUF cannot take: it has no name for the tensor, or shares one that would differ. Its folder can. */
const NOT_INTO_GGUF = /merge into the folder/

/** Architectures whose GGUFs hold matrices turned, stacked or put together: their adapters go into the folder, and into a GGUF they may be refused. */
const HELD_OTHERWISE = /^(?:gpt2|bloom|falcon|mixtral|qwen3moe|gptoss)_/

async function gguf(model: string, adapters: readonly AdapterOption[], outfile: string): Promise<Buffer> {
  const ofFolder = model.endsWith('.gguf') ? {} : { noVocab: true, modelName: 'Any' }
  const plan = await planGguf({ model, adapters, outfile, outtype: 'f32', ...ofFolder, modelfile: false, receipt: false })
  await execute(plan, { threads: 1 })
  return readFileSync(outfile)
}

/** Whether an error is one of the tool's own refusals. */
async function isRefused(work: Promise<unknown>): Promise<boolean> {
  try {
    await work
    return false
  } catch (error) {
    assert.ok(error instanceof ToolkitError && error.exitCode !== 1, String(error))
    return true
  }
}

function assertSameBytes(one: Uint8Array, two: Uint8Array, what: string): void {
  assert.equal(one.byteLength, two.byteLength, what)
  assert.equal(Buffer.compare(one, two), 0, what)
}

function checkCase(folder: string, name: string): void {
  it(`of ${name}`, async (t) => {
    const root = workspace(t, 'merge-gguf')
    const [base, adapters] = [join(folder, 'base'), [{ path: join(folder, 'adapter') }]]
    const [plain, merged] = [join(root, 'plain.gguf'), join(root, 'merged')]
    if (await isRefused(gguf(base, [], plain))) return t.skip('the base is no architecture that converts')
    if (await isRefused(planMerge({ base, adapters, out: merged }))) return t.skip('refused, as golden-merge says')
    await execute(await planMerge({ base, adapters, out: merged, dtype: 'F32', receipt: false }), { threads: 1 })
    const [fused, steps] = [await gguf(base, adapters, join(root, 'fused.gguf')), await gguf(merged, [], join(root, 'steps.gguf'))]
    assertSameBytes(fused, steps, 'in one pass and in two steps')
    const back = join(root, 'back.gguf')
    try {
      await gguf(plain, adapters, back)
    } catch (error) {
      assert.ok(error instanceof ToolkitError && (NOT_INTO_GGUF.test(error.message) || HELD_OTHERWISE.test(name)), String(error))
      return
    }
    const [ours, theirs] = [await readGguf(back), await readGguf(join(root, 'fused.gguf'))]
    for (const { name: tensor, bytes } of theirs.tensors) {
      const own = ours.tensors.find((one) => one.name === tensor)
      assert.ok(own, tensor)
      assertSameBytes(own.bytes, bytes, `${tensor} in the GGUF of the base`)
    }
  })
}

function checkCases(root: string): void {
  for (const { name } of readdirSync(root, { withFileTypes: true })) {
    const folder = join(root, name)
    if (existsSync(join(folder, 'adapter', 'adapter_config.json')) && existsSync(join(folder, 'base', 'config.json'))) checkCase(folder, name)
  }
}

describe('an adapter of the fixtures in a GGUF equals merging to f32 and converting', () => checkCases(join(FIXTURES, 'golden', 'merge')))
describe('an adapter of the golden data in a GGUF equals merging to f32 and converting', { skip: SKIP_WITHOUT_GOLDEN }, () => {
  if (GOLDEN !== undefined) checkCases(join(GOLDEN, 'merge'))
})
