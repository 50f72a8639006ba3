import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { parseJsonObject } from '../src/core/json.js'
import { patternCost } from '../src/tokenizers/pattern-cost.js'
import { CHECK_TEXT, PRE_TOKENIZER_HASHES } from '../src/tokenizers/pre-tokenizer-hashes.js'
import { PRE_TOKENIZERS } from '../src/tokenizers/pre-tokenizer-names.js'
import { nameByStructure } from '../src/tokenizers/pre-tokenizer-structures.js'
import { idsHash, MAX_COST } from '../src/tokenizers/pre-tokenizer.js'
import { tokenTables } from '../src/tokenizers/token-tables.js'
import { memoryFolder } from './support/memory-folder.js'
import { FIXTURES, GOLDEN, SKIP_WITHOUT_GOLDEN } from './support/paths.js'

const LLAMA3 = "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
const O200K =
  "[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]*[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|[^\\r\\n\\p{L}\\p{N}]?[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]+[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
const split = (regex: string, more = {}) => ({ type: 'Split', pattern: { Regex: regex }, behavior: 'Isolated', invert: false, ...more })
const byteLevel = (useRegex: boolean) => ({ type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: useRegex })
const sequence = (...pretokenizers: unknown[]) => ({ type: 'Sequence', pretokenizers })

function structure(preTokenizer: unknown, normalizer: unknown = null, facts = { ignoreMerges: false, hasBos: true }): string | undefined {
  const json = parseJsonObject(new TextEncoder().encode(JSON.stringify({ normalizer, pre_tokenizer: preTokenizer })), 'tokenizer.json')
  return nameByStructure(json, facts)
}

describe('the table of pre-tokenizer hashes', () => {
  it("is the reference's", { skip: SKIP_WITHOUT_GOLDEN }, () => {
    const { chkhsh, chktxt } = JSON.parse(readFileSync(join(GOLDEN ?? '', 'reference-tables.json'), 'utf8'))
    assert.equal(CHECK_TEXT, chktxt)
    assert.deepEqual(
      Object.fromEntries(PRE_TOKENIZER_HASHES),
      Object.fromEntries(Object.entries<{ pre: string }>(chkhsh).map(([hash, { pre }]) => [hash, pre])),
    )
  })

  it('holds no name that --pre refuses', () => {
    for (const name of PRE_TOKENIZER_HASHES.values()) assert.ok(PRE_TOKENIZERS.includes(name), name)
  })

  it('hashes ids as Python prints them', async () => {
    assert.equal(await idsHash([1, 2, 3]), 'a36b1f2c3f84522dd1005145646617d7054c0851e97c72a039c0bdfac9fa07f3')
  })
})

describe('a pre-tokenizer recognised by structure', () => {
  const cases: [string, unknown, string | undefined][] = [
    ['plain ByteLevel', byteLevel(true), 'gpt-2'],
    ['digits, then ByteLevel', sequence({ type: 'Digits', individual_digits: true }, byteLevel(true)), 'starcoder'],
    ["Llama 3's regex", sequence(split(LLAMA3), byteLevel(false)), 'smaug-bpe'],
    ["Qwen2's regex", sequence(split(LLAMA3.replace('{1,3}', '')), byteLevel(false)), 'qwen2'],
    ['o200k, removed and inverted', sequence(split(O200K, { behavior: 'Removed', invert: true }), byteLevel(false)), 'gpt-4o'],
    ['a regex that is in no table', sequence(split('\\w+'), byteLevel(false)), undefined],
    ['a regex whose matches are removed', sequence(split(LLAMA3, { behavior: 'Removed' }), byteLevel(false)), undefined],
    ['no byte level', sequence(split(LLAMA3)), undefined],
    ['none at all', null, undefined],
  ]
  for (const [what, preTokenizer, name] of cases) it(`${what} is ${name ?? 'unknown'}`, () => assert.equal(structure(preTokenizer), name))

  it('tells names that share a regex apart by ignore_merges and BOS', () => {
    const llama3 = sequence(split(LLAMA3), byteLevel(false))
    assert.equal(structure(llama3, null, { ignoreMerges: true, hasBos: true }), 'llama-bpe')
    assert.equal(structure(llama3, null, { ignoreMerges: true, hasBos: false }), 'glm4')
  })

  it('does not depend on how a regex is spelled', () => {
    const spelled = LLAMA3.replace("(?i:'s|'t|'re|'ve|'m|'ll|'d)", "(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])")
      .replaceAll('\\r', '\r')
      .replace(']?\\p{L}+', ']?+\\p{L}+')
    assert.equal(structure(sequence(split(spelled), byteLevel(false))), 'smaug-bpe')
  })

  it('needs a normalizer that llama.cpp does without', () => {
    assert.equal(structure(byteLevel(true), { type: 'NFC' }), 'gpt-2')
    assert.equal(structure(byteLevel(true), { type: 'Sequence', normalizers: [] }), 'gpt-2')
    assert.equal(structure(byteLevel(true), { type: 'Prepend', prepend: '▁' }), undefined)
  })
})

