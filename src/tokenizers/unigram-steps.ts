/**
 * SentencePiece unigram models with their charsmap: T5 and its kin, XLM-RoBERTa and its kin. llama.cpp runs both as "t5".
 *
 * Law: llama.cpp conversion/t5.py `T5Model.set_vocab`, conversion/bert.py `_xlmroberta_set_vocab`.
 */
import { UnsupportedError } from '../core/errors.js'
import { isObject, type JsonObject } from '../core/json.js'
import { bool, u32 } from '../core/key-value.js'
import type { PieceRows } from './added-tokens.js'
import { addSpecial, addTable, noTokenizer, type Draft } from './draft.js'
import { pieceNotes, pieceTable, rowsOfPieces, T5_LAYERS } from './piece-tables.js'
import { rebuildModel } from './rebuilt-model.js'
import { readSentencePieceModel, type SentencePieceModel } from './sentencepiece-model.js'
import { sentencePiece, sentencePieceVocabulary } from './sentencepiece-steps.js'
import { TOKEN_TYPES } from './token-types.js'
import { readVocabulary, type Vocabulary } from './tokenizer-json.js'

const UNIGRAM = 1
const BPE = 2

export async function t5(draft: Draft): Promise<boolean> {
  const { files } = draft
  const file = ['tokenizer.model', 'spiece.model'].find((name) => files.has(name))
  const model = file === undefined ? await rebuilt(draft) : readSentencePieceModel(await files.bytes(file), file)
  // Pile-T5 has a BPE model
  if (file === 'tokenizer.model' && model.modelType === BPE) return sentencePiece(draft)
  if (model.modelType !== UNIGRAM) throw new UnsupportedError(`holds a SentencePiece model of type ${model.modelType}; unigram wanted.`, { file: model.file })
  addTable(draft, await pieceTable(files, model, draft.vocabSize, T5_LAYERS, 't5'), 'default')
  addNormalizer(draft, model.addDummyPrefix, undefined, model.removeExtraWhitespaces, model.precompiledCharsmap)
  await addSpecial(draft, { loadMerges: false, tokenCount: draft.table?.tokens.length ?? 0 })
  return true
}

async function rebuilt(draft: Draft): Promise<SentencePieceModel> {
  const vocabulary = await sentencePieceVocabulary(draft)
  if (vocabulary === undefined) throw noTokenizer(draft, 'tokenizer.model, spiece.model, or a tokenizer.json that stands for one')
  draft.notes.push('there is no spiece.model: its pieces and scores were rebuilt from tokenizer.json (the reference converter stops here)')
  return rebuildModel(vocabulary)
}

export async function xlmRoberta(draft: Draft): Promise<boolean> {
  const { files } = draft
  const file = 'sentencepiece.bpe.model'
  const { rows, model, notes } = files.has(file) ? realigned(readSentencePieceModel(await files.bytes(file), file), draft) : await listedPieces(draft)
  addTable(draft, { model: 't5', ...rows, notes }, 'default')
  addNormalizer(draft, model.addDummyPrefix, typeCount(draft.config), model.removeExtraWhitespaces, model.precompiledCharsmap)
  await addSpecial(draft, { loadMerges: false, tokenCount: rows.tokens.length })
  return true
}

interface Realigned {
  readonly rows: PieceRows
  readonly model: Pick<SentencePieceModel, 'addDummyPrefix' | 'removeExtraWhitespaces' | 'precompiledCharsmap'>
  readonly notes: readonly string[]
}

const FAIRSEQ_FIRST = ['<s>', '<pad>', '</s>', '<unk>']
const NOMIC_MASK_ID = 250001

