/** A BERT with its tokenizer and its pooling, from the folder to the file: what sentence-transformers saves. */
import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it, type TestContext } from 'node:test'
import { FormatError } from '../src/core/errors.js'
import { execute, planGguf } from '../src/index.js'
import { architectureFixtures, writeArchitectureModel, type ArchitectureFixture } from './support/architecture-fixtures.js'
import { readGguf } from './support/gguf-file.js'
import { workspace } from './support/workspace.js'

const NAMED = ['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]']
const LETTERS = 'abcdefghijklmnopqrstuvwxyz'.split('')
const WORDS = [...NAMED, ...LETTERS, ...LETTERS.map((letter) => `##${letter}`)]

const special = (name: string, id: number): object => ({ id: name, type_id: 0, ids: [id] })
const TOKENIZER = {
  version: '1.0',
  added_tokens: NAMED.map((content, id) => ({ id, content, single_word: false, lstrip: false, rstrip: false, normalized: false, special: true })),
  normalizer: { type: 'BertNormalizer', clean_text: true, handle_chinese_chars: true, strip_accents: null, lowercase: true },
  pre_tokenizer: { type: 'BertPreTokenizer' },
  post_processor: {
    type: 'TemplateProcessing',
    single: [{ SpecialToken: special('[CLS]', 2) }, { Sequence: { id: 'A', type_id: 0 } }, { SpecialToken: special('[SEP]', 3) }],
    pair: [],
    special_tokens: { '[CLS]': { id: '[CLS]', ids: [2], tokens: ['[CLS]'] }, '[SEP]': { id: '[SEP]', ids: [3], tokens: ['[SEP]'] } },
  },
  decoder: { type: 'WordPiece', prefix: '##', cleanup: true },
  model: {
    type: 'WordPiece',
    unk_token: '[UNK]',
    continuing_subword_prefix: '##',
    max_input_chars_per_word: 100,
    vocab: Object.fromEntries(WORDS.map((word, id) => [word, id])),
  },
}
const TOKENIZER_CONFIG = {
  tokenizer_class: 'BertTokenizer',
  unk_token: '[UNK]',
  sep_token: '[SEP]',
  pad_token: '[PAD]',
  cls_token: '[CLS]',
  mask_token: '[MASK]',
}

function model(t: TestContext, name: string, change: (fixture: ArchitectureFixture) => ArchitectureFixture = (fixture) => fixture): string {
  const fixture = architectureFixtures().find((one) => one.case === name)
  if (fixture === undefined) throw new Error(`no fixture ${name}`)
  const folder = writeArchitectureModel(workspace(t, 'bert'), change(fixture))
  writeFileSync(join(folder, 'tokenizer.json'), JSON.stringify(TOKENIZER))
  writeFileSync(join(folder, 'tokenizer_config.json'), JSON.stringify(TOKENIZER_CONFIG))
  return folder
}

describe('a BERT with a vocabulary of its own', () => {
  it('converts with its words, its special tokens and its pooling', async (t) => {
    const folder = model(t, 'BertModel')
    const outfile = join(folder, 'out.gguf')
    await execute(await planGguf({ model: folder, outfile, outtype: 'f16', modelfile: false }), { threads: 1 })
    const keys = new Map((await readGguf(outfile)).keyValues.map(({ key, value }) => [key, value.value]))
    const tokens = keys.get('tokenizer.ggml.tokens') as string[]
    assert.deepEqual([tokens.slice(0, 6), tokens[31], tokens[57], tokens.length], [[...NAMED, '\u2581a'], 'a', '\u2581[PAD57]', 288])
    const wanted: [string, unknown][] = [
      ['bert.pooling_type', 1],
      ['bert.attention.causal', false],
      ['tokenizer.ggml.model', 'bert'],
      ['tokenizer.ggml.pre', 'default'],
      ['tokenizer.ggml.token_type_count', 2],
      ['tokenizer.ggml.bos_token_id', 2],
      ['tokenizer.ggml.eos_token_id', 3],
      ['tokenizer.ggml.add_bos_token', true],
      ['tokenizer.ggml.add_eos_token', true],
    ]
    assert.deepEqual(
      wanted.map(([key]) => [key, keys.get(key)]),
      wanted,
    )
  })

  it('that lacks a tensor is refused by its name', async (t) => {
    const without = (fixture: ArchitectureFixture): ArchitectureFixture => ({
      ...fixture,
      tensors: fixture.tensors.filter(([name]) => !name.startsWith('embeddings.token_type')),
    })
    await assert.rejects(planGguf({ model: model(t, 'BertModel', without), outfile: '/nowhere/out.gguf', noVocab: true }), (error: unknown) => {
      assert.ok(error instanceof FormatError)
      assert.match(error.message, /lacks 1 of its tensors: .*token_type_embeddings\.weight/)
      return true
    })
  })
})

describe('a classifier', () => {
  for (const [name, lost] of [
    ['BertForSequenceClassification', 'classifier.weight'],
    ['RobertaForSequenceClassification', 'classifier.dense.weight'],
    ['DistilBertForSequenceClassification', 'pre_classifier.weight'],
    ['ModernBertForSequenceClassification', 'head.dense.weight'],
  ] as const) {
    it(`of ${name} without ${lost} is refused`, async (t) => {
      const without = (fixture: ArchitectureFixture): ArchitectureFixture => ({ ...fixture, tensors: fixture.tensors.filter(([tensor]) => tensor !== lost) })
      await assert.rejects(planGguf({ model: model(t, name, without), outfile: '/nowhere/out.gguf', noVocab: true }), FormatError)
    })
  }
})
