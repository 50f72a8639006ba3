/**
 * The three ways to a token table: a SentencePiece model, a tokenizer.json that stands for one, byte-level BPE.
 *
 * Law: conversion/base.py `_create_vocab_sentencepiece`, `_set_vocab_llama_hf` with gguf-py vocab.py `LlamaHfVocab`, and
 * `get_vocab_base` with `_set_vocab_gpt2`.
 */
import { FormatError, quoted } from '../core/errors.js'
import { isObject, kindOf, type JsonObject } from '../core/json.js'
import { objectAt, tokenId, type TokenizerFiles } from './tokenizer-files.js'
import { readSentencePieceModel, PIECE_TYPES } from './sentencepiece-model.js'
import { tokenDecoder } from './token-decoder.js'
import { looksSpecial, TOKEN_TYPES, withPlainSpaces } from './token-types.js'
import { tokensById, type Vocabulary } from './tokenizer-json.js'

/** A token table; index = token id. */
export interface TokenTable {
  /** tokenizer.ggml.model */
  readonly model: 'llama' | 'gpt2'
  readonly tokens: readonly string[]
  /** One per token, where the model has scores. */
  readonly scores?: Float32Array
  readonly types: Int32Array
  readonly notes: readonly string[]
}

const SCORE_OF_ADDED = -1000
const SCORE_OF_PADDING = -10000

/**
 * The table of a tokenizer.model, padded with `[PAD{id}]` up to vocabSize (cut there when it has more), with what
 * added_tokens.json and then tokenizer_config.json's added_tokens_decoder put over it.
 * @param vocabSize  0: as many as the model has pieces
 */
export async function sentencePieceTable(files: TokenizerFiles, vocabSize: number): Promise<TokenTable> {
  const model = readSentencePieceModel(await files.bytes('tokenizer.model'), 'tokenizer.model')
  const count = vocabSize === 0 ? model.pieces.length : vocabSize
  const tokens = Array.from({ length: count }, (_, id) => model.pieces[id] ?? `[PAD${id}]`)
  const scores = new Float32Array(count).fill(SCORE_OF_PADDING)
  const types = new Int32Array(count).fill(TOKEN_TYPES.unused)
  scores.set(model.scores.subarray(0, count))
  // a user-defined piece counts as a normal one, as in the reference; the other numbers agree
  types.set(model.types.subarray(0, count).map((type) => (type === PIECE_TYPES.userDefined ? TOKEN_TYPES.normal : type)))
  const ignored = Math.max(0, model.pieces.length - count) + (await addFromFiles(files, { tokens, scores, types }))
  const notes = [`SentencePiece tokenizer.model with ${model.pieces.length} pieces`]
  if (count > model.pieces.length) notes.push(`${count - model.pieces.length} ids from ${model.pieces.length} on have no piece: added tokens, or [PADn]`)
  if (ignored > 0) notes.push(`${ignored} tokens with ids from ${count} on were left out: the model's vocab_size is ${count}`)
  return { model: 'llama', tokens, scores, types, notes }
}

interface Rows {
  readonly tokens: string[]
  readonly scores: Float32Array
  readonly types: Int32Array
}

/** @returns how many added tokens lie beyond the table */
async function addFromFiles(files: TokenizerFiles, rows: Rows): Promise<number> {
  let ignored = 0
  const put = (id: number, token: string, type: number) => {
    if (id >= rows.tokens.length) {
      ignored++
      return
    }
    rows.tokens[id] = token
    rows.scores[id] = SCORE_OF_ADDED
    rows.types[id] = type
  }
  for (const [token, id] of (await files.json('added_tokens.json')) ?? [])
    put(tokenId(id, `the token ${quoted(token)}`, 'added_tokens.json'), token, TOKEN_TYPES.userDefined)
  const file = 'tokenizer_config.json'
  const config: JsonObject = (await files.json(file)) ?? new Map()
  for (const [key, entry] of objectAt(config, 'added_tokens_decoder', file) ?? []) {
    const content = isObject(entry) ? entry.get('content') : undefined
    if (!/^\d{1,10}$/.test(key) || !isObject(entry) || typeof content !== 'string')
      throw new FormatError(`"added_tokens_decoder" holds ${quoted(key)}: ${kindOf(entry)}; an id and an object with "content" wanted.`, { file })
    const control = entry.get('special') === true || looksSpecial(content)
    put(Number(key), control ? content : withPlainSpaces(content), control ? TOKEN_TYPES.control : TOKEN_TYPES.userDefined)
  }
  return ignored
}

/** True for a tokenizer.json that `_set_vocab_llama_hf` takes: BPE with byte fallback and a decoder that is a sequence. */
export function isLlamaJson(tokenizer: JsonObject): boolean {
  const model = tokenizer.get('model')
  const decoder = tokenizer.get('decoder')
  return isObject(model) && model.get('type') === 'BPE' && model.get('byte_fallback') === true && isObject(decoder) && decoder.get('type') === 'Sequence'
}

/** The table of a tokenizer.json with byte fallback: all scores -1000, as many tokens as the tokenizer has, no padding. */
export function llamaJsonTable(vocabulary: Vocabulary): TokenTable {
  const { base, added, file } = vocabulary
  const outside = [...added].filter(([id]) => id >= base.size).sort(([a], [b]) => a - b)
  const count = base.size + outside.length
  const byId = tokensById({ ...vocabulary, added: new Map() }, base.size)
  const tokens = Array.from({ length: count }, (_, id) => {
    const token = id < base.size ? byId[id] : outside[id - base.size]?.[1].content
    if (token === undefined) throw new FormatError(`no token has id ${id}, though the vocabulary has ${base.size} tokens.`, { file })
    return token
  })
  const types = Int32Array.from(tokens, (token, id) => {
    if (id < base.size && /^<0x[0-9A-Fa-f]{2}>$/.test(token)) return TOKEN_TYPES.byte
    if (vocabulary.specialContents.has(token)) return TOKEN_TYPES.control
    return id < base.size ? TOKEN_TYPES.normal : TOKEN_TYPES.userDefined
  })
  const notes = [...vocabulary.notes, `${file} stands for a SentencePiece model: ${count} tokens, all with the same score`]
  return { model: 'llama', tokens, scores: new Float32Array(count).fill(SCORE_OF_ADDED), types, notes }
}

/** The table of a byte-level BPE vocabulary, padded with `[PAD{id}]` up to vocabSize (0: as far as the ids go). @throws MismatchError when an id lies beyond */
export function byteLevelTable(vocabulary: Vocabulary, vocabSize: number): TokenTable {
  const found = tokensById(vocabulary, vocabSize === 0 ? vocabulary.base.size + vocabulary.added.size : vocabSize)
  const decode = tokenDecoder(vocabulary.json.get('decoder'), vocabulary.file)
  const types = new Int32Array(found.length).fill(TOKEN_TYPES.normal)
  let padding = 0
  const tokens = found.map((token, id) => {
    const added = vocabulary.added.get(id)
    if (token === undefined) {
      padding++
      types[id] = TOKEN_TYPES.unused
      return `[PAD${id}]`
    }
    if (added === undefined) return token
    const text = added.normalized ? token : decode(token)
    const control = added.special || looksSpecial(text)
    types[id] = control ? TOKEN_TYPES.control : TOKEN_TYPES.userDefined
    return control ? text : withPlainSpaces(text)
  })
  const notes = [...vocabulary.notes]
  if (padding > 0) notes.push(`${padding} of ${tokens.length} ids have no token and became [PADn]`)
  return { model: 'gpt2', tokens, types, notes }
}
