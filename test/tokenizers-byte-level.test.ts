import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { FileSystemError, FormatError, MismatchError, type ToolkitError, UnsupportedError, UsageError } from '../src/core/errors.js'
import { parseJsonObject } from '../src/core/json.js'
import { tokenTables, type TokenTables } from '../src/tokenizers/token-tables.js'
import { memoryFolder } from './support/memory-folder.js'
import { addedToken, BYTE_LEVEL } from './support/tokenizer-json.js'

type JsonValue = Record<string, unknown>
const VOCAB = { '<|end|>': 0, a: 1, b: 2, ab: 3, __proto__x: 4 }
const added = (id: number, content: string, special = false, normalized = false) => addedToken(id, content, special, normalized)

function tokenizer(changes: JsonValue = {}, model: JsonValue = {}): string {
  const base = { added_tokens: [added(0, '<|end|>', true)], normalizer: null, pre_tokenizer: BYTE_LEVEL, post_processor: null, decoder: BYTE_LEVEL }
  return JSON.stringify({ ...base, model: { type: 'BPE', vocab: VOCAB, merges: ['a b'], ...model }, ...changes })
}

async function tables(files: Record<string, string>, vocabSize = 16, config: JsonValue = {}, pre?: string): Promise<TokenTables> {
  const request = {
    folder: memoryFolder(files),
    config: parseJsonObject(new TextEncoder().encode(JSON.stringify(config)), 'config.json'),
    vocabSize,
    recipe: 'llama' as const,
  }
  return tokenTables(pre === undefined ? request : { ...request, pre })
}

const value = (result: TokenTables, key: string) => {
  const found = result.keyValues.find((keyValue) => keyValue.key === `tokenizer.${key}`)?.value
  return found?.type === 'array' ? Array.from(found.value as ArrayLike<unknown>) : found?.value
}
const keys = (result: TokenTables) => result.keyValues.map(({ key }) => key.replace('tokenizer.', ''))

