/**
 * InternLM 2 and 3: SentencePiece models whose chat tokens stand in companions.
 *
 * Law: llama.cpp conversion/internlm.py. One difference: added_tokens.json lays its tokens at their ids; the reference
 * appends them, so that ids that are in the table already would shift all later ones.
 */
import { bool } from '../core/key-value.js'
import { bySpecialFlag, entriesOfAddedFile, entriesOfDecoder, entriesOfTokenizerJson, layOver, userDefined, type AddedEntry } from './added-tokens.js'
import { addTable, mergeSpecial, type Draft } from './draft.js'
import { pieceNotes, pieceTable, rowsOfPieces, USUAL_LAYERS } from './piece-tables.js'
import { configuredSpacePrefix, modelWith } from './sentencepiece-steps.js'
import { readSpecialVocab, type SpecialVocab } from './special-vocab.js'
import { TOKEN_TYPES } from './token-types.js'

const MODEL_FILE = 'tokenizer.model'
const TURN_END = '<|im_end|>'
const DRAGON = '🐉' // the reference's stand-in for \0, at which C++ would end the token

export async function internLm2(draft: Draft): Promise<boolean> {
  const { files } = draft
  const { model } = await modelWith(draft, [])
  const rows = rowsOfPieces(model, draft.vocabSize)
  for (const [id, piece] of rows.tokens.entries()) {
    if (piece === '\0') rows.tokens[id] = DRAGON
    if (piece.startsWith('[UNUSED')) rows.types[id] = TOKEN_TYPES.unused
  }
  const named = [...(await entriesOfDecoder(files)), ...(await entriesOfTokenizerJson(files))]
  const ignored =
    Math.max(0, model.pieces.length - rows.tokens.length) + layOver(rows, await entriesOfAddedFile(files), userDefined) + layOver(rows, named, bySpecialFlag)
  addTable(draft, { model: 'llama', ...rows, notes: pieceNotes(model.file, model.pieces.length, rows.tokens.length, ignored) }, 'default')
  draft.keyValues.set('tokenizer.ggml.add_space_prefix', bool(model.addDummyPrefix))
  const special = await readSpecialVocab(files, draft.config, { loadMerges: false, tokenCount: rows.tokens.length })
  mergeSpecial(draft, endingTurns(draft, special, named))
  return true
}

export async function internLm3(draft: Draft): Promise<boolean> {
  const { files } = draft
  const { model, layers } = await modelWith(draft, USUAL_LAYERS)
  const table = await pieceTable(files, model, draft.vocabSize, layers)
  addTable(draft, table, 'default')
  await configuredSpacePrefix(false)(draft)
  const special = await readSpecialVocab(files, draft.config, { loadMerges: false, tokenCount: table.tokens.length })
  const entries = model.file === MODEL_FILE ? await entriesOfDecoder(files) : await entriesOfTokenizerJson(files)
  mergeSpecial(draft, endingTurns(draft, special, special.ids.has('eos') ? entries.filter((entry) => entry.special) : []))
  return true
}

/** Chat models end a turn with <|im_end|>: it takes the place of eos. */
function endingTurns(draft: Draft, special: SpecialVocab, entries: readonly AddedEntry[]): SpecialVocab {
  const end = entries.findLast(({ content }) => content === TURN_END)
  if (end === undefined) return special
  draft.notes.push(`${TURN_END} (id ${end.id}) ends a turn, so it is written as the eos token`)
  return { ...special, ids: new Map([...special.ids]).set('eos', end.id) }
}
