/**
 * Steps of single families that fit no other file.
 *
 * Law: the `set_vocab` of llama.cpp conversion/{arctic,chatglm,deci,deepseek,laguna,mamba,mpt,nemotron,phi,qwen3vl,xverse}.py.
 */
import { FileSystemError, FormatError, UnsupportedError } from '../core/errors.js'
import { isArray, type JsonObject, textOr } from '../core/json.js'
import { bool, string } from '../core/key-value.js'
import { entriesOfDecoder, type AddedRule, type PieceRows } from './added-tokens.js'
import { byteLevel, byteLevelBy, hasByteLevel } from './byte-level-steps.js'
import { noTokenizer, setSpecialId, type Draft, type Step } from './draft.js'
import { pieceNotes, rowsOfPieces } from './piece-tables.js'
import { readSentencePieceModel } from './sentencepiece-model.js'
import { finishPieces, llamaJson, piecesWith, sentencePiece } from './sentencepiece-steps.js'
import { TOKEN_TYPES } from './token-types.js'
import { setting } from './tokenizer-files.js'
import { contentOf } from './token-configs.js'
import { readVocabulary, tokensById } from './tokenizer-json.js'

const CONFIG_FILE = 'tokenizer_config.json'

/** Phi-4 is byte-level BPE under the same class as Phi-3. */
export async function phi4(draft: Draft): Promise<boolean> {
  const name = textOr((await draft.files.json(CONFIG_FILE))?.get('tokenizer_class'), '')
  return /^GPT2Tokenizer(?:Fast)?$/.test(name) && byteLevel(draft)
}

/** Arctic redefined pieces of its model as special tokens. */
export async function arctic(draft: Draft): Promise<boolean> {
  const unknown = contentOf((await draft.files.json(CONFIG_FILE))?.get('unk_token'))
  const rule: AddedRule = ({ content, special }) =>
    special
      ? { token: content, score: 0, type: content === unknown ? TOKEN_TYPES.unknown : TOKEN_TYPES.control }
      : { token: content, score: -10000, type: TOKEN_TYPES.userDefined }
  return piecesWith([[entriesOfDecoder, rule]])(draft)
}

/** XVERSE: the tokens of tokenizer.json by id, types by their looks, no scores. */
export async function xverse(draft: Draft): Promise<boolean> {
  const vocabulary = draft.files.has('tokenizer.json') ? await readVocabulary(draft.files) : undefined
  if (vocabulary === undefined) throw noTokenizer(draft, 'tokenizer.json')
  const types: number[] = []
  const tokens = tokensById(vocabulary, draft.vocabSize === 0 ? vocabulary.base.size + vocabulary.added.size : draft.vocabSize).map((token, id) => {
    if (token === undefined) throw new FormatError(`no token has id ${id}, though the model's vocab_size is ${draft.vocabSize}.`, { file: vocabulary.file })
    const added = vocabulary.added.get(id)
    const isByte = token === '\0' || /^<0x[0-9A-Fa-f]{2}>$/.test(token)
    types.push(isByte ? TOKEN_TYPES.byte : added === undefined ? TOKEN_TYPES.normal : added.special ? TOKEN_TYPES.control : TOKEN_TYPES.userDefined)
    return token === '\0' ? "<b'\\x00'>" : token
  })
  return finishPieces(draft, { model: 'llama', tokens, types: Int32Array.from(types), notes: vocabulary.notes })
}

const CHAT_GLM3_SPECIALS = ['[MASK]', '[gMASK]', '[sMASK]', 'sop', 'eop', '<|system|>', '<|user|>', '<|assistant|>', '<|observation|>']

/** ChatGLM 3: a SentencePiece model whose special tokens only its Python class knows; told by its name, as the reference does. */
export async function chatGlm3(draft: Draft): Promise<boolean> {
  if (!textOr(draft.config.get('_name_or_path'), '').includes('THUDM/chatglm3-6b')) return false
  const file = 'tokenizer.model'
  if (!draft.files.has(file)) throw noTokenizer(draft, file)
  const model = readSentencePieceModel(await draft.files.bytes(file), file)
  const padded = draft.config.get('padded_vocab_size')
  const pieces = model.pieces.length
  const rows: PieceRows = rowsOfPieces(model, typeof padded === 'number' ? padded : pieces + CHAT_GLM3_SPECIALS.length)
  rows.scores.fill(0, pieces)
  for (const [id, token] of ['<unk>', '<bos>', '<eos>'].entries()) rows.tokens[id] = token
  for (const [index, token] of CHAT_GLM3_SPECIALS.entries()) {
    rows.tokens[pieces + index] = token
    rows.types[pieces + index] = TOKEN_TYPES.control
  }
  return finishPieces(draft, { model: 'llama', ...rows, notes: pieceNotes(file, pieces, rows.tokens.length, 0) }, 'chatglm-spm')
}

/** Nvidia's 51 B Nemotron has Llama 3's vocabulary, DeciLM has Llama 2's. */
export async function deci(draft: Draft): Promise<boolean> {
  if (draft.vocabSize === 0 || draft.vocabSize === 128256 || !(await llamaJson(draft))) return byteLevel(draft)
  return true
}