describe('a byte-level BPE tokenizer', () => {
  it('gives tokens by id, padding, types and merges', async () => {
    const result = await tables({ 'tokenizer.json': tokenizer() }, 7)
    assert.deepEqual(keys(result), ['ggml.model', 'ggml.pre', 'ggml.tokens', 'ggml.token_type', 'ggml.merges'])
    assert.deepEqual(value(result, 'ggml.tokens'), ['<|end|>', 'a', 'b', 'ab', '__proto__x', '[PAD5]', '[PAD6]'])
    assert.deepEqual(value(result, 'ggml.token_type'), [3, 1, 1, 1, 1, 5, 5])
  })

  it('writes added tokens that are not normalized as they decode', async () => {
    const list = [added(5, 'Ġx'), added(6, 'é'), added(7, 'Ġy', false, true), added(8, 'a▁b'), added(9, '<|s|>'), added(10, 'ordinary', true)]
    const result = await tables({ 'tokenizer.json': tokenizer({ added_tokens: list }) }, 11)
    assert.deepEqual((value(result, 'ggml.tokens') as string[]).slice(5), [' x', '\ufffd', 'Ġy', 'a b', '<|s|>', 'ordinary'])
    assert.deepEqual((value(result, 'ggml.token_type') as number[]).slice(5), [4, 4, 4, 4, 3, 3])
  })

  it('takes merges as strings verbatim, and as pairs with spaces written Ġ', async () => {
    const strings = await tables({ 'tokenizer.json': tokenizer({}, { merges: ['a b', '  c'] }) })
    assert.deepEqual(value(strings, 'ggml.merges'), ['a b', '  c'])
    const pairs = await tables({
      'tokenizer.json': tokenizer(
        {},
        {
          merges: [
            ['a', 'b'],
            [' ', 'a b'],
          ],
        },
      ),
    })
    assert.deepEqual(value(pairs, 'ggml.merges'), ['a b', 'Ġ aĠb'])
  })

  it('falls back to merges.txt, skipping its head and lines that are no pair', async () => {
    const result = await tables({ 'tokenizer.json': tokenizer({}, { merges: [] }), 'merges.txt': '#version: 0.2\r\na b\r\n\r\nno\r\nb  c\r\na b c\r\n' })
    assert.deepEqual(value(result, 'ggml.merges'), ['a b', 'b c'])
  })

  it('reads vocab.json and merges.txt where there is no tokenizer.json', async () => {
    const result = await tables(
      {
        'vocab.json': JSON.stringify(VOCAB),
        'merges.txt': 'a b',
        'tokenizer_config.json': JSON.stringify({ tokenizer_class: 'GPT2Tokenizer', eos_token: '<|end|>' }),
        'added_tokens.json': JSON.stringify({ '<t>': 5 }),
      },
      6,
    )
    assert.deepEqual(value(result, 'ggml.tokens'), ['<|end|>', 'a', 'b', 'ab', '__proto__x', '<t>'])
    assert.deepEqual([result.pre, value(result, 'ggml.merges')], ['gpt-2', ['a b']])
  })

  it('with an id beyond vocab_size is a MismatchError that names both numbers', async () => {
    await assert.rejects(
      tables({ 'tokenizer.json': tokenizer() }, 4),
      (error) => error instanceof MismatchError && /id 4, but the model's vocab_size is 4/.test(error.message),
    )
  })

  it('takes the token __proto__ as any other', async () => {
    const text = tokenizer().replace('"__proto__x"', '"__proto__"')
    assert.deepEqual((value(await tables({ 'tokenizer.json': text }, 5), 'ggml.tokens') as string[])[4], '__proto__')
  })

  const hostile: [string, string, new (...args: never[]) => ToolkitError][] = [
    ['a vocabulary that is a number', tokenizer({}, { vocab: 3 }), FormatError],
    ['a negative id', tokenizer({}, { vocab: { a: -1 } }), FormatError],
    ['a fractional id', tokenizer({}, { vocab: { a: 0.5 } }), FormatError],
    ['an id beyond 2^53', tokenizer({}, { vocab: { a: 0 } }).replace('{"a":0}', '{"a":99999999999999999999}'), FormatError],
    ['two tokens of one id', tokenizer({}, { vocab: { a: 1, b: 1 } }), FormatError],
    ['added tokens that are no objects', tokenizer({ added_tokens: [1] }), FormatError],
    ['an added token without content', tokenizer({ added_tokens: [{ id: 3 }] }), FormatError],
    ['merges of mixed kinds', tokenizer({}, { merges: ['a b', ['a', 'b']] }), FormatError],
    ['no model', '{}', FormatError],
    ['a decoder nobody knows', tokenizer({ decoder: { type: 'Reverse' } }), UnsupportedError],
    ['a Unigram model', tokenizer({}, { type: 'Unigram', vocab: [['a', -1]] }), UnsupportedError],
    ['a pre-tokenizer nobody knows', tokenizer({ pre_tokenizer: { type: 'Sequence', pretokenizers: [{ type: 'Nonsense' }, BYTE_LEVEL] } }), UnsupportedError],
  ]
  for (const [what, text, kind] of hostile) {
    it(`with ${what} is refused as ${kind.name}, naming the file`, async () => {
      await assert.rejects(tables({ 'tokenizer.json': text }), (error) => error instanceof kind && error.message.startsWith('tokenizer.json'))
    })
  }

  it('missing altogether is a FileSystemError', async () => {
    await assert.rejects(tables({ 'tokenizer_config.json': '{}' }), FileSystemError)
  })
})

