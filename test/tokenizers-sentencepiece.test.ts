import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { FormatError, MismatchError, ToolkitError, UnsupportedError } from '../src/core/errors.js'
import { parseJsonObject } from '../src/core/json.js'
import type { MetadataValue } from '../src/core/key-value.js'
import { readSentencePieceModel } from '../src/tokenizers/sentencepiece-model.js'
import { tokenTables } from '../src/tokenizers/token-tables.js'
import { memoryFolder } from './support/memory-folder.js'

const utf8 = new TextEncoder()

function varint(value: number | bigint): number[] {
  const bytes: number[] = []
  let rest = BigInt.asUintN(64, BigInt(value))
  for (; rest > 127n; rest >>= 7n) bytes.push(Number(rest & 127n) | 128)
  return [...bytes, Number(rest)]
}

const scalar = (field: number, value: number) => [...varint(field * 8), ...varint(value)]
const delimited = (field: number, bytes: Iterable<number>) => {
  const content = [...bytes]
  return [...varint(field * 8 + 2), ...varint(content.length), ...content]
}

function piece(text: string, score: number, type?: number): number[] {
  const float = [...new Uint8Array(Float32Array.of(score).buffer)]
  return delimited(1, [...delimited(1, utf8.encode(text)), 2 * 8 + 5, ...float, ...(type === undefined ? [] : scalar(3, type))])
}

const PIECES = [
  piece('<unk>', 0, 2),
  piece('<s>', 0, 3),
  piece('</s>', 0, 3),
  piece('<0x0A>', 0, 6),
  piece('▁the', -1.5),
  piece('<user>', -2, 4),
  piece('<free>', 0, 5),
]
const SETTINGS = [...delimited(2, [...scalar(3, 2), ...scalar(43, -1), ...scalar(99, 7)]), ...delimited(3, [...delimited(2, [1, 2]), ...scalar(3, 0)])]
const MODEL = Uint8Array.from([...PIECES.flat(), ...SETTINGS])

const values = (tables: { keyValues: readonly { key: string; value: MetadataValue }[] }) =>
  new Map(tables.keyValues.map(({ key, value }) => [key, value.type === 'array' ? Array.from(value.value as ArrayLike<unknown>) : value.value]))
const json = (value: unknown) => JSON.stringify(value)
const config = (value: unknown) => parseJsonObject(utf8.encode(json(value)), 'config.json')

describe('a SentencePiece model', () => {
  it('gives pieces, scores, types and the settings', () => {
    const model = readSentencePieceModel(MODEL, 'm')
    assert.deepEqual(model.pieces, ['<unk>', '<s>', '</s>', '<0x0A>', '▁the', '<user>', '<free>'])
    assert.deepEqual([...model.scores], [0, 0, 0, 0, -1.5, -2, 0])
    assert.deepEqual([...model.types], [2, 3, 3, 6, 1, 4, 5])
    assert.deepEqual([model.modelType, model.padId, model.bosId, model.addDummyPrefix, model.removeExtraWhitespaces], [2, -1, 1, false, true])
    assert.deepEqual([...model.precompiledCharsmap], [1, 2])
  })

  const broken: [string, number[], RegExp][] = [
    ['empty files', [], /no pieces/],
    ['a length beyond the end', [0x0a, 0x7f, 1], /at byte 0: field 1 has 127 bytes, 1 left/],
    ['a number that does not end', [0x0a, ...Array<number>(10).fill(0xff)], /at byte 1: a number does not end/],
    ['a length of 2^63', [0x0a, ...Array<number>(9).fill(0x80), 1], /field 1 has -?\d+ bytes/],
    ['group wire types', [0x0b], /wire type 3/],
    ['field number 0', [0x02, 0], /field number 0/],
    ['a piece that is no message', scalar(1, 5), /wire type 0, 2 wanted/],
    ['bad UTF-8', [...piece('<unk>', 0, 2), ...delimited(1, delimited(1, [0xff]))], /not valid UTF-8/],
    ['an empty piece', [...piece('<unk>', 0, 2), ...piece('', 0)], /piece 1 is empty/],
    ['a piece twice', [...piece('<unk>', 0, 2), ...piece('a', 0), ...piece('a', 0)], /"a" stands twice, as id 1 and 2/],
    ['no unknown piece', piece('a', 0), /no piece is of type UNKNOWN/],
    ['two unknown pieces', [...piece('a', 0, 2), ...piece('b', 0, 2)], /ids 0 and 1/],
  ]
  for (const [what, bytes, message] of broken) {
    it(`with ${what} is a FormatError`, () => {
      assert.throws(
        () => readSentencePieceModel(Uint8Array.from(bytes), 'tokenizer.model'),
        (error) => error instanceof FormatError && message.test(error.message),
      )
    })
  }

  it('cut anywhere is a FormatError or a shorter model, never another error', () => {
    for (let length = 0; length < MODEL.length; length++) {
      try {
        readSentencePieceModel(MODEL.subarray(0, length), 'm')
      } catch (error) {
        assert.ok(error instanceof FormatError)
      }
    }
  })
})

