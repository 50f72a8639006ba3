/** Which added tokens a folder has, with which ids and flags, by the class that transformers 5.23 reads it with. */
import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { parseJsonObject } from '../src/core/json.js'
import { tokenTables } from '../src/tokenizers/token-tables.js'
import { tokenizerClass } from '../src/tokenizers/tokenizer-classes.js'
import { memoryFolder } from './support/memory-folder.js'
import { addedToken, BYTE_LEVEL } from './support/tokenizer-json.js'

const utf8 = new TextEncoder()
const object = (value: unknown) => parseJsonObject(utf8.encode(JSON.stringify(value)), 'x.json')

/** Token and type of each id, for a byte-level vocabulary of a and b. */
async function rows(tokens: readonly object[], config: object, vocabSize = 2 + tokens.length, modelType = 'llama'): Promise<[string, number][]> {
  const folder = memoryFolder({
    'tokenizer.json': JSON.stringify({
      added_tokens: tokens,
      pre_tokenizer: BYTE_LEVEL,
      decoder: BYTE_LEVEL,
      model: { type: 'BPE', vocab: { a: 0, b: 1 }, merges: [] },
    }),
    'tokenizer_config.json': JSON.stringify(config),
    'config.json': JSON.stringify({ model_type: modelType }),
  })
  const tables = await tokenTables({ folder, config: new Map(), vocabSize, recipe: 'byteLevel', pre: 'gpt-2' })
  const types = tables.keyValues.find(({ key }) => key === 'tokenizer.ggml.token_type')?.value
  assert.ok(types?.type === 'array')
  return tables.tokens.map((token, id): [string, number] => [token, Number(types.value[id])]).slice(2)
}

const CONTROL = 3
const USER_DEFINED = 4
const UNUSED = 5

describe('added tokens', () => {
  it('that a config names are special when the config’s reading adds them, without a list of its own', async () => {
    assert.deepEqual(await rows([addedToken(2, '<x>', false)], { eos_token: '<x>' }), [['<x>', CONTROL]])
  })

  it('keep their flags when a list of the config leaves them out', async () => {
    assert.deepEqual(await rows([addedToken(2, '<x>', false)], { eos_token: '<x>', added_tokens_decoder: {} }), [['<x>', USER_DEFINED]])
  })

  it('are only those of the config’s list where the class builds its own pipeline', async () => {
    const list = { '2': { content: '<y>', special: true } }
    const config = { tokenizer_class: 'GPT2Tokenizer', eos_token: '<y>', bos_token: '<y>', unk_token: '<y>', added_tokens_decoder: list }
    assert.deepEqual(await rows([addedToken(2, '<x>', true)], config, 4), [
      ['<y>', CONTROL],
      ['[PAD3]', UNUSED],
    ])
  })

  it('named by further keys, and listed as extra ones, are special when they are new', async () => {
    const config = { image_token: '<image>', extra_special_tokens: ['<more>'] }
    assert.deepEqual(await rows([], config, 4), [
      ['<image>', CONTROL],
      ['<more>', CONTROL],
    ])
  })

  it('that are special are flagged anew by Qwen’s class, which decodes them', async () => {
    const tokens = [addedToken(2, 'Ġx', false, true), addedToken(3, '<|endoftext|>', true)]
    const qwen = await rows(tokens, { tokenizer_class: 'Qwen2Tokenizer', extra_special_tokens: ['Ġx'] }, 4, 'qwen2')
    assert.deepEqual(qwen[0], [' x', CONTROL])
    const plain = await rows(tokens, { tokenizer_class: 'PreTrainedTokenizerFast', extra_special_tokens: ['Ġx'] })
    assert.deepEqual(plain[0], ['Ġx', USER_DEFINED])
  })
})

describe('the class that reads a folder', () => {
  const nameOf = (modelType: string | undefined, tokenizerClassName: string | undefined, byteLevel = true) =>
    tokenizerClass(object({ model_type: modelType }), object({ tokenizer_class: tokenizerClassName }), byteLevel)?.name

  it('is the one that tokenizer_config.json names, without Fast', () => {
    assert.equal(nameOf(undefined, 'GPT2TokenizerFast'), 'GPT2Tokenizer')
    assert.equal(nameOf('falcon', 'PreTrainedTokenizerFast'), undefined)
  })

  it('is the registered one where none is named', () => {
    assert.equal(nameOf('qwen3', undefined), 'Qwen2Tokenizer')
    assert.equal(nameOf('gpt_neox', undefined), 'GPTNeoXTokenizer')
  })

  it('is the registered one where the hub is known to be wrong', () => {
    assert.equal(nameOf('qwen2', 'LlamaTokenizerFast', false), 'Qwen2Tokenizer')
    assert.equal(nameOf('phi3', 'LlamaTokenizer', false), undefined)
  })

  it('takes tokenizer.json as it is for Llama’s class over byte-level BPE, and for models that are registered so', () => {
    assert.equal(nameOf('llama', 'LlamaTokenizerFast', true), undefined)
    assert.equal(nameOf('llama', 'LlamaTokenizerFast', false), 'LlamaTokenizer')
    assert.equal(nameOf('granite', 'GPT2Tokenizer'), undefined)
  })
})

describe('two ids with one text', () => {
  it('are said, since llama.cpp stops at them', async () => {
    const folder = memoryFolder({
      'tokenizer.json': JSON.stringify({
        added_tokens: [addedToken(2, '[PAD3]', true)],
        pre_tokenizer: BYTE_LEVEL,
        decoder: BYTE_LEVEL,
        model: { type: 'BPE', vocab: { a: 0, b: 1 }, merges: [] },
      }),
    })
    const tables = await tokenTables({ folder, config: new Map(), vocabSize: 4, recipe: 'byteLevel', pre: 'gpt-2' })
    assert.match(tables.notes.join('\n'), /the ids 2 and 3 are both the token "\[PAD3\]": llama\.cpp will refuse the file/)
  })
})
