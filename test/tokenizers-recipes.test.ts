/** What the recipes do where the reference stops, chooses or refuses; what it writes itself is held by tokenizers-reference.test.ts. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { FileSystemError, FormatError, MismatchError, UnsupportedError } from '../src/core/errors.js'
import { parseJsonObject } from '../src/core/json.js'
import type { TokenizerRecipe } from '../src/core/tokenizer-recipes.js'
import { encodeCheckText } from '../src/tokenizers/check-text.js'
import { CHECK_TEXT } from '../src/tokenizers/pre-tokenizer-hashes.js'
import { readRanks, rebuildMerges } from '../src/tokenizers/tiktoken.js'
import { tokenTables } from '../src/tokenizers/token-tables.js'
import { readVocabulary } from '../src/tokenizers/tokenizer-json.js'
import { tokenizerFiles } from '../src/tokenizers/tokenizer-files.js'
import { memoryFolder } from './support/memory-folder.js'
import { FIXTURES } from './support/paths.js'
import { addedToken, BYTE_LEVEL } from './support/tokenizer-json.js'

type Contents = Record<string, string | Uint8Array>
const reference = JSON.parse(readFileSync(join(FIXTURES, 'tokenizers', 'reference.json'), 'utf8')) as {
  files: (string | { base64: string })[]
  cases: { name: string; files: Record<string, number> }[]
}

/** The files of a case that the reference was run on. */
function filesOf(name: string): Contents {
  const found = reference.cases.find((one) => one.name === name)
  assert.ok(found, name)
  return Object.fromEntries(
    Object.entries(found.files).map(([file, number]) => {
      const stored = reference.files[number] ?? ''
      return [file, typeof stored === 'string' ? stored : Uint8Array.from(Buffer.from(stored.base64, 'base64'))]
    }),
  )
}

async function tables(recipe: TokenizerRecipe, files: Contents, vocabSize = 0, config: object = {}, pre?: string) {
  const parsed = parseJsonObject(new TextEncoder().encode(JSON.stringify(config)), 'config.json')
  const made = await tokenTables({ folder: memoryFolder(files), config: parsed, vocabSize, recipe, ...(pre === undefined ? {} : { pre }) })
  const values = new Map(
    made.keyValues.map(({ key, value }) => [key.replace('tokenizer.ggml.', ''), value.type === 'array' ? Array.from<unknown>(value.value) : value.value]),
  )
  return { values, notes: made.notes.join('\n'), tokens: made.tokens }
}

const json = (value: unknown) => JSON.stringify(value)
const added = (id: number, content: string, special = true, normalized = false) => addedToken(id, content, special, normalized)

/** A byte-level tokenizer of a few tokens. */
function small(specials: readonly string[] = [], more: object = {}): Contents {
  const vocab = { a: 0, b: 1, ab: 2 }
  return {
    'tokenizer.json': json({
      added_tokens: specials.map((content, i) => added(3 + i, content)),
      normalizer: null,
      pre_tokenizer: BYTE_LEVEL,
      post_processor: null,
      decoder: BYTE_LEVEL,
      model: { type: 'BPE', vocab, merges: ['a b'] },
      ...more,
    }),
    'tokenizer_config.json': json({ tokenizer_class: 'PreTrainedTokenizerFast' }),
  }
}

describe('a fine-tune that transformers 5 saved, without tokenizer.model', () => {
  const model = filesOf('llama-model')['tokenizer.model'] ?? ''
  const saved = filesOf('llama-v5')

  it('has the pieces, scores and types that its tokenizer.model had', async () => {
    const before = await tables('sentencePiece', { 'tokenizer.model': model, 'tokenizer_config.json': listed(saved) }, 361)
    const after = await tables('sentencePiece', saved, 361)
    for (const key of ['model', 'pre', 'tokens', 'scores', 'token_type']) assert.deepEqual(after.values.get(key), before.values.get(key), key)
    assert.match(after.notes, /there is no tokenizer\.model: its pieces and scores were rebuilt from tokenizer\.json/)
    assert.doesNotMatch(before.notes, /rebuilt/)
  })

  for (const recipe of [
    'gemma',
    'gemma2',
    'gemma3',
    'phi3',
    'nemotron',
    'internLm3',
    'sentencePieceWithPrefix',
    'sentencePieceOrByteLevel',
    'dream',
  ] as const) {
    it(`converts for ${recipe}, where the reference stops`, async () => {
      const { values, notes } = await tables(recipe, saved, 361)
      assert.equal(values.get('model'), 'llama')
      assert.match(notes, /rebuilt from tokenizer\.json/)
      const scores = values.get('scores') as number[]
      assert.ok(new Set(scores).size > 50, 'scores tell pieces apart')
    })
  }

  it('is byte-level BPE where the user names a pre-tokenizer', async () => {
    const { values } = await tables('gemma3', saved, 361, {}, 'gpt-2')
    assert.deepEqual([values.get('model'), values.get('pre')], ['gpt2', 'gpt-2'])
  })

  it('keeps a tab as the byte it was, as in Gemma’s tokenizer.json', async () => {
    const text = String(saved['tokenizer.json']).replace('"<0x09>"', String.raw`"\t"`)
    const { tokens, values } = await tables('gemma2', { ...saved, 'tokenizer.json': text }, 361)
    const id = tokens.indexOf('<0x09>')
    assert.ok(id > 0)
    assert.equal((values.get('token_type') as number[])[id], 6)
  })

  it('scores pieces by their merges where ids do not follow them', async () => {
    const { values, tokens } = await tables('sentencePiece', {
      'tokenizer.json': json({
        added_tokens: [],
        decoder: { type: 'Sequence', decoders: [] },
        model: {
          type: 'BPE',
          byte_fallback: true,
          unk_token: '<unk>',
          vocab: { '<unk>': 0, '<0x41>': 1, c: 2, abc: 3, ab: 4, a: 5, b: 6 },
          merges: ['a b', 'ab c'],
        },
      }),
    })
    assert.deepEqual(tokens, ['<unk>', '<0x41>', 'c', 'abc', 'ab', 'a', 'b'])
    assert.deepEqual(values.get('scores'), [0, 0, -2, -1, -0, -3, -4])
    assert.deepEqual(values.get('token_type'), [2, 6, 1, 1, 1, 1, 1])
  })

  it('is written as byte-level BPE when that is what it is, and this is said', async () => {
    const { values, notes } = await tables('sentencePiece', small(), 3)
    assert.equal(values.get('model'), 'gpt2')
    assert.match(notes, /no tokenizer\.model, and the tokenizer is byte-level BPE/)
  })
})

