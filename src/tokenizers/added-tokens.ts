/**
 * Tokens that the companions of a SentencePiece model add or redefine, and the ways in which families lay them over its
 * pieces.
 *
 *   added_tokens.json ──────────────────────────┐
 *   tokenizer_config.json added_tokens_decoder ─┼─► AddedEntry[] ─► rule of the family ─► rows of the table
 *   tokenizer.json added_tokens ────────────────┘
 *
 * Law: llama.cpp conversion/base.py `_create_vocab_sentencepiece`, phi.py, internlm.py, arctic.py `set_vocab`.
 */
import { FormatError, quoted } from '../core/errors.js'
import { isArray, isObject, kindOf } from '../core/json.js'
import { looksSpecial, TOKEN_TYPES, withPlainSpaces } from './token-types.js'
import { objectAt, tokenId, type TokenizerFiles } from './tokenizer-files.js'

/** One token that a file adds at an id. */
export interface AddedEntry {
  readonly id: number
  readonly content: string
  readonly special: boolean
}

/** The rows of a table that is being made; index = token id. */
export interface PieceRows {
  readonly tokens: string[]
  readonly scores: Float32Array
  readonly types: Int32Array
}

/** What an added token becomes. */
export type AddedRule = (entry: AddedEntry) => { readonly token: string; readonly score: number; readonly type: number }

const SCORE = -1000

/** added_tokens.json: all of them user-defined. */
export const userDefined: AddedRule = ({ content }) => ({ token: content, score: SCORE, type: TOKEN_TYPES.userDefined })

/** Control tokens are those that are special or look so; llama.cpp wants the others with plain spaces. */
export const bySpecialLooks: AddedRule = ({ content, special }) =>
  special || looksSpecial(content)
    ? { token: content, score: SCORE, type: TOKEN_TYPES.control }
    : { token: withPlainSpaces(content), score: SCORE, type: TOKEN_TYPES.userDefined }

/** Control tokens are those that are special; texts stay as they are. */
export const bySpecialFlag: AddedRule = ({ content, special }) => ({
  token: content,
  score: SCORE,
  type: special ? TOKEN_TYPES.control : TOKEN_TYPES.userDefined,
})

/** Lays tokens over the rows, later ones over earlier ones. @returns how many have ids beyond the table */
export function layOver(rows: PieceRows, entries: readonly AddedEntry[], rule: AddedRule): number {
  let ignored = 0
  for (const entry of entries) {
    if (entry.id >= rows.tokens.length) {
      ignored++
      continue
    }
    const { token, score, type } = rule(entry)
    rows.tokens[entry.id] = token
    rows.scores[entry.id] = score
    rows.types[entry.id] = type
  }
  return ignored
}

/** The tokens of added_tokens.json, in file order. @throws FormatError */
export async function entriesOfAddedFile(files: TokenizerFiles): Promise<AddedEntry[]> {
  const file = 'added_tokens.json'
  return [...((await files.json(file)) ?? [])].map(([content, id]) => ({ id: tokenId(id, `the token ${quoted(content)}`, file), content, special: false }))
}

/** The tokens of tokenizer_config.json's added_tokens_decoder, in file order. @throws FormatError */
export async function entriesOfDecoder(files: TokenizerFiles): Promise<AddedEntry[]> {
  const file = 'tokenizer_config.json'
  return [...(objectAt((await files.json(file)) ?? new Map(), 'added_tokens_decoder', file) ?? [])].map(([key, entry]) => {
    const content = isObject(entry) ? entry.get('content') : undefined
    if (!/^\d{1,10}$/.test(key) || !isObject(entry) || typeof content !== 'string')
      throw new FormatError(`"added_tokens_decoder" holds ${quoted(key)}: ${kindOf(entry)}; an id and an object with "content" wanted.`, { file })
    return { id: tokenId(Number(key), `the token ${quoted(content)}`, file), content, special: entry.get('special') === true }
  })
}

/** The tokens of tokenizer.json's added_tokens, in file order. @throws FormatError */
export async function entriesOfTokenizerJson(files: TokenizerFiles): Promise<AddedEntry[]> {
  const file = 'tokenizer.json'
  const list = (await files.json(file))?.get('added_tokens') ?? []
  if (!isArray(list)) throw new FormatError(`"added_tokens" is ${kindOf(list)}, an array wanted.`, { file })
  return list.map((entry, index) => {
    const content = isObject(entry) ? entry.get('content') : undefined
    if (!isObject(entry) || typeof content !== 'string')
      throw new FormatError(`"added_tokens" holds ${kindOf(entry)} at ${index}, an object with "content" wanted.`, { file })
    return { id: tokenId(entry.get('id'), `added token ${index}`, file), content, special: entry.get('special') === true }
  })
}