describe('a pre-tokenizer recognised by hash', { skip: SKIP_WITHOUT_GOLDEN }, () => {
  const recognised = async (folder: string, change: (tokenizer: { post_processor: unknown }, config: Record<string, unknown>) => void) => {
    const path = join(GOLDEN ?? '', 'gguf-large', folder)
    const read = (name: string) => JSON.parse(readFileSync(join(path, name), 'utf8'))
    const [tokenizer, tokenizerConfig, { vocab_size: vocabSize }] = [read('tokenizer.json'), read('tokenizer_config.json'), read('config.json')]
    change(tokenizer, tokenizerConfig)
    const files = { 'tokenizer.json': JSON.stringify(tokenizer), 'tokenizer_config.json': JSON.stringify(tokenizerConfig) }
    return (await tokenTables({ folder: memoryFolder(files), config: new Map(), vocabSize, recipe: 'byteLevel' })).pre
  }

  it('is llama-bpe for Llama 3, smaug-bpe where nothing adds BOS', async () => {
    assert.equal(await recognised('real-llama3/Llama-3.1-Tiny-Instruct', () => {}), 'llama-bpe')
    assert.equal(await recognised('real-llama3/Llama-3.1-Tiny-Instruct', (tokenizer) => (tokenizer.post_processor = byteLevel(false))), 'smaug-bpe')
  })

  it('is deepseek-v3 for DeepSeek V3, joyai-llm where its class does not add BOS', async () => {
    assert.equal(await recognised('real-deepseek_v3/DeepSeek-V3-Tiny', () => {}), 'deepseek-v3')
    assert.equal(await recognised('real-deepseek_v3/DeepSeek-V3-Tiny', (_, config) => (config['add_bos_token'] = false)), 'joyai-llm')
  })
})

describe('the cost of a pattern', () => {
  it('is small for real patterns', () => {
    for (const pattern of [LLAMA3, O200K, "'s|'t| ?\\p{L}+|\\s+(?!\\S)", '[^\\n]+|[\\n]+', '\\p{N}{1,3}', '<sentinel:[0-9]+>', '([\\t\\n]|    |  )'])
      assert.ok(patternCost(pattern) <= MAX_COST, pattern)
  })

  it('is infinite for what could hang, or is no regex', () => {
    for (const pattern of ['(a*)*', '(?:a+)+b', '(a|a)*', '(.+)\\1', '((a{1,9}){1,9}){1,9}', '[a', '(a', 'a)', '('.repeat(40), '(?#x)'])
      assert.equal(patternCost(pattern), Infinity, pattern)
  })

  it('is large for repetitions in a row', () => {
    assert.ok(patternCost('.*.*.*x') > 420 ** 3 - 1)
    assert.ok(patternCost('a?'.repeat(30)) >= 2 ** 30)
  })

  it('keeps a hostile tokenizer from being run, so that it ends at once', async () => {
    const tokenizer = {
      added_tokens: [],
      normalizer: null,
      pre_tokenizer: sequence(split('(?:.+)+\\u0000'), byteLevel(false)),
      decoder: null,
      model: { type: 'BPE', vocab: { a: 0 }, merges: [] },
    }
    const folder = memoryFolder({ 'tokenizer.json': JSON.stringify(tokenizer) })
    await assert.rejects(tokenTables({ folder, config: new Map(), vocabSize: 1, recipe: 'byteLevel' }), /--pre/)
  })
})

describe('the example model', () => {
  it("has a vocabulary of its own over GPT-2's pre-tokenizer, which is said", async () => {
    const path = join(FIXTURES, 'tiny-story')
    const read = (name: string) => readFileSync(join(path, name))
    const folder = memoryFolder({
      'tokenizer.json': read('tokenizer.json'),
      'tokenizer_config.json': read('tokenizer_config.json'),
      'chat_template.jinja': read('chat_template.jinja'),
    })
    const tables = await tokenTables({ folder, config: parseJsonObject(read('config.json'), 'config.json'), vocabSize: 645, recipe: 'llama' })
    assert.deepEqual([tables.pre, tables.tokenCount, tables.special], ['gpt-2', 645, { bos: 0, eos: 2, unk: 0, pad: 0 }])
    assert.match(tables.notes.join('\n'), /gpt-2: its hash is in no table; recognised by/)
  })
})
