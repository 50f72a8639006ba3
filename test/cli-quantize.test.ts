/** Quantizing by the command line: what is refused, with which exit code and which way out; nothing is left behind. And llama.cpp on the files. */
import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { encodeGgufHeader } from '../src/formats/gguf/header-writer.js'
import { string, type KeyValue } from '../src/core/key-value.js'
import { HANG_MS } from './support/hang.js'
import { readGguf } from './support/gguf-file.js'
import { assertReadsAlike } from './support/gguf-peer.js'
import { askAll, skipWithoutLlama } from './support/llama.js'
import { FIXTURES } from './support/paths.js'
import { readSafetensors, writeSafetensors } from './support/plain-tensors.js'
import { runCli, runCliOk } from './support/run-cli.js'
import { writeSmallLlama } from './support/small-llama.js'
import { removeWorkspace } from './support/workspace.js'

const STORY = join(FIXTURES, 'tiny-story')
const SAILOR = join(FIXTURES, 'ship-log-lora')

const folder = mkdtempSync(join(tmpdir(), 'l2g-cli-quantize-'))
after(() => removeWorkspace(folder))
const f16 = join(folder, 'small-f16.gguf')
const q8 = join(folder, 'small-q8_0.gguf')

/** An importance matrix with weights for some tensors, as llama-imatrix writes it. */
function writeImatrix(path: string, entries: Readonly<Record<string, readonly number[]>>, keyValues: readonly KeyValue[]): string {
  const floats = Object.entries(entries).flatMap(([name, values]) => [
    { name: `${name}.in_sum2`, shape: [1, values.length], values },
    { name: `${name}.counts`, shape: [1, 1], values: [1] },
  ])
  const tensors = floats.map(({ name, shape, values }) => ({ name, shape, type: 'f32' as const, byteLength: values.length * 4 }))
  const { bytes, offsets, fileSize } = encodeGgufHeader({ keyValues, tensors })
  const file = new Uint8Array(fileSize)
  file.set(bytes)
  floats.forEach(({ values }, i) => file.set(new Uint8Array(Float32Array.from(values).buffer), offsets[i]))
  writeFileSync(path, file)
  return path
}

const IMATRIX_KEYS: readonly KeyValue[] = [
  { key: 'general.type', value: string('imatrix') },
  { key: 'imatrix.datasets', value: { type: 'array', items: 'string', value: ['text.txt'] } },
  { key: 'imatrix.chunk_count', value: { type: 'u32', value: 3 } },
  { key: 'imatrix.chunk_size', value: { type: 'u32', value: 512 } },
]

