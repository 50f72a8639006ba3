/**
 * Steps for tokenizers that are SentencePiece models, from tokenizer.model or from a tokenizer.json that stands for one.
 *
 * Law: llama.cpp conversion/base.py `_set_vocab_sentencepiece`, `_set_vocab_llama_hf`; the `set_vocab` of llama.py, phi.py,
 * gemma.py and of families that only set a few keys more. Where the reference stops for want of a tokenizer.model (which
 * transformers 5 does not save), pieces and scores are rebuilt from tokenizer.json.
 */
import { FormatError } from '../core/errors.js'
import { kindOf } from '../core/json.js'
import { bool } from '../core/key-value.js'
import { bySpecialLooks, type AddedEntry } from './added-tokens.js'
import { byteLevel, hasByteLevel } from './byte-level-steps.js'
import { addSpecial, addTable, noTokenizer, type Draft, type Step } from './draft.js'
import { pieceTable, USUAL_LAYERS, type Layer } from './piece-tables.js'
import { nameByHash } from './pre-tokenizer.js'
import { rebuildModel } from './rebuilt-model.js'
import { readSentencePieceModel, type SentencePieceModel } from './sentencepiece-model.js'
import { readSpecialVocab } from './special-vocab.js'
import { TOKEN_TYPES } from './token-types.js'
import { readVocabulary, type Vocabulary } from './tokenizer-json.js'
import { isLlamaJson, llamaJsonTable, type TokenTable } from './vocabularies.js'

const MODEL_FILE = 'tokenizer.model'

/** tokenizer.model with a family's layers; passes when there is none. */
export function piecesWith(layers: readonly Layer[]): Step {
  return async (draft) => {
    if (!draft.files.has(MODEL_FILE)) return false
    const model = readSentencePieceModel(await draft.files.bytes(MODEL_FILE), MODEL_FILE)
    return finishPieces(draft, await pieceTable(draft.files, model, draft.vocabSize, layers))
  }
}

/** tokenizer.model and a family's layers, or what stands for both. @throws FileSystemError when nothing does */
export async function modelWith(draft: Draft, layers: readonly Layer[]): Promise<{ model: SentencePieceModel; layers: readonly Layer[] }> {
  const { files } = draft
  if (files.has(MODEL_FILE)) return { model: readSentencePieceModel(await files.bytes(MODEL_FILE), MODEL_FILE), layers }
  const vocabulary = await sentencePieceVocabulary(draft)
  if (vocabulary === undefined) throw noTokenizer(draft, 'tokenizer.model, or a tokenizer.json that stands for one')
  return rebuiltWith(draft, vocabulary, layers)
}

function rebuiltWith(draft: Draft, vocabulary: Vocabulary, layers: readonly Layer[]): { model: SentencePieceModel; layers: readonly Layer[] } {
  draft.notes.push('there is no tokenizer.model: its pieces and scores were rebuilt from tokenizer.json (the reference converter stops here)')
  return { model: rebuildModel(vocabulary), layers: [[async () => addedEntries(vocabulary), layers.at(-1)?.[1] ?? bySpecialLooks]] }
}

export const sentencePiece: Step = piecesWith(USUAL_LAYERS)

/** A tokenizer.json with byte fallback, all scores equal, as the reference writes it; passes when it is another. */
export async function llamaJson(draft: Draft): Promise<boolean> {
  const tokenizer = await draft.files.json('tokenizer.json')
  const vocabulary = tokenizer !== undefined && isLlamaJson(tokenizer) ? await readVocabulary(draft.files) : undefined
  return vocabulary !== undefined && finishPieces(draft, llamaJsonTable(vocabulary))
}

/** Pieces and scores rebuilt from tokenizer.json, added tokens by the family's last rule; passes when it stands for no such model. */
export function rebuiltPiecesWith(layers: readonly Layer[]): Step {
  return async (draft) => {
    const vocabulary = await sentencePieceVocabulary(draft)
    if (vocabulary === undefined) return false
    const rebuilt = rebuiltWith(draft, vocabulary, layers)
    const table = await pieceTable(draft.files, rebuilt.model, draft.vocabSize, rebuilt.layers)
    return finishPieces(draft, table)
  }
}

export const rebuiltPieces: Step = rebuiltPiecesWith(USUAL_LAYERS)