/** fairseq numbers the first pieces otherwise than the model does, which shifts all others by one. */
function realigned(model: SentencePieceModel, { vocabSize, config }: Draft): Realigned {
  if (model.modelType !== UNIGRAM) throw new UnsupportedError(`holds a SentencePiece model of type ${model.modelType}; unigram wanted.`, { file: model.file })
  const { tokens, scores, types } = rowsOfPieces(model, Math.max(vocabSize, model.pieces.length))
  const { control, unknown } = TOKEN_TYPES
  const rows: PieceRows = {
    tokens: [...FAIRSEQ_FIRST, ...tokens.slice(3, -1)],
    scores: Float32Array.of(0, 0, 0, 0, ...scores.subarray(3, -1)),
    types: Int32Array.of(control, control, control, unknown, ...types.subarray(3, -1)),
  }
  // Nomic Embed 2 (a mixture of experts): its mask token is not in the model
  if (config.get('moe_every_n_layers') !== undefined && rows.tokens.length > NOMIC_MASK_ID) {
    rows.tokens[NOMIC_MASK_ID] = '<mask>'
    rows.scores[NOMIC_MASK_ID] = 0
    rows.types[NOMIC_MASK_ID] = control
  }
  return { rows, model, notes: pieceNotes(model.file, model.pieces.length, rows.tokens.length, 0) }
}

/** tokenizer.json: pieces as they are numbered there; unknown, special and other added tokens by what the files say of them. */
async function listedPieces(draft: Draft): Promise<Realigned> {
  const vocabulary = await readVocabulary(draft.files)
  if (vocabulary === undefined) throw noTokenizer(draft, 'sentencepiece.bpe.model or tokenizer.json')
  if (vocabulary.modelType !== 'Unigram') throw new UnsupportedError(`holds a ${vocabulary.modelType} model; Unigram wanted.`, { file: vocabulary.file })
  const model = rebuildModel(vocabulary)
  const rows = rowsOfPieces(model, Math.max(draft.vocabSize, model.pieces.length))
  const unknown = await unknownId(draft, vocabulary)
  for (const id of model.pieces.keys()) rows.types[id] = pieceType(vocabulary, id, unknown)
  const config = await draft.files.json('tokenizer_config.json')
  const flags = {
    precompiledCharsmap: model.precompiledCharsmap,
    addDummyPrefix: config?.get('add_prefix_space') !== false,
    removeExtraWhitespaces: model.removeExtraWhitespaces || config?.get('clean_up_tokenization_spaces') === true,
  }
  return { rows, model: flags, notes: [...vocabulary.notes, ...pieceNotes(vocabulary.file, model.pieces.length, rows.tokens.length, 0)] }
}

function pieceType(vocabulary: Vocabulary, id: number, unknown: number): number {
  const added = vocabulary.added.get(id)
  if (id === unknown) return TOKEN_TYPES.unknown
  if (added === undefined) return TOKEN_TYPES.normal
  return vocabulary.specialContents.has(added.content) ? TOKEN_TYPES.control : TOKEN_TYPES.userDefined
}

/** The added token that tokenizer_config.json calls unknown, else the model's unk_id, else 3. */
async function unknownId(draft: Draft, vocabulary: Vocabulary): Promise<number> {
  const named = (await draft.files.json('tokenizer_config.json'))?.get('unk_token')
  for (const [id, { content }] of vocabulary.added) if (content === named) return id
  const model = vocabulary.json.get('model')
  const id = isObject(model) ? model.get('unk_id') : undefined
  return typeof id === 'number' ? id : 3
}

/** Model types whose config class fills in two segments where config.json is silent (transformers 5.23). */
const TWO_SEGMENTS: ReadonlySet<unknown> = new Set(['bert', 'camembert', 'nomic_bert', 'roberta', 'xlm-roberta'])

/** Segments that the embedding of token types has. */
export function typeCount(config: JsonObject): number {
  const count = config.get('type_vocab_size')
  if (typeof count === 'number' && Number.isInteger(count) && count >= 0) return count
  return TWO_SEGMENTS.has(config.get('model_type')) ? 2 : 1
}

function addNormalizer(draft: Draft, prefix: boolean, types: number | undefined, whitespace: boolean, charsmap: Uint8Array): void {
  const { keyValues } = draft
  keyValues.set('tokenizer.ggml.add_space_prefix', bool(prefix))
  if (types !== undefined) keyValues.set('tokenizer.ggml.token_type_count', u32(types))
  keyValues.set('tokenizer.ggml.remove_extra_whitespaces', bool(whitespace))
  if (charsmap.length > 0) keyValues.set('tokenizer.ggml.precompiled_charsmap', { type: 'array', items: 'u8', value: charsmap })
}
