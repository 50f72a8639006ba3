/**
 * InternLM 2 and 3: SentencePiece models whose chat tokens stand in companions.
 *
 * Law: llama.cpp conversion/internlm.py. One difference: added_tokens.json lays its tokens at their ids; the reference
 * appends them, so that ids that are in the table already would shift all later ones.
 */
import { FormatError } from '../core/errors.js'
import { isObject, kindOf } from '../core/json.js'
import { bool } from '../core/key-value.js'
import { bySpecialFlag, entriesOfAddedFile, entriesOfDecoder, entriesOfTokenizerJson, layOver, userDefined, type AddedEntry } from './added-tokens.js'
import { addTable, mergeSpecial, noTokenizer, type Draft } from './draft.js'
import { pieceNotes, pieceTable, rowsOfPieces, USUAL_LAYERS } from './piece-tables.js'
import { rebuildModel } from './rebuilt-model.js'
import { readSentencePieceModel, type SentencePieceModel } from './sentencepiece-model.js'
import { sentencePieceVocabulary } from './sentencepiece-steps.js'
import { readSpecialVocab, type SpecialVocab } from './special-vocab.js'
import { TOKEN_TYPES } from './token-types.js'

const MODEL_FILE = 'tokenizer.model'
const TURN_END = '<|im_end|>'
const DRAGON = '🐉' // the reference's stand-in for \0, at which C++ would end the token

export async function internLm2(draft: Draft): Promise<boolean> {
  const { files } = draft
  const model = await modelOf(draft)
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
  const table = await pieceTable(files, await modelOf(draft), draft.vocabSize, USUAL_LAYERS)
  addTable(draft, table, 'default')
  const file = 'tokenizer_config.json'
  const add = (await files.json(file))?.get('add_prefix_space')
  if (add !== undefined && typeof add !== 'boolean') throw new FormatError(`"add_prefix_space" is ${kindOf(add)}, true or false wanted.`, { file })
  const special = await readSpecialVocab(files, draft.config, { loadMerges: false, tokenCount: table.tokens.length })
  if (add !== undefined) draft.keyValues.set('tokenizer.ggml.add_space_prefix', bool(add))
  const entries = files.has(MODEL_FILE) ? await entriesOfDecoder(files) : await entriesOfTokenizerJson(files)
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

async function modelOf(draft: Draft): Promise<SentencePieceModel> {
  if (draft.files.has(MODEL_FILE)) return readSentencePieceModel(await draft.files.bytes(MODEL_FILE), MODEL_FILE)
  const vocabulary = await sentencePieceVocabulary(draft)
  if (vocabulary === undefined || !isObject(vocabulary.json)) throw noTokenizer(draft, 'tokenizer.model, or a tokenizer.json that stands for one')
  draft.notes.push('there is no tokenizer.model: its pieces and scores were rebuilt from tokenizer.json (the reference converter stops here)')
  return rebuildModel(vocabulary)
}