describe('token tables of a SentencePiece model', () => {
  it('are padded to vocab_size, with added tokens over them', async () => {
    const folder = memoryFolder({
      'tokenizer.model': MODEL,
      'added_tokens.json': json({ '<plain>': 7, '<late>': 90 }),
      'tokenizer_config.json': json({
        add_prefix_space: false,
        added_tokens_decoder: { '0': { content: '<unk>', special: true }, '8': { content: 'a▁b' }, '9': { content: '<|x|>' } },
      }),
    })
    const tables = await tokenTables({
      folder,
      config: config({ bos_token_id: 1, eos_token_id: [2, 3], pad_token_id: -1, unk_token_id: 99 }),
      vocabSize: 11,
      recipe: 'llama',
    })
    assert.deepEqual(
      [...values(tables)],
      [
        ['tokenizer.ggml.add_space_prefix', false],
        ['tokenizer.ggml.model', 'llama'],
        ['tokenizer.ggml.pre', 'default'],
        ['tokenizer.ggml.tokens', ['<unk>', '<s>', '</s>', '<0x0A>', '▁the', '<user>', '<free>', '<plain>', 'a b', '<|x|>', '[PAD10]']],
        ['tokenizer.ggml.scores', [-1000, 0, 0, 0, -1.5, -2, 0, -1000, -1000, -1000, -10000]],
        ['tokenizer.ggml.token_type', [3, 3, 3, 6, 1, 1, 5, 4, 4, 3, 5]],
        ['tokenizer.ggml.bos_token_id', 1],
      ],
    )
    assert.deepEqual(tables.special, { bos: 1 })
    assert.match(tables.notes.join('\n'), /pad token's id -1 is out of range/)
  })

  it('are cut at vocab_size, which is said', async () => {
    const tables = await tokenTables({ folder: memoryFolder({ 'tokenizer.model': MODEL }), config: config({}), vocabSize: 4, recipe: 'llama' })
    assert.equal(tables.tokenCount, 4)
    assert.match(tables.notes.join('\n'), /3 tokens with ids from 4 on were left out/)
  })

  it('have an end-of-infill token for CodeLlama and no BOS switch for 49152 tokens', async () => {
    const folder = memoryFolder({ 'tokenizer.model': MODEL, 'tokenizer_config.json': json({ add_bos_token: true }) })
    const codeLlama = values(await tokenTables({ folder, config: config({}), vocabSize: 32016, recipe: 'llama' }))
    assert.equal(codeLlama.get('tokenizer.ggml.eot_token_id'), 32010)
    const granite = values(await tokenTables({ folder, config: config({}), vocabSize: 49152, recipe: 'llama' }))
    assert.equal(granite.get('tokenizer.ggml.add_bos_token'), false)
  })

  it('refuse a vocab_size that would fill memory, and an empty tekken.json, by name', async () => {
    const request = { config: config({}), recipe: 'llama' as const }
    await assert.rejects(tokenTables({ ...request, folder: memoryFolder({ 'tokenizer.model': MODEL }), vocabSize: 2 ** 31 }), UnsupportedError)
    await assert.rejects(
      tokenTables({ ...request, folder: memoryFolder({ 'tekken.json': '{}' }), vocabSize: 9 }),
      (error) => error instanceof FormatError && error.message.startsWith('tekken.json'),
    )
    await assert.rejects(tokenTables({ ...request, folder: memoryFolder({}), vocabSize: 9 }), ToolkitError)
  })
})

describe('a tokenizer.json with byte fallback', () => {
  const files = (vocab: Record<string, number>) => ({
    'tokenizer.json': json({
      added_tokens: [
        { id: 0, content: '<unk>', special: true },
        { id: 9, content: '<x>', special: false, normalized: false },
        { id: 10, content: '<end>', special: true },
      ],
      decoder: { type: 'Sequence', decoders: [] },
      model: { type: 'BPE', byte_fallback: true, vocab, merges: [] },
    }),
    'tokenizer_config.json': json({ unk_token: '<unk>', eos_token: '<end>' }),
  })

  it('becomes a SentencePiece table without padding, with the ids that the tokenizers library gives', async () => {
    const tables = await tokenTables({ folder: memoryFolder(files({ a: 2, '<unk>': 0, '<0x0A>': 1 })), config: config({}), vocabSize: 64, recipe: 'llama' })
    const got = values(tables)
    assert.deepEqual(got.get('tokenizer.ggml.tokens'), ['<unk>', '<0x0A>', 'a', '<x>', '<end>'])
    assert.deepEqual(got.get('tokenizer.ggml.token_type'), [3, 6, 1, 4, 3])
    assert.deepEqual(got.get('tokenizer.ggml.scores'), Array(5).fill(-1000))
    assert.match(tables.notes.join('\n'), /"<x>" the id 9; the tokenizers library, and so the model, uses 3/)
  })

  it('with a hole among its ids is refused', async () => {
    await assert.rejects(
      tokenTables({ folder: memoryFolder(files({ a: 7, '<unk>': 0, b: 1 })), config: config({}), vocabSize: 64, recipe: 'llama' }),
      (error) => error instanceof FormatError || error instanceof MismatchError,
    )
  })
})
