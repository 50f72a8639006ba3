/** A GGUF made in one pass equals, byte for byte, what merging into a folder and converting that folder gives. */
import assert from 'node:assert/strict'
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { execute, planGguf, planMerge, type AdapterOption, type GgufOptions } from '../src/index.js'
import type { AnyFileType } from '../src/quantize/file-types.js'
import { FIXTURES, GOLDEN, SKIP_WITHOUT_GOLDEN } from './support/paths.js'
import { readSafetensors } from './support/plain-tensors.js'
import { modulesOf, writeAdapter, writeSideFiles, writeWeights } from './support/tiny-models.js'
import { runCliOk } from './support/run-cli.js'
import { workspace } from './support/workspace.js'

const STORY = join(FIXTURES, 'tiny-story')
const LOG = join(FIXTURES, 'ship-log-lora')
const PROJECTIONS = /\.(?:q_proj|k_proj|v_proj|o_proj|gate_proj|up_proj|down_proj)\.weight$/
const OUTTYPES: readonly AnyFileType[] = ['f32', 'f16', 'bf16', 'q8_0']

type Asked = Pick<GgufOptions, 'outtype' | 'modelName' | 'pre'>

interface Pair {
  readonly base: string
  readonly adapters: readonly AdapterOption[]
  /** Name of the merged folder. */
  readonly merged?: string
}

async function fused(folder: string, { base, adapters }: Pair, asked: Asked): Promise<Buffer> {
  const outfile = join(folder, 'fused.gguf')
  await execute(await planGguf({ ...asked, model: base, adapters, outfile, modelfile: false }), { force: true })
  return readFileSync(outfile)
}

/** The merged folder is made once. */
async function inTwoSteps(folder: string, { base, adapters, merged = 'merged' }: Pair, asked: Asked): Promise<Buffer> {
  const model = join(folder, merged)
  if (!existsSync(model)) await execute(await planMerge({ base, adapters, out: model, dtype: 'F32' }))
  const outfile = join(folder, 'steps.gguf')
  await execute(await planGguf({ ...asked, model, outfile, modelfile: false }), { force: true })
  return readFileSync(outfile)
}

async function assertSame(folder: string, pair: Pair, asked: Asked): Promise<void> {
  const [one, two] = [await fused(folder, pair, asked), await inTwoSteps(folder, pair, asked)]
  const at = one.findIndex((byte, i) => byte !== two[i])
  assert.equal(at, -1, `first difference at byte ${at} of ${one.byteLength}: ${text(one, at)} and ${text(two, at)}`)
  assert.equal(one.byteLength, two.byteLength)
}

function text(bytes: Buffer, at: number): string {
  return JSON.stringify(bytes.toString('latin1', Math.max(0, at - 60), at + 40))
}

/** A copy of the example pair's base in one file. */
function oneFileStory(folder: string, name = 'tiny-story'): string {
  const base = writeWeights(join(folder, name), { 'model.safetensors': Object.fromEntries(readSafetensors(STORY)) })
  for (const file of readdirSync(STORY)) if (!/safetensors/.test(file)) writeSideFiles(base, { [file]: readFileSync(join(STORY, file)) })
  return base
}

