/**
 * Token tables of SentencePiece models: pieces, padded with `[PAD{id}]` up to vocab_size or cut there, and what the
 * companions of the model lay over them. Families differ in which companions count, and how.
 *
 * Law: llama.cpp conversion/base.py `_create_vocab_sentencepiece`; phi.py, arctic.py, t5.py, internlm.py `set_vocab`.
 */
import type { TokenizerFiles } from './tokenizer-files.js'
import { bySpecialFlag, bySpecialLooks, entriesOfAddedFile, entriesOfDecoder, entriesOfTokenizerJson, layOver, userDefined } from './added-tokens.js'
import type { AddedEntry, AddedRule, PieceRows } from './added-tokens.js'
import { PIECE_TYPES, type SentencePieceModel } from './sentencepiece-model.js'
import { TOKEN_TYPES } from './token-types.js'
import type { TokenTable } from './vocabularies.js'

/** What lies over the pieces, first to last: where the entries come from, and what they become. */
export type Layer = readonly [entries: (files: TokenizerFiles) => Promise<readonly AddedEntry[]>, rule: AddedRule]

export const USUAL_LAYERS: readonly Layer[] = [
  [entriesOfAddedFile, userDefined],
  [entriesOfDecoder, bySpecialLooks],
]
export const PHI3_LAYERS: readonly Layer[] = [
  [entriesOfAddedFile, userDefined],
  [entriesOfDecoder, bySpecialFlag],
  [entriesOfTokenizerJson, bySpecialFlag],
]
export const T5_LAYERS: readonly Layer[] = [[entriesOfAddedFile, userDefined]]

const SCORE_OF_PADDING = -10000

/** @param vocabSize  0: as many as the model has pieces */
export function rowsOfPieces(model: SentencePieceModel, vocabSize: number): PieceRows {
  const count = vocabSize === 0 ? model.pieces.length : vocabSize
  const tokens = Array.from({ length: count }, (_, id) => model.pieces[id] ?? `[PAD${id}]`)
  const scores = new Float32Array(count).fill(SCORE_OF_PADDING)
  const types = new Int32Array(count).fill(TOKEN_TYPES.unused)
  scores.set(model.scores.subarray(0, count))
  // a user-defined piece counts as a normal one, as in the reference; the other numbers agree
  types.set(model.types.subarray(0, count).map((type) => (type === PIECE_TYPES.userDefined ? TOKEN_TYPES.normal : type)))
  return { tokens, scores, types }
}

/** The table of a model: its pieces, and the layers over them. @throws FormatError */
export async function pieceTable(
  files: TokenizerFiles,
  model: SentencePieceModel,
  vocabSize: number,
  layers: readonly Layer[],
  ggufModel: 'llama' | 't5' = 'llama',
): Promise<TokenTable> {
  const rows = rowsOfPieces(model, vocabSize)
  const count = rows.tokens.length
  let ignored = Math.max(0, model.pieces.length - count)
  for (const [entries, rule] of layers) ignored += layOver(rows, await entries(files), rule)
  return { model: ggufModel, ...rows, notes: pieceNotes(model.file, model.pieces.length, count, ignored) }
}

/** What to say of pieces and rows that do not match. */
export function pieceNotes(file: string, pieces: number, count: number, ignored: number): string[] {
  const notes = [`SentencePiece ${file} with ${pieces} pieces`]
  if (count > pieces) notes.push(`${count - pieces} ids from ${pieces} on have no piece: added tokens, or [PADn]`)
  if (ignored > 0) notes.push(`${ignored} tokens with ids from ${count} on were left out: the model's vocab_size is ${count}`)
  return notes
}