/**
 * The same for families whose tokenizer.json is byte-level as a rule: passes when the reference knows the tokenizer as one that llama.cpp runs as BPE, or
 * when the user says so by --pre.
 */
export async function rebuiltUnlessKnown(draft: Draft): Promise<boolean> {
  const { files, config, givenPre } = draft
  const vocabulary = givenPre === undefined ? await sentencePieceVocabulary(draft) : undefined
  if (vocabulary?.modelType !== 'BPE') return false
  const { ids } = await readSpecialVocab(files, config, { loadMerges: false })
  if ((await nameByHash(vocabulary, await files.json('tokenizer_config.json'), ids.get('bos'))) !== undefined) return false
  return rebuiltPieces(draft)
}

/** The vocabulary of a tokenizer.json that a SentencePiece model was made into; undefined for any other. */
export async function sentencePieceVocabulary({ files }: Draft): Promise<Vocabulary | undefined> {
  const vocabulary = files.has('tokenizer.json') ? await readVocabulary(files) : undefined
  if (vocabulary?.modelType === 'Unigram') return vocabulary
  return vocabulary !== undefined && isLlamaJson(vocabulary.json) ? vocabulary : undefined
}

function addedEntries({ added }: Vocabulary): AddedEntry[] {
  return [...added].map(([id, { content, special }]) => ({ id, content, special }))
}

/** Table, no pre-tokenizer to speak of, special tokens. */
export async function finishPieces(draft: Draft, table: TokenTable, pre = 'default'): Promise<boolean> {
  if (draft.givenPre !== undefined) draft.notes.push(`--pre ${draft.givenPre} was not used: this tokenizer has no pre-tokenizer to name`)
  addTable(draft, table, pre)
  await addSpecial(draft, { loadMerges: false, tokenCount: table.tokens.length })
  return true
}

/** The model of a family for SentencePiece turned out to be byte-level BPE: written as that. */
export async function byteLevelInstead(draft: Draft): Promise<boolean> {
  if (!(await hasByteLevel(draft))) return false
  draft.notes.push('there is no tokenizer.model, and the tokenizer is byte-level BPE: written as such (the reference converter stops here)')
  return byteLevel(draft)
}

export async function missingModel(draft: Draft): Promise<boolean> {
  throw noTokenizer(draft, 'tokenizer.model, or a tokenizer.json that stands for one')
}

/** tokenizer_config.json's add_prefix_space. @param nullIs  what null stands for; undefined: nothing is written then */
export function configuredSpacePrefix(nullIs?: boolean): Step {
  return async ({ files, keyValues }) => {
    const file = 'tokenizer_config.json'
    const given = (await files.json(file))?.get('add_prefix_space')
    const add = given === null ? nullIs : given
    if (add !== undefined && typeof add !== 'boolean') throw new FormatError(`"add_prefix_space" is ${kindOf(add)}, true or false wanted.`, { file })
    if (add !== undefined) keyValues.set('tokenizer.ggml.add_space_prefix', bool(add))
    return add !== undefined
  }
}

/** A second reading for special tokens that no table of the first knew: ids of infill tokens, of which only eot has a key. */
export function infillIds(kinds: readonly string[], fallbackIds: readonly (readonly [string, number])[], templates: boolean): Step {
  return async (draft) => {
    await addSpecial(draft, { loadMerges: false, kinds, fallbackIds, templates })
    return true
  }
}

/** BPE with byte fallback and merges, as llama.cpp runs it for Gemma 4; some tokens stay visible, so that a chat parser can read them. */
export async function gemma4(draft: Draft): Promise<boolean> {
  const vocabulary = await sentencePieceVocabulary(draft)
  if (vocabulary === undefined || vocabulary.modelType !== 'BPE') throw noTokenizer(draft, 'a tokenizer.json of BPE with byte fallback')
  const table = llamaJsonTable(vocabulary)
  const types = table.types.map((type, id) => (VISIBLE_TOKENS.has(table.tokens[id] ?? '') ? TOKEN_TYPES.userDefined : type))
  addTable(draft, { ...table, model: 'gemma4', types }, undefined)
  await addSpecial(draft, { loadMerges: true })
  return true
}

const VISIBLE_TOKENS: ReadonlySet<string> = new Set([
  '<|channel>',
  '<channel|>',
  '<|tool_call>',
  '<tool_call|>',
  '<|tool_response>',
  '<tool_response|>',
  '<|"|>',
])