/** tokenizer_config.json with the added tokens that a tokenizer.json lists, as transformers 4 wrote both. */
function listed(files: Contents): string {
  const tokens = (JSON.parse(String(files['tokenizer.json'])) as { added_tokens: { id: number }[] }).added_tokens
  return json({ added_tokens_decoder: Object.fromEntries(tokens.map((token) => [token.id, token])) })
}

describe('recipes that choose', () => {
  it('take DeciLM for byte-level at 128256 tokens, and for Llama 2 otherwise', async () => {
    assert.equal((await tables('deci', small(), 128256)).values.get('model'), 'gpt2')
    assert.equal((await tables('deci', filesOf('llama-v5'), 361)).values.get('model'), 'llama')
  })

  it('round the vocabulary up for Mamba layers, and for them only', async () => {
    const count = async (recipe: TokenizerRecipe, config: object) => (await tables(recipe, small(), 3, config)).tokens.length
    assert.equal(await count('mamba', {}), 8)
    assert.equal(await count('mamba2', {}), 16)
    assert.equal(await count('mamba', { pad_vocab_size_multiple: 5 }), 5)
    assert.equal(await count('graniteHybrid', { layer_types: ['mamba', 'attention'] }), 8)
    assert.equal(await count('graniteHybrid', { layer_types: ['attention'] }), 3)
    assert.equal(await count('nemotronH', {}), 8)
  })

  it('write bos 151643 for Intern-S1 unless the files name one', async () => {
    assert.equal((await tables('internS1', small(), 3)).values.get('bos_token_id'), 151643)
    assert.equal((await tables('internS1', small(), 3, { bos_token_id: 2 })).values.get('bos_token_id'), 2)
  })

  it('let DeepSeek 3.2 add BOS though the tokenizer says otherwise, and say so', async () => {
    const files = { ...small(), 'tokenizer_config.json': json({ add_bos_token: false }) }
    const { values, notes } = await tables('deepseek32', files, 3)
    assert.equal(values.get('add_bos_token'), true)
    assert.match(notes, /add_bos_token was written true/)
  })

  it('prefer the template beside a checkpoint in Mistral’s own format, and llama.cpp’s for a transformers folder', async () => {
    const files = { ...filesOf('llama-tekken'), 'chat_template.jinja': '{{ own }}' }
    assert.equal((await tables('mistral', files)).values.get('tokenizer.chat_template'), '{{ own }}')
    assert.equal((await tables('llama', files)).values.get('tokenizer.chat_template'), 'mistral-v7-tekken')
  })

  it('end Kimi K3’s turns with the configured token', async () => {
    const files = filesOf('kimiLinear-tiktoken')
    const { values, notes } = await tables('kimiK3', files, 0, { eos_token_id: 7 })
    assert.equal(values.get('eos_token_id'), 7)
    assert.equal(values.get('pre'), 'kimi-k2')
    assert.match(notes, /no chat template/)
  })
})

describe('tokens that only a tokenizer class has', () => {
  const files = { ...small(), 'tokenizer_config.json': json({ tokenizer_class: 'GPT2Tokenizer' }) }

  it('take a padding row where there is one', async () => {
    assert.deepEqual((await tables('byteLevel', files, 5)).tokens, ['a', 'b', 'ab', '<|endoftext|>', '[PAD4]'])
  })

  it('are left out where the embedding has no row for them', async () => {
    assert.deepEqual((await tables('byteLevel', files, 3)).tokens, ['a', 'b', 'ab'])
  })

  it('do not excuse a token of the files that has no row', async () => {
    await assert.rejects(tables('byteLevel', small(['<x>']), 3), MismatchError)
  })
})