/** The prompt of DeepSeek 3.2 begins with BOS; the reference asks the user to change tokenizer_config.json. */
export async function deepseek32(draft: Draft): Promise<boolean> {
  await byteLevel(draft)
  const key = 'tokenizer.ggml.add_bos_token'
  const value = draft.keyValues.get(key)
  if (value?.type !== 'bool' || value.value) return true
  draft.keyValues.set(key, bool(true))
  draft.notes.push('add_bos_token was written true, as the model needs it, though the tokenizer says false')
  return true
}

/** MPT is byte-level BPE; SEA-LION has a SentencePiece model and the ids of its Python class. */
export async function mpt(draft: Draft): Promise<boolean> {
  if ((await hasByteLevel(draft)) || !(await sentencePiece(draft))) return byteLevel(draft)
  draft.keyValues.set('tokenizer.ggml.add_bos_token', bool(false))
  setSpecialId(draft, 'pad', 3)
  setSpecialId(draft, 'eos', 1)
  setSpecialId(draft, 'unk', 0)
  return true
}

/** vocab_size rounded up, as the runtime pads the embedding. */
export function roundedUp(multipleOf: (config: JsonObject) => number): Step {
  return async (draft) => {
    const multiple = multipleOf(draft.config)
    draft.vocabSize = Math.ceil(draft.vocabSize / multiple) * multiple
    return true
  }
}

/** pad_vocab_size_multiple of a Mamba config. */
export function mambaMultiple(otherwise: number): (config: JsonObject) => number {
  return (config) => {
    const value = config.get('pad_vocab_size_multiple')
    return typeof value === 'number' && Number.isInteger(value) && value > 0 && value <= 2 ** 16 ? value : otherwise
  }
}

/** Granite's hybrids without Mamba layers are not padded. */
export function graniteHybridMultiple(config: JsonObject): number {
  const types = config.get('layer_types') ?? config.get('layers_block_type')
  return isArray(types) && types.length > 0 && types.every((type) => type === 'attention') ? 1 : 8
}

/** byteLevel for folders that hold one; passes otherwise. */
export async function byteLevelIfThere(draft: Draft): Promise<boolean> {
  return (draft.files.has('tokenizer.json') || draft.files.has('vocab.json')) && byteLevel(draft)
}

/** Mamba checkpoints come without tokenizer; the reference takes one from its own folder. */
export async function withoutTokenizer({ files }: Draft): Promise<boolean> {
  if (files.has('tokenizer.model.v3'))
    throw new UnsupportedError('is a SentencePiece model of Mistral; rename it to tokenizer.model.', { file: 'tokenizer.model.v3' })
  throw new FileSystemError('holds no tokenizer. These models were trained with that of EleutherAI/gpt-neox-20b: copy its tokenizer.json there.', {
    file: files.folder.label,
  })
}

/** Laguna: </assistant> ends a turn, and the template file is the one that includes nothing. */
export async function laguna(draft: Draft): Promise<boolean> {
  await byteLevelBy({ control: ['</assistant>'] })(draft)
  await templateFile(draft)
  const ends = setting(draft.config, 'eos_token_id')
  const bos = setting(draft.config, 'bos_token_id')
  const other = isArray(ends) ? ends.find((id) => id !== bos) : undefined
  if (typeof other === 'number') setSpecialId(draft, 'eot', other)
  return true
}

/** chat_template.jinja, whatever tokenizer_config.json says. */
export async function templateFile(draft: Draft): Promise<boolean> {
  const template = await draft.files.text('chat_template.jinja')
  if (template !== undefined && template !== '') draft.keyValues.set('tokenizer.chat_template', string(template))
  return template !== undefined
}

/** MiniMax-Text-01 and M1: where there is no file, the reference puts a template of its own in. */
export async function minimaxTemplate(draft: Draft): Promise<boolean> {
  if (await templateFile(draft)) return true
  draft.notes.push('there is no chat_template.jinja; the reference converter writes a template of its own then, which is not part of this tool')
  return false
}

/** An added token takes a special place. */
export function addedTokenAs(token: string, ...kinds: readonly string[]): Step {
  return async (draft) => {
    const id = draft.table?.tokens.indexOf(token) ?? -1
    if (id < 0) return false
    for (const kind of kinds) setSpecialId(draft, kind, id)
    return true
  }
}

/** The token with this text in added_tokens_decoder takes special places. */
export function decoderTokenAs(token: string, ...kinds: readonly string[]): Step {
  return async (draft) => {
    const entry = (await entriesOfDecoder(draft.files)).find(({ content }) => content === token)
    if (entry !== undefined) for (const kind of kinds) setSpecialId(draft, kind, entry.id)
    return entry !== undefined
  }
}

/** Fixed ids. */
export function fixedIds(...ids: readonly (readonly [kind: string, id: number])[]): Step {
  return async (draft) => {
    for (const [kind, id] of ids) setSpecialId(draft, kind, id)
    return true
  }
}

/** A chat template of the family, whatever the files say. */
export function fixedTemplate(template: string): Step {
  return async ({ keyValues }) => {
    keyValues.set('tokenizer.chat_template', string(template))
    return true
  }
}

/** The switch add_space_prefix false, where the step before did its work. */
export function withoutSpacePrefix(step: Step): Step {
  return async (draft) => {
    if (!(await step(draft))) return false
    draft.keyValues.set('tokenizer.ggml.add_space_prefix', bool(false))
    return true
  }
}
