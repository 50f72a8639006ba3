/** GGUFs in parts: how they are cut, named, joined, told to Ollama, and what goes wrong with them. */
import assert from 'node:assert/strict'
import { readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { FileSystemError, FormatError, UsageError } from '../src/core/errors.js'
import { execute, planGguf, type GgufOptions, type Plan } from '../src/index.js'
import { readGguf } from './support/gguf-file.js'
import { assertReadsAlike } from './support/gguf-peer.js'
import { FIXTURES } from './support/paths.js'
import { smallLlamaModules, writeSmallLlama } from './support/small-llama.js'
import { writeAdapter } from './support/tiny-models.js'
import { workspace } from './support/workspace.js'

const STORY = join(FIXTURES, 'tiny-story')

async function made(options: GgufOptions): Promise<Plan> {
  const plan = await planGguf({ modelfile: false, receipt: false, ...options })
  await execute(plan)
  return plan
}

const names = (folder: string): string[] => readdirSync(folder).sort()

/** The split keys of a part, in order. */
async function splitKeys(path: string): Promise<unknown[]> {
  const { keyValues } = await readGguf(path)
  return keyValues.filter(({ key }) => key.startsWith('split.')).map(({ key, value }) => [key, value.type, value.value])
}

describe('a GGUF in parts', () => {
  it('has llama.cpp’s names, metadata in the first part only, and every part reads alike in the peer', async (t) => {
    const folder = workspace(t, 'split')
    const { files, target } = await made({ model: STORY, outtype: 'q8_0', outfile: join(folder, 'story.gguf'), split: { maxBytes: 1_000_000 } })
    assert.deepEqual(names(folder), ['story-00001-of-00003.gguf', 'story-00002-of-00003.gguf', 'story-00003-of-00003.gguf'])
    assert.equal(target, 'story-00001-of-00003.gguf')
    let count = 0
    for (const [i, { name }] of files.entries()) {
      const part = await readGguf(join(folder, name))
      await assertReadsAlike(join(folder, name), part)
      assert.ok(part.tensors.reduce((sum, { bytes }) => sum + bytes.byteLength, 0) <= 1_000_000)
      assert.equal(part.keyValues.length > 3, i === 0)
      count += part.tensors.length
    }
    assert.deepEqual(await splitKeys(join(folder, 'story-00002-of-00003.gguf')), [
      ['split.no', 'u16', 1],
      ['split.count', 'u16', 3],
      ['split.tensors.count', 'i32', count],
    ])
  })

  it('that llama-quantize would have made has llama-gguf-split’s order of keys, and joined again the whole file’s tensors', async (t) => {
    const folder = workspace(t, 'split-quantized')
    await made({ model: STORY, outtype: 'q4_k_m', outfile: join(folder, 'whole.gguf') })
    await made({ model: STORY, outtype: 'q4_k_m', outfile: join(folder, 'one.gguf'), split: { maxTensors: 20, noTensorFirst: true } })
    await made({ model: join(folder, 'whole.gguf'), outfile: join(folder, 'two.gguf'), split: { maxTensors: 20, noTensorFirst: true } })
    const ones = names(folder).filter((name) => name.startsWith('one-'))
    assert.equal(ones.length, 3)
    for (const name of ones) assert.deepEqual(readFileSync(join(folder, name)), readFileSync(join(folder, name.replace('one', 'two'))))
    assert.equal((await readGguf(join(folder, ones[0] ?? ''))).tensors.length, 0)
    for (const part of ones) {
      await made({ model: join(folder, part), outfile: join(folder, `of-${part}.gguf`) })
      const [joined, whole] = [await readGguf(join(folder, `of-${part}.gguf`)), await readGguf(join(folder, 'whole.gguf'))]
      assert.deepEqual(
        joined.tensors.map(({ name, type, bytes }) => [name, type, bytes]),
        whole.tensors.map(({ name, type, bytes }) => [name, type, bytes]),
      )
      // split again it is what it was
      await made({ model: join(folder, `of-${part}.gguf`), outfile: join(folder, 'again.gguf'), split: { maxTensors: 20, noTensorFirst: true } })
      for (const name of ones) {
        assert.deepEqual(readFileSync(join(folder, name)), readFileSync(join(folder, name.replace('one', 'again'))))
        rmSync(join(folder, name.replace('one', 'again')))
      }
    }
  })

  it('is one plain file where the limits are not met', async (t) => {
    const folder = workspace(t, 'split-one')
    await made({ model: STORY, outtype: 'q8_0', outfile: join(folder, 'one.gguf'), split: { maxBytes: 1e9, maxTensors: 1000 } })
    await made({ model: STORY, outtype: 'q8_0', outfile: join(folder, 'plain.gguf') })
    assert.deepEqual(readFileSync(join(folder, 'one.gguf')), readFileSync(join(folder, 'plain.gguf')))
  })

  it('gives a tensor that is larger than the limit a part of its own', async (t) => {
    const folder = workspace(t, 'split-large')
    const model = writeSmallLlama(folder, () => 'F32')
    const { files } = await made({ model, noVocab: true, outtype: 'f32', outfile: join(folder, 'm.gguf'), split: { maxBytes: 1000 } })
    const parts = await Promise.all(files.map(({ name }) => readGguf(join(folder, name))))
    assert.ok(parts.every(({ tensors }) => tensors.length >= 1))
    assert.equal(
      parts.reduce((sum, { tensors }) => sum + tensors.length, 0),
      21,
    )
  })

  it('has a receipt, and a Modelfile with a FROM line for each part, which is ours to replace', async (t) => {
    const folder = workspace(t, 'split-modelfile')
    const options: GgufOptions = { model: STORY, outtype: 'q8_0', outfile: join(folder, 'story.gguf'), split: { maxTensors: 20 } }
    const plan = await planGguf(options)
    await execute(plan)
    const parts = ['story-00001-of-00002.gguf', 'story-00002-of-00002.gguf']
    assert.deepEqual(names(folder), ['Modelfile', parts[0], 'story-00001-of-00002.gguf.receipt.json', parts[1]])
    const from = (text: string): string[] => text.split('\n').filter((line) => line.startsWith('FROM '))
    assert.deepEqual(
      from(readFileSync(join(folder, 'Modelfile'), 'utf8')),
      parts.map((part) => `FROM ./${part}`),
    )
    const receipt = JSON.parse(readFileSync(join(folder, 'story-00001-of-00002.gguf.receipt.json'), 'utf8')) as object
    for (const part of parts) assert.ok(JSON.stringify(receipt).includes(part), part)
    await execute(await planGguf(options), { force: true })
    assert.deepEqual(names(folder).length, 4)
    // the same from a GGUF in parts
    await execute(await planGguf({ model: join(folder, parts[1] ?? ''), outfile: join(folder, 'sub', 'kept.gguf'), keepSplit: true }))
    assert.deepEqual(from(readFileSync(join(folder, 'sub', 'Modelfile'), 'utf8')), ['FROM ./kept-00001-of-00002.gguf', 'FROM ./kept-00002-of-00002.gguf'])
  })

  it('is joined or split beside it under a name without numbers, never over an input', async (t) => {
    const folder = workspace(t, 'split-names')
    await made({ model: STORY, outtype: 'q8_0', outfile: join(folder, 'x-Q8_0.gguf'), split: { maxTensors: 20 } })
    const part = join(folder, 'x-Q8_0-00002-of-00002.gguf')
    assert.equal((await planGguf({ model: part })).target, 'x-Q8_0.gguf')
    assert.equal((await planGguf({ model: part, outtype: 'q4_k_m', quantize: { allowRequantize: true } })).target, 'x-Q4_K_M.gguf')
    assert.equal((await planGguf({ model: part, split: { maxTensors: 10 } })).target, 'x-Q8_0-00001-of-00004.gguf')
    await assert.rejects(planGguf({ model: part, keepSplit: true }), UsageError)
    await assert.rejects(planGguf({ model: part, outfile: join(folder, 'x-Q8_0-00001-of-00002.gguf') }), UsageError)
  })

  it('takes no limits beside --keep-split, and --keep-split no folder', async (t) => {
    const folder = workspace(t, 'split-options')
    await made({ model: STORY, outtype: 'q8_0', outfile: join(folder, 'x.gguf'), split: { maxTensors: 20 } })
    await assert.rejects(planGguf({ model: join(folder, 'x-00001-of-00002.gguf'), keepSplit: true, split: { maxTensors: 5 } }), UsageError)
    await assert.rejects(planGguf({ model: STORY, keepSplit: true }), UsageError)
  })

  it('is refused where a part is missing, numbered wrongly, or belongs to another file', async (t) => {
    const folder = workspace(t, 'split-broken')
    const model = writeSmallLlama(folder, () => 'F32')
    const parts = (stem: string): string[] => [1, 2, 3].map((number) => join(folder, `${stem}-0000${number}-of-00003.gguf`))
    for (const stem of ['missing', 'moved', 'twice'])
      await made({ model, noVocab: true, outtype: 'f16', outfile: join(folder, `${stem}.gguf`), split: { maxTensors: 7 } })
    rmSync(parts('missing')[1] ?? '')
    for (const i of [0, 2]) await assert.rejects(planGguf({ model: parts('missing')[i] ?? '' }), FileSystemError)
    const [first = '', second = '', third = ''] = parts('moved')
    renameSync(second, join(folder, 'aside'))
    renameSync(third, second)
    renameSync(join(folder, 'aside'), third)
    await assert.rejects(planGguf({ model: first }), (error) => error instanceof FormatError && /says it is part 2 of 3/.test(error.message))
    const [one = '', two = ''] = parts('twice')
    const copy = readFileSync(one)
    const key = copy.indexOf('split.no')
    copy.writeUInt16LE(1, key + 'split.no'.length + 4) // the first part once more, as the second
    writeFileSync(two, copy)
    await assert.rejects(planGguf({ model: one }), (error) => error instanceof FormatError && /two parts/.test(error.message))
  })

  it('takes adapters and a new type in one pass', async (t) => {
    const folder = workspace(t, 'split-merge')
    const model = writeSmallLlama(folder, () => 'F16')
    const path = writeAdapter(join(folder, 'adapter'), { modules: smallLlamaModules(1, 'q_proj', 'up_proj') })
    await made({ model, noVocab: true, outtype: 'f16', outfile: join(folder, 'whole.gguf') })
    await made({ model: join(folder, 'whole.gguf'), outfile: join(folder, 'parts.gguf'), split: { maxTensors: 9 } })
    const options = { adapters: [{ path, weight: 0.5 }], outtype: 'q5_k_m' } as const
    await made({ ...options, model: join(folder, 'whole.gguf'), outfile: join(folder, 'a.gguf') })
    await made({ ...options, model: join(folder, 'parts-00003-of-00003.gguf'), outfile: join(folder, 'b.gguf') })
    assert.deepEqual(readFileSync(join(folder, 'b.gguf')), readFileSync(join(folder, 'a.gguf')))
  })
})
