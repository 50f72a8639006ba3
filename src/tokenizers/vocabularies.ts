/**
 * Token tables from a vocabulary as transformers holds it: a tokenizer.json that stands for a SentencePiece model, and
 * byte-level BPE (WordPiece too: it is listed in the same way).
 *
 * Law: conversion/base.py `_set_vocab_llama_hf` with gguf-py vocab.py `LlamaHfVocab`, and `get_vocab_base`.
 */
import { FormatError } from '../core/errors.js'
import { isObject, type JsonObject } from '../core/json.js'
import { tokenDecoder } from './token-decoder.js'
import { looksSpecial, TOKEN_TYPES, withPlainSpaces } from './token-types.js'
import { tokensById, type Vocabulary } from './tokenizer-json.js'

/** A token table; index = token id. */
export interface TokenTable {
  /** tokenizer.ggml.model */
  readonly model: 'llama' | 'gpt2' | 't5' | 'bert' | 'gemma4' | 'whitespace' | 'rwkv' | 'plamo2'
  readonly tokens: readonly string[]
  /** One per token, where the model has scores. */
  readonly scores?: Float32Array | Int32Array
  readonly types: Int32Array
  readonly notes: readonly string[]
}

const SCORE_OF_ADDED = -1000

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
  const notes = [
    ...vocabulary.notes,
    `${file} stands for a SentencePiece model: ${count} tokens, all with the same score, as the reference converter writes it; put tokenizer.model beside it for the model's own scores`,
  ]
  return { model: 'llama', tokens, scores: new Float32Array(count).fill(SCORE_OF_ADDED), types, notes }
}

/** How a family lists its added tokens. */
export interface ListingOptions {
  /** Added tokens as the files write them, and special by flag alone. */
  readonly asWritten?: boolean
  /** Tokens that are control tokens whatever their flags say. */
  readonly control?: readonly string[]
}

/** All tokens of a vocabulary, padded with `[PAD{id}]` up to vocabSize (0: as far as the ids go). @throws MismatchError when an id lies beyond */
export function listedTable(vocabulary: Vocabulary, vocabSize: number, { asWritten = false, control = [] }: ListingOptions = {}): TokenTable {
  const found = tokensById(vocabulary, vocabSize === 0 ? vocabulary.base.size + vocabulary.added.size : vocabSize)
  const decode = asWritten ? undefined : tokenDecoder(vocabulary.json.get('decoder'), vocabulary.file)
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
    const text = added.normalized || decode === undefined ? token : decode(token)
    const isControl = added.special || (decode !== undefined && looksSpecial(text)) || control.includes(text)
    types[id] = isControl ? TOKEN_TYPES.control : TOKEN_TYPES.userDefined
    return isControl || decode === undefined ? text : withPlainSpaces(text)
  })
  const notes = [...vocabulary.notes]
  if (padding > 0) notes.push(`${padding} of ${tokens.length} ids have no token and became [PADn]`)
  return { model: 'gpt2', tokens, types, notes }
}