describe('special tokens', () => {
  const special = (id: string) => ({ SpecialToken: { id, type_id: 0 } })
  const [A, B] = [{ Sequence: { id: 'A' } }, { Sequence: { id: 'B' } }]
  const template = (single: unknown[], pair: unknown[] = []) => ({ type: 'TemplateProcessing', single, pair })
  const LIST = [added(0, '<|end|>', true), added(5, '<s>', true), added(6, '</t>', true)]

  it('come from tokenizer_config.json by way of added_tokens, then from config.json', async () => {
    const files = {
      'tokenizer.json': tokenizer({ added_tokens: LIST }),
      'tokenizer_config.json': JSON.stringify({ eos_token: { content: '<|end|>' }, bos_token: 'a' }),
    }
    const result = await tables(files, 16, { bos_token_id: 5, eos_token_id: 6, pad_token_id: null, text_config: { pad_token_id: 6 } })
    assert.deepEqual(result.special, { bos: 5, eos: 0, pad: 6 }) // "a" is no added token
    assert.deepEqual(keys(result).slice(5), ['ggml.eos_token_id', 'ggml.bos_token_id', 'ggml.padding_token_id'])
  })

  it("swap eos and eot when the post-processor ends text with another token than the config's", async () => {
    const files = {
      'tokenizer.json': tokenizer({
        added_tokens: LIST,
        post_processor: template([special('<s>'), A, special('</t>')], [special('<s>'), A, special('</t>'), B, special('</t>')]),
      }),
      'tokenizer_config.json': JSON.stringify({ bos_token: '<s>', eos_token: '<|end|>', add_bos_token: false }),
    }
    const result = await tables(files)
    assert.deepEqual(result.special, { bos: 5, eos: 6, eot: 0 })
    assert.deepEqual([value(result, 'ggml.add_bos_token'), value(result, 'ggml.add_eos_token'), value(result, 'ggml.add_sep_token')], [true, true, false])
  })

  it('are switched off by a ByteLevel post-processor, on by RobertaProcessing, else as the config says', async () => {
    const switches = async (postProcessor: unknown) => {
      const result = await tables({
        'tokenizer.json': tokenizer({ post_processor: postProcessor }),
        'tokenizer_config.json': JSON.stringify({ add_bos_token: true }),
      })
      return [value(result, 'ggml.add_bos_token'), value(result, 'ggml.add_eos_token'), value(result, 'ggml.add_sep_token')]
    }
    assert.deepEqual(await switches(BYTE_LEVEL), [false, false, undefined])
    assert.deepEqual(await switches({ type: 'RobertaProcessing', cls: ['<s>', 0], sep: ['</t>', 1] }), [true, true, true])
    assert.deepEqual(await switches(null), [true, undefined, undefined])
  })
})

describe('chat templates', () => {
  const CONFIG = (more: JsonValue) => JSON.stringify({ eos_token: '<|end|>', ...more })
  const template = async (files: Record<string, string>) => tables({ 'tokenizer.json': tokenizer(), ...files })

  it('in tokenizer_config.json win, even when null', async () => {
    assert.equal((await template({ 'tokenizer_config.json': CONFIG({ chat_template: 'C' }), 'chat_template.jinja': 'J' })).chatTemplate, 'C')
    assert.equal((await template({ 'tokenizer_config.json': CONFIG({ chat_template: null }), 'chat_template.jinja': 'J' })).chatTemplate, undefined)
  })

  it('in files of their own are read with \\n line ends, the named ones before the default', async () => {
    const result = await template({ 'tokenizer_config.json': CONFIG({}), 'chat_template.jinja': 'a\r\nb\rc', 'additional_chat_templates/tool_use.jinja': 'T' })
    assert.deepEqual(
      result.keyValues.slice(-3).map(({ key, value: { value: content } }) => [key, content]),
      [
        ['tokenizer.chat_template.tool_use', 'T'],
        ['tokenizer.chat_templates', ['tool_use']],
        ['tokenizer.chat_template', 'a\nb\nc'],
      ],
    )
    assert.deepEqual(
      [...(result.chatTemplates ?? [])],
      [
        ['default', 'a\nb\nc'],
        ['tool_use', 'T'],
      ],
    )
  })

  it('in a list keep their order, with names made safe', async () => {
    const list = [
      { name: 'z-é', template: '1' },
      { name: 'default', template: 'D' },
      { name: 'a', template: '2' },
      { name: '', template: '3' },
    ]
    const result = await template({ 'tokenizer_config.json': CONFIG({ chat_template: list }) })
    assert.deepEqual(value(result, 'chat_templates'), ['z__', 'a'])
    assert.equal(value(result, 'chat_template'), 'D')
  })

  it('without tokenizer_config.json are none', async () => {
    assert.equal((await template({ 'chat_template.jinja': 'J' })).chatTemplate, undefined)
  })

  it('in chat_template.json are the last resort', async () => {
    assert.equal((await template({ 'tokenizer_config.json': CONFIG({}), 'chat_template.json': '{"chat_template":"X"}' })).chatTemplate, 'X')
  })
})

describe('--pre', () => {
  it('wins without looking at the tokenizer', async () => {
    const result = await tables({ 'tokenizer.json': tokenizer({ pre_tokenizer: { type: 'Nonsense' } }) }, 8, {}, 'tekken')
    assert.equal(result.pre, 'tekken')
  })

  it('with an unknown name is a UsageError that lists the known ones, for every kind of tokenizer', async () => {
    await assert.rejects(tables({}, 8, {}, 'nope'), (error) => error instanceof UsageError && /llama-bpe/.test(error.message))
  })
})