describe('broken tokenizers are refused by name', () => {
  const refused: [string, TokenizerRecipe, Contents, new (...all: never[]) => Error, RegExp][] = [
    ['a GLM without its turn token', 'glm4', small(['<|endoftext|>']), FormatError, /no added token "<\|user\|>"/],
    ['a Mamba without tokenizer', 'mamba', {}, FileSystemError, /gpt-neox-20b/],
    ['a Gemma without tokenizer', 'gemma', {}, FileSystemError, /tokenizer\.model/],
    ['WordPiece where byte-level is wanted', 'byteLevel', { 'vocab.txt': 'a\nb\n' }, UnsupportedError, /WordPiece/],
    ['a tiktoken file with a torn line', 'qwen', { 'qwen.tiktoken': 'YQ== 0\nYg==\n' }, FormatError, /line 2/],
    ['a tiktoken token that is no base64', 'qwen', { 'qwen.tiktoken': 'Y!== 0\n' }, FormatError, /not base64/],
    ['a tiktoken token twice', 'qwen', { 'qwen.tiktoken': 'YQ== 0\nYQ== 1\n' }, FormatError, /stands twice/],
    ['an RWKV line whose length lies', 'rwkvWorld', { 'rwkv_vocab_v20230424.txt': "1 'ab' 3\n" }, FormatError, /line 1/],
    ['an RWKV literal that does not end', 'rwkvWorld', { 'rwkv_vocab_v20230424.txt': "1 'ab 2\n" }, FormatError, /line 1/],
    ['a PLaMo line without score', 'plamo2', { 'tokenizer.jsonl': '["a"]\n' }, FormatError, /line 1/],
    [
      'a PLaMo special token that is none',
      'plamo2',
      { 'tokenizer.jsonl': '["a",0]\n', 'tokenizer_config.json': '{"bos_token":"b"}' },
      FormatError,
      /"bos_token"/,
    ],
    ['a tekken.json that promises more tokens', 'mistral', { 'tekken.json': tekken({ default_vocab_size: 400 }) }, FormatError, /380 tokens wanted/],
    ['a tekken.json of a later version without special tokens', 'mistral', { 'tekken.json': tekken({ version: 'v11' }) }, FormatError, /special_tokens/],
    ['a T5 whose model is no unigram', 't5', { 'spiece.model': filesOf('llama-model')['tokenizer.model'] ?? '' }, UnsupportedError, /unigram wanted/],
    ['a tokenizer in Python', 'llama', { 'tokenizer_config.json': json({ tokenizer_class: 'HybridDNATokenizer' }) }, UnsupportedError, /HybridDNA/],
    [
      'a Kimi whose eos is no token',
      'kimiLinear',
      { 'tiktoken.model': 'YQ== 0\n', 'tokenizer_config.json': '{"eos_token":"<x>"}' },
      FormatError,
      /eos token "<x>"/,
    ],
  ]
  for (const [what, recipe, files, kind, message] of refused) {
    it(what, async () => {
      await assert.rejects(tables(recipe, files), (error: Error) => error instanceof kind && message.test(error.message))
    })
  }
})

function tekken(config: object): string {
  const vocab = Array.from({ length: 256 }, (_, rank) => ({ rank, token_bytes: btoa(String.fromCharCode(rank)), token_str: null }))
  return json({ config: { default_vocab_size: 276, default_num_special_tokens: 20, version: 'v3', ...config }, vocab })
}

describe('rebuilt merges', () => {
  it('are the last step of encoding a token with the ranks below its own', () => {
    const ranks = readRanks(['a', 'b', 'c', 'ab', 'bc', 'abc', 'abcabc'].map((token, rank) => `${btoa(token)} ${rank}`).join('\n'), 'x.tiktoken')
    assert.deepEqual(rebuildMerges(ranks), ['a b', 'b c', 'ab c', 'abc abc'])
  })

  it('skip a token that no single merge makes', () => {
    assert.deepEqual(rebuildMerges(readRanks(`${btoa('a')} 0\n${btoa('aaa')} 1\n`, 'x.tiktoken')), [])
  })
})

describe('the check text', () => {
  it('gets the same ids with only the tokens and merges that occur in it as with all', async () => {
    const { Tokenizer } = await import('@huggingface/tokenizers')
    for (const name of ['byteLevel-json', 'glm4-json', 'bert-v5']) {
      const files = filesOf(name)
      const vocabulary = await readVocabulary(tokenizerFiles(memoryFolder(files)))
      assert.ok(vocabulary)
      const whole = new Tokenizer({ ...JSON.parse(String(files['tokenizer.json'])), decoder: null }, {})
      const ids = await encodeCheckText(vocabulary)
      assert.deepEqual(ids?.processed, whole.encode(CHECK_TEXT).ids, name)
      assert.deepEqual(ids?.bare, whole.encode(CHECK_TEXT, { add_special_tokens: false }).ids, name)
    }
  })
})
