/**
 * Every adapter of the golden merges goes straight into a GGUF, with the bytes of the way through a merged f32 folder, and into the GGUF of its base; what a
 * folder refuses is refused for the same reason. So do seeded adapters on every linear of the golden GGUFs' bases, with their tokenizers.
 */
import assert from 'node:assert/strict'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { execute, planMerge, type AdapterOption } from '../src/index.js'
import { assertIntoGguf, assertOnePass, ggufOf, linearsOf, refusalOf } from './support/one-pass.js'
import { FIXTURES, GOLDEN, SKIP_WITHOUT_GOLDEN } from './support/paths.js'
import { writeAdapter } from './support/tiny-models.js'
import { workspace } from './support/workspace.js'

const PLAIN = { outtype: 'f32', noVocab: true, modelName: 'Any' } as const

/** Adapters of foreign formats, and the base that they are for. */
const FOREIGN = [
  ['mlx', 'llama_plain_r8'],
  ['llama_plain_r8-lora-f32.gguf', 'llama_plain_r8'],
] as const

async function check(root: string, base: string, adapters: readonly AdapterOption[]): Promise<void> {
  const plain = join(root, 'plain.gguf')
  const mergeNow = async (): Promise<unknown> => execute(await planMerge({ base, adapters, out: join(root, 'refused') }), { threads: 1 })
  const refused = (await refusalOf(mergeNow())) ?? (await refusalOf(ggufOf(base, [], plain, PLAIN)))
  if (refused !== undefined) return assert.equal((await refusalOf(ggufOf(base, adapters, join(root, 'refused.gguf'), PLAIN)))?.message, refused.message)
  const { path } = await assertOnePass(root, base, adapters, PLAIN)
  await assertIntoGguf(root, plain, adapters, path)
}

function checkCase(folder: string, name: string): void {
  const adapters = readdirSync(folder).filter((entry) => existsSync(join(folder, entry, 'adapter_config.json')) && entry !== 'base')
  for (const adapter of adapters) it(`of ${name}/${adapter}`, (t) => check(workspace(t, 'merge-gguf'), join(folder, 'base'), [{ path: join(folder, adapter) }]))
  if (adapters.includes('adapter') && adapters.includes('adapter-b')) {
    const both = [
      { path: join(folder, 'adapter'), weight: 0.7 },
      { path: join(folder, 'adapter-b'), weight: -0.3 },
    ]
    it(`of both of ${name}`, (t) => check(workspace(t, 'merge-gguf'), join(folder, 'base'), both))
  }
}

function checkCases(root: string): void {
  for (const name of readdirSync(root)) if (existsSync(join(root, name, 'base', 'config.json'))) checkCase(join(root, name), name)
}

function checkBases(root: string): void {
  for (const name of readdirSync(root)) {
    const { inputDir, preOverride } = JSON.parse(readFileSync(join(root, name, 'expected.json'), 'utf8')) as { inputDir?: string; preOverride?: string | null }
    if (inputDir === undefined || !existsSync(join(root, name, inputDir))) continue // options of a base that is here already
    it(`on ${name}`, async (t) => {
      const [folder, base] = [workspace(t, 'seeded-gguf'), join(root, name, inputDir)]
      const isStoredTurned = name.startsWith('gpt2')
      const modules = await linearsOf(base, isStoredTurned)
      assert.ok(Object.keys(modules).length >= 4)
      const adapter = writeAdapter(join(folder, 'adapter'), { modules, rank: 3, alpha: 7, seed: 21, config: { fan_in_fan_out: isStoredTurned } })
      const asked = { outtype: 'f32', ...(typeof preOverride === 'string' ? { pre: preOverride } : {}) } as const
      const { bytes, path } = await assertOnePass(folder, base, [{ path: adapter }], asked)
      const plain = join(folder, 'plain.gguf')
      assert.equal(bytes.equals(await ggufOf(base, [], plain, asked)), false, 'the adapter changes something')
      // blocks of MXFP4 would have to be quantized again
      if (!name.endsWith('mxfp4')) await assertIntoGguf(folder, plain, [{ path: adapter }], path)
    })
  }
}

describe('an adapter of the fixtures in a GGUF equals merging to f32 and converting', () => checkCases(join(FIXTURES, 'golden', 'merge')))
describe('an adapter of the golden data in a GGUF equals merging to f32 and converting', { skip: SKIP_WITHOUT_GOLDEN }, () => {
  if (GOLDEN === undefined) return
  const merge = join(GOLDEN, 'merge')
  checkCases(merge)
  for (const [adapter, base] of FOREIGN)
    it(`of foreign_formats/${adapter}`, (t) =>
      check(workspace(t, 'merge-gguf'), join(merge, base, 'base'), [{ path: join(merge, 'foreign_formats', adapter) }]))
})
describe('a seeded adapter on every linear in a GGUF equals merging to f32 and converting', { skip: SKIP_WITHOUT_GOLDEN }, () => {
  if (GOLDEN !== undefined) checkBases(join(GOLDEN, 'gguf'))
})