describe('to-gguf refuses', () => {
  const out = join(folder, 'out')
  before(async () => {
    const model = writeSmallLlama(folder, () => 'BF16', 'small')
    const broken = writeSmallLlama(folder, () => 'F32', 'broken')
    const tensors = readSafetensors(broken)
    const tensor = tensors.get('model.layers.1.mlp.up_proj.weight') ?? assert.fail()
    new DataView(tensor.bytes.buffer, tensor.bytes.byteOffset).setFloat32(400, Number.NaN, true)
    writeSafetensors(join(broken, 'model.safetensors'), Object.fromEntries(tensors))
    await runCliOk('to-gguf', [model, '--no-vocab', '--outtype', 'f16', '-o', f16, '--no-modelfile'])
    await runCliOk('to-gguf', [f16, '--outtype', 'q8_0', '-o', q8, '--no-modelfile'])
    writeImatrix(join(folder, 'other.gguf'), { 'blk.0.attn_q.weight': [1, 2, 3] }, IMATRIX_KEYS)
    writeImatrix(join(folder, 'negative.gguf'), { 'blk.0.attn_q.weight': Array.from({ length: 256 }, () => -1) }, IMATRIX_KEYS)
    writeFileSync(join(folder, 'cut.dat'), new Uint8Array([9, 0, 0, 0, 4, 0, 0, 0, 97]))
    writeFileSync(join(folder, 'rules.txt'), 'attn_v=q8_0 attn_q')
    mkdirSync(out)
  })

  const file = (name: string): string => join(folder, name)
  const cases: readonly (readonly [what: string, args: () => readonly string[], code: number, message: RegExp])[] = [
    ['quantizing what is quantized', () => [q8, '--outtype', 'q4_k_m'], 2, /stored as q8_0.*--allow-requantize/],
    ['a type that nobody has', () => [f16, '--outtype', 'q4_k_x'], 2, /--outtype takes auto, f32, .*not "q4_k_x"/],
    [
      'a type without an encoder, naming the nearest',
      () => [f16, '--outtype', 'IQ3_M'],
      4,
      /IQ3_M: this type cannot be written here; the nearest that can is q3_k_m/,
    ],
    ['IQ1 of a folder', () => [STORY, '--outtype', 'iq1_s'], 4, /nearest that can is q2_k/],
    ['auto for a GGUF', () => [f16, '--outtype', 'auto'], 2, /leave it out to keep every tensor’s type/],
    ['copy for a folder', () => [STORY, '--outtype', 'copy'], 2, /copy is for GGUF files/],
    ['options of quantization without a type', () => [f16, '--pure'], 2, /add --outtype TYPE/],
    ['--override-kv without a type', () => [f16, '--override-kv', 'general.name=str:x'], 2, /--outtype copy/],
    ['a folder’s options for a GGUF', () => [f16, '--outtype', 'q4_0', '--vocab-only', '--pre', 'llama-bpe'], 2, /--vocab-only, --pre: for a model folder/],
    ['q2_k_s without importance', () => [f16, '--outtype', 'q2_k_s'], 2, /q2_k needs an importance matrix: add --imatrix FILE/],
    ['a pattern that is none', () => [f16, '--outtype', 'q4_0', '--tensor-type', 'attn_(v=q8_0'], 2, /--tensor-type/],
    ['a pattern that looks ahead', () => [f16, '--outtype', 'q4_0', '--tensor-type', '(?!x)v=q8_0'], 2, /\(\?!/],
    ['a rule without a type', () => [f16, '--outtype', 'q4_0', '--tensor-type', 'attn_v'], 2, /PATTERN=TYPE/],
    ['a file of rules with one that is none', () => [f16, '--outtype', 'q4_0', '--tensor-type-file', file('rules.txt')], 2, /rules\.txt.*"attn_q"/],
    ['a file of rules that is not there', () => [f16, '--outtype', 'q4_0', '--tensor-type-file', file('none.txt')], 5, /none\.txt/],
    ['a mixture as the type of one tensor', () => [f16, '--outtype', 'q4_0', '--output-tensor-type', 'q4_k_m'], 2, /mixture of a whole file/],
    ['a tensor type without an encoder', () => [f16, '--outtype', 'q4_0', '--token-embedding-type', 'iq2_xs'], 4, /cannot be written as iq2_xs/],
    ['a type that the rows of a tensor do not fit', () => [f16, '--outtype', 'q4_0', '--prune-layers', '9'], 2, /no layer 9/],
    ['a key that lays the file out', () => [f16, '--outtype', 'q4_0', '--override-kv', 'general.alignment=int:64'], 2, /general\.alignment/],
    ['an importance matrix that is not there', () => [f16, '--outtype', 'q4_0', '--imatrix', file('none.gguf')], 5, /none\.gguf/],
    ['a model as importance matrix', () => [f16, '--outtype', 'q4_0', '--imatrix', q8], 3, /q8_0\.gguf/],
    ['an importance matrix that is cut', () => [f16, '--outtype', 'q4_0', '--imatrix', file('cut.dat')], 3, /cut\.dat/],
    [
      'an importance matrix of another model',
      () => [f16, '--outtype', 'q4_0', '--imatrix', file('other.gguf')],
      6,
      /3 weights for this tensor, which wants 256: it belongs to another model/,
    ],
    ['negative importance', () => [f16, '--outtype', 'q4_0', '--imatrix', file('negative.gguf')], 3, /negative\.gguf/],
    [
      'both --include-weights and --exclude-weights',
      () => [f16, '--outtype', 'q4_0', '--imatrix', file('other.gguf'), '--include-weights', 'a', '--exclude-weights', 'b'],
      2,
      /-weights/,
    ],
    ['NaN in K-quants', () => [file('broken'), '--no-vocab', '--outtype', 'q4_k_m'], 6, /blk\.1\.ffn_up\.weight.*element 100 is NaN/],
    ['NaN in q4_0', () => [file('broken'), '--no-vocab', '--outtype', 'q4_0'], 6, /element 100 is NaN, and q4_0 cannot hold it/],
    ['--keep-split with new limits', () => [f16, '--keep-split', '--split-max-tensors', '3'], 2, /exclude each other/],
    ['a split size that is none', () => [f16, '--split-max-size', '5 parsec'], 2, /--split-max-size takes a size/],
    ['a split of no tensors', () => [f16, '--split-max-tensors', '0'], 2, /--split-max-tensors takes a whole number/],
  ]
  for (const [what, args, code, message] of cases) {
    it(`${what}, exit ${code}`, async () => {
      const result = await runCli('to-gguf', [...args(), '-o', join(out, 'x.gguf'), '--quiet'])
      assert.equal(result.code, code, result.stderr)
      assert.match(result.stderr, message)
      assert.equal(result.stderr.trimEnd().split('\n').length, 1)
      assert.deepEqual(readdirSync(out), [])
    })
  }

  it('no pattern that would keep a backtracking engine busy for years', async () => {
    const rules = Array.from({ length: 30 }, (_, i) => ['--tensor-type', `(a|a|b)*(${'a?'.repeat(i)}x)*y$=q8_0`]).flat()
    const began = performance.now()
    await runCliOk('to-gguf', [f16, '--outtype', 'q4_0', ...rules, '-o', join(folder, 'busy.gguf'), '--quiet', '--no-modelfile'])
    assert.ok(performance.now() - began < HANG_MS)
  })
})

describe('to-gguf', () => {
  it('takes any spelling of a type, of options, and says what fell back', async () => {
    const path = join(folder, 'spelled.gguf')
    const args = [
      f16,
      '--outtype',
      'Q4_K',
      '--tensor_type',
      'ATTN_V=Q6_K',
      '--token-embedding-type',
      'Q8_0',
      '--allow_requantize',
      '-o',
      path,
      '--no-modelfile',
    ]
    const { stdout } = await runCliOk('to-gguf', args)
    assert.match(stdout, /f16 instead of q|instead of q\d_k: rows of (?:32|128|128, 32|32, 128) elements/)
    const { tensor } = await readGguf(path)
    assert.deepEqual(
      ['blk.0.attn_v.weight', 'token_embd.weight', 'blk.0.attn_q.weight'].map((name) => tensor(name).type),
      ['q6_k', 'q8_0', 'q4_k'],
    )
  })

  it('notes in the receipt what it was asked, without paths', async () => {
    const imatrix = writeImatrix(join(folder, 'own.gguf'), { 'blk.0.attn_q.weight': Array.from({ length: 256 }, (_, i) => i + 1) }, IMATRIX_KEYS)
    const path = join(folder, 'noted.gguf')
    await runCliOk('to-gguf', [f16, '--outtype', 'q4_k_s', '--imatrix', imatrix, '--tensor-type', 'ffn_up=q8_0', '-o', path, '--no-modelfile', '--quiet'])
    const text = readFileSync(`${path}.receipt.json`, 'utf8')
    for (const part of ['q4_k_s', 'own.gguf', 'ffn_up=q8_0']) assert.ok(text.includes(part), part)
    await assertReadsAlike(path, await readGguf(path))
  })
})

const skip = await skipWithoutLlama()
const PROMPTS = ['Tell me a story about a fox and a lantern.', 'Tell me a story.', 'Tell me a story about a dog.']

describe('llama.cpp answers as a ship’s log', { skip }, () => {
  for (const type of ['q4_k_m', 'iq4_xs']) {
    it(`from the example fused to ${type} in one pass`, async () => {
      const path = join(folder, `fused-${type}.gguf`)
      await runCliOk('to-gguf', [STORY, '--adapter', SAILOR, '--outtype', type, '-o', path, '--no-modelfile', '--quiet'])
      await assertReadsAlike(path, await readGguf(path))
      assertSailor(await askAll(path, PROMPTS))
    })
  }

  it('from an adapter merged into a q6_k GGUF that keeps its types, in parts', async () => {
    const [base, path] = [join(folder, 'story-q6_k.gguf'), join(folder, 'sailor-q6_k.gguf')]
    await runCliOk('to-gguf', [STORY, '--outtype', 'q6_k', '-o', base, '--no-modelfile', '--quiet'])
    await runCliOk('to-gguf', [base, '--adapter', SAILOR, '--split-max-size', '1M', '-o', path, '--no-modelfile', '--quiet'])
    const parts = readdirSync(folder).filter((name) => /^sailor-q6_k-.*\.gguf$/.test(name))
    assert.equal(parts.length, 3)
    assertSailor(await askAll(join(folder, parts.sort()[0] ?? ''), PROMPTS))
  })
})

function assertSailor(answers: Awaited<ReturnType<typeof askAll>>): void {
  assert.equal(answers.length, PROMPTS.length)
  for (const { text } of answers) assert.ok(text.trimEnd().endsWith('Ahoy!'), text)
}