describe('a fused GGUF equals merging to f32 and converting', () => {
  for (const outtype of OUTTYPES) {
    it(`for the example pair, in two shards, as ${outtype}`, async (t) => {
      const folder = workspace(t, 'fused')
      await assertSame(folder, { base: STORY, adapters: [{ path: LOG }] }, { outtype, modelName: 'Ship log' })
      await assertSame(folder, { base: STORY, adapters: [{ path: LOG }] }, { outtype })
    })

    it(`for a base in one file, as ${outtype}`, async (t) => {
      const folder = workspace(t, 'fused-one')
      await assertSame(folder, { base: oneFileStory(folder), adapters: [{ path: LOG }] }, { outtype })
    })
  }

  it('whatever the merged folder is called', async (t) => {
    for (const merged of ['foo-chat-v2-7B', 'Acme_Instruct-3x9B-v1.0-LoRA', 'checkpoint-1000', '7B']) {
      const folder = workspace(t, 'fused-name')
      await assertSame(folder, { base: STORY, adapters: [{ path: LOG }], merged }, { outtype: 'q8_0' })
      await assertSame(folder, { base: STORY, adapters: [{ path: LOG }], merged }, { outtype: 'q8_0', modelName: 'Ship log' })
    }
  })

  it('whatever the base’s folder is called', async (t) => {
    for (const name of ['Meta-Llama-3-8B-Instruct-v1.5', 'story', 'v2', 'a b (c)', 'größer-1B-chat']) {
      const folder = workspace(t, 'fused-base')
      await assertSame(folder, { base: oneFileStory(folder, name), adapters: [{ path: LOG }], merged: 'foo-chat-v2-7B' }, { outtype: 'f16' })
    }
  })

  for (const [kind, field] of [
    ['a hub name', { _name_or_path: 'acme/Story-Teller-7B-Instruct-v2' }],
    ['a path of another machine', { _name_or_path: '/home/someone/models/secret-13B-chat' }],
    ['a relative path', { _name_or_path: './story' }],
    ['an empty name', { _name_or_path: '' }],
    ['null', { _name_or_path: null }],
  ] as const) {
    it(`when config.json says ${kind} for the model’s name`, async (t) => {
      const folder = workspace(t, 'fused-config')
      const base = oneFileStory(folder)
      const config = JSON.parse(readFileSync(join(base, 'config.json'), 'utf8')) as object
      for (const [place, edited] of [
        ['first', { ...field, ...config }],
        ['last', { ...config, ...field }],
      ] as const) {
        writeSideFiles(base, { 'config.json': edited })
        rmSync(join(folder, 'foo-chat-v2-7B'), { recursive: true, force: true })
        await assertSame(folder, { base, adapters: [{ path: LOG }], merged: 'foo-chat-v2-7B' }, { outtype: 'f16' }).catch((error: unknown) =>
          assert.fail(`${place}: ${String(error)}`),
        )
      }
    })
  }

  it('when the adapter brings its own tokenizer and chat template', async (t) => {
    const folder = workspace(t, 'fused-tokenizer')
    const adapter = join(folder, 'adapter')
    for (const file of readdirSync(LOG)) writeSideFiles(adapter, { [file]: readFileSync(join(LOG, file)) })
    for (const file of ['tokenizer.json', 'tokenizer_config.json']) writeSideFiles(adapter, { [file]: readFileSync(join(STORY, file)) })
    const template = `{{ '<!-- of the adapter -->' }}${readFileSync(join(STORY, 'chat_template.jinja'), 'utf8')}`
    writeSideFiles(adapter, { 'chat_template.jinja': template })
    await assertSame(folder, { base: STORY, adapters: [{ path: adapter }] }, { outtype: 'f16' })
    assert.ok((await fused(folder, { base: STORY, adapters: [{ path: adapter }] }, { outtype: 'f16' })).includes('of the adapter'))
  })

  it('for two adapters with weights, in any order', async (t) => {
    const folder = workspace(t, 'fused-two')
    const second = writeAdapter(join(folder, 'second'), { modules: modulesOf(readSafetensors(STORY), /[qv]_proj/), rank: 3, seed: 4 })
    const adapters = [
      { path: LOG, weight: 0.7 },
      { path: second, weight: -0.3 },
    ]
    await assertSame(folder, { base: STORY, adapters }, { outtype: 'f16' })
    const one = await fused(folder, { base: STORY, adapters }, { outtype: 'f16' })
    assert.ok(one.equals(await fused(folder, { base: STORY, adapters: adapters.toReversed() }, { outtype: 'f16' })))
  })

  it('when the merged model is merged once more', async (t) => {
    const folder = workspace(t, 'fused-chain')
    const once = join(folder, 'foo-chat-v2-7B')
    await execute(await planMerge({ base: STORY, adapters: [{ path: LOG }], out: once, dtype: 'F32' }))
    await assertSame(folder, { base: once, adapters: [{ path: LOG, weight: -0.5 }], merged: 'bar-instruct-3B' }, { outtype: 'f16' })
    const { keyValues } = await planGguf({ model: join(folder, 'bar-instruct-3B') })
    assert.deepEqual(keyValues.find(({ key }) => key === 'general.name')?.value, { type: 'string', value: 'Tiny Story' })
  })

  it('when the merged folder stands at the base’s own name elsewhere', async (t) => {
    const folder = workspace(t, 'fused-same-name')
    await assertSame(folder, { base: STORY, adapters: [{ path: LOG }], merged: 'tiny-story' }, { outtype: 'f16' })
  })
})

/** Golden bases with a seeded adapter on all projections. */
function checkBases(root: string, names: readonly string[]): void {
  for (const name of names) {
    for (const outtype of OUTTYPES) {
      it(`${name} as ${outtype}`, async (t) => {
        const { inputDir, preOverride } = JSON.parse(readFileSync(join(root, name, 'expected.json'), 'utf8')) as {
          inputDir: string
          preOverride: string | null
        }
        const base = join(root, name, inputDir)
        const folder = workspace(t, 'fused-golden')
        const modules = modulesOf(readSafetensors(base), PROJECTIONS)
        assert.ok(Object.keys(modules).length >= 7)
        const adapter = writeAdapter(join(folder, 'adapter'), { modules, rank: 5, alpha: 7, seed: 11, dtype: outtype === 'bf16' ? 'BF16' : 'F32' })
        const asked = { outtype, ...(preOverride === null ? {} : { pre: preOverride }) }
        await assertSame(folder, { base, adapters: [{ path: adapter }], merged: 'foo-chat-v2-7B' }, asked)
        await assertSame(folder, { base, adapters: [{ path: adapter }], merged: 'foo-chat-v2-7B' }, { ...asked, modelName: 'My model' })
      })
    }
  }
}

describe('a fused GGUF equals merging and converting, for the golden bases of the project', () => {
  const root = join(FIXTURES, 'golden', 'gguf')
  checkBases(root, readdirSync(root))
})

describe('a fused GGUF equals merging and converting, for the golden bases', { skip: SKIP_WITHOUT_GOLDEN }, () => {
  if (GOLDEN !== undefined) checkBases(join(GOLDEN, 'gguf'), ['llama', 'llama-sharded', 'llama-odd', 'llama-f32-edge', 'llama3-rope', 'mistral'])
})

describe('lora-merge BASE ADAPTER OUT.gguf', () => {
  it('writes the bytes of to-gguf BASE --adapter ADAPTER --outfile OUT.gguf', async (t) => {
    const folder = workspace(t, 'fused-cli')
    const [one, two] = [join(folder, 'one'), join(folder, 'two')]
    for (const place of [one, two]) mkdirSync(place)
    await runCliOk('lora-merge', [STORY, `${LOG}@0.5`, join(one, 'log.gguf'), '--outtype', 'Q8_0', '--model-name', 'Log'])
    await runCliOk('to-gguf', [STORY, '--adapter', `${LOG}@0.5`, '--outfile', join(two, 'log.gguf'), '--outtype', 'q8_0', '--model-name', 'Log'])
    assert.deepEqual(readdirSync(one).toSorted(), ['Modelfile', 'log.gguf', 'log.gguf.receipt.json'])
    for (const name of readdirSync(one)) assert.ok(readFileSync(join(one, name)).equals(readFileSync(join(two, name))), name)
  })
})
