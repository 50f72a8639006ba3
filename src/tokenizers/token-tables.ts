/**
 * The tokenizer.* key-values of a GGUF, from the tokenizer files of a folder: the room's main door.
 *
 *   Folder + config.json ──► recipe (a row of RECIPES) ──► token table ──► + special vocabulary ──► key-values
 *
 * Law: llama.cpp conversion/base.py, conversion/llama.py `LlamaModel.set_vocab` and gguf-py; docs of each step lie in the
 * files that do it. Later keys replace earlier ones of the same name in place, as gguf-py's writer does.
 */
import type { Folder } from '../core/bytes.js'
import { FileSystemError, FormatError, UnsupportedError } from '../core/errors.js'
import { kindOf, type JsonObject } from '../core/json.js'
import { bool, string, strings, type KeyValue, type MetadataValue } from '../core/key-value.js'
import { defaultTemplate } from './chat-templates.js'
import { checkPreTokenizerName, recognisePreTokenizer } from './pre-tokenizer.js'
import { readSpecialVocab, specialKeyValues, type SpecialVocab, type SpecialVocabOptions } from './special-vocab.js'
import { byteLevelTable, isLlamaJson, llamaJsonTable, sentencePieceTable, type TokenTable } from './vocabularies.js'
import { readVocabulary } from './tokenizer-json.js'
import { tokenizerFiles, type TokenizerFiles } from './tokenizer-files.js'

export { PRE_TOKENIZERS } from './pre-tokenizer-names.js'
export { TOKENIZER_FILES } from './tokenizer-files.js'

/** How a family of models finds its tokenizer. */
export type TokenizerRecipe = 'llama' | 'byteLevel' | 'sentencePiece' | 'sentencePieceOrByteLevel'

export interface TokenTablesRequest {
  /** Where the tokenizer files are. */
  readonly folder: Folder
  /** The model's config.json as read. */
  readonly config: JsonObject
  /** Rows of the embedding; 0 when the model does not say. */
  readonly vocabSize: number
  readonly recipe: TokenizerRecipe
  /** The user's --pre. */
  readonly pre?: string
}

export interface TokenTables {
  /** In the reference's order. */
  readonly keyValues: readonly KeyValue[]
  readonly tokenCount: number
  readonly chatTemplate?: string
  /** Every template by name, the usual one as `default`; only where there is one. */
  readonly chatTemplates?: ReadonlyMap<string, string>
  /** Index = token id. */
  readonly tokens: readonly string[]
  /** Kind (bos, eos, unk, sep, pad, cls, mask, eot, eom) -> id. */
  readonly special: Readonly<Partial<Record<SpecialKind, number>>>
  /** tokenizer.ggml.pre */
  readonly pre: string | undefined
  /** Decisions to tell the user. */
  readonly notes: readonly string[]
}

export type SpecialKind = (typeof SPECIAL_KINDS)[number]
const SPECIAL_KINDS = ['bos', 'eos', 'unk', 'sep', 'pad', 'cls', 'mask', 'eot', 'eom'] as const

/** What the steps of a recipe share: key-values keep the place of their first addition. */
interface Draft {
  readonly request: TokenTablesRequest
  readonly files: TokenizerFiles
  readonly keyValues: Map<string, MetadataValue>
  readonly special: Map<string, number>
  readonly notes: string[]
  table?: TokenTable
  vocab?: SpecialVocab
  pre?: string
}

/** One step of a recipe. Tells whether it did its work; the steps of an alternative are tried until one does. */
type Step = (draft: Draft) => Promise<boolean>

const RECIPES: Readonly<Record<TokenizerRecipe, readonly Step[]>> = {
  llama: [refuseTekken, addSpacePrefix, firstOf(sentencePiece, llamaJson, byteLevel), codeLlama, smallGranite],
  byteLevel: [byteLevel],
  sentencePiece: [firstOf(sentencePiece, missingModel)],
  sentencePieceOrByteLevel: [firstOf(sentencePiece, byteLevel)],
}

const MAX_TOKENS = 2 ** 22 // the largest vocabulary seen has 262,400 tokens; a config that says billions must not take memory

/**
 * Makes the token tables of a model.
 * @throws FormatError (broken tokenizer files), UnsupportedError (a tokenizer or pre-tokenizer that is not known),
 *         MismatchError (ids beyond vocabSize), UsageError (unknown --pre), FileSystemError (no tokenizer in the folder)
 */
export async function tokenTables(request: TokenTablesRequest): Promise<TokenTables> {
  const { pre, vocabSize } = request
  if (pre !== undefined) checkPreTokenizerName(pre)
  if (!Number.isInteger(vocabSize) || vocabSize < 0 || vocabSize > MAX_TOKENS)
    throw new UnsupportedError(`vocab_size ${vocabSize}: a vocabulary of up to ${MAX_TOKENS} tokens is supported.`, { file: 'config.json' })
  const draft: Draft = { request, files: tokenizerFiles(request.folder), keyValues: new Map(), special: new Map(), notes: [] }
  for (const step of RECIPES[request.recipe]) await step(draft)
  return result(draft)
}

function result(draft: Draft): TokenTables {
  const templates = draft.vocab?.templates ?? []
  const chatTemplate = defaultTemplate(templates)
  const tokens = draft.table?.tokens ?? []
  return {
    keyValues: [...draft.keyValues].map(([key, value]) => ({ key, value })),
    tokenCount: tokens.length,
    ...(chatTemplate === undefined ? {} : { chatTemplate }),
    ...(templates.length === 0 ? {} : { chatTemplates: new Map(templates.map(({ name, template }) => [name, template])) }),
    tokens,
    special: Object.fromEntries(SPECIAL_KINDS.flatMap((kind) => (draft.special.has(kind) ? [[kind, draft.special.get(kind)]] : []))),
    pre: draft.pre,
    notes: draft.notes,
  }
}

function firstOf(...steps: readonly Step[]): Step {
  return async (draft) => {
    for (const step of steps) if (await step(draft)) return true
    return false
  }
}

async function refuseTekken({ files }: Draft): Promise<boolean> {
  if (files.has('tekken.json') && !files.has('tokenizer.json')) {
    throw new UnsupportedError("is a tokenizer in Mistral's own format, which is not supported; put the model's tokenizer.json beside it.", {
      file: 'tekken.json',
    })
  }
  return true
}

async function addSpacePrefix({ files, keyValues }: Draft): Promise<boolean> {
  const file = 'tokenizer_config.json'
  const config = await files.json(file)
  const add = config?.get('add_prefix_space') ?? null
  if (add !== null && typeof add !== 'boolean') throw new FormatError(`"add_prefix_space" is ${kindOf(add)}, true or false wanted.`, { file })
  if (add !== null) keyValues.set('tokenizer.ggml.add_space_prefix', bool(add))
  if (config?.get('tokenizer_class') === 'HybridDNATokenizer') throw new UnsupportedError('HybridDNATokenizer is not supported.', { file })
  return true
}

async function sentencePiece(draft: Draft): Promise<boolean> {
  if (!draft.files.has('tokenizer.model')) return false
  const table = await sentencePieceTable(draft.files, draft.request.vocabSize)
  return finishSentencePiece(draft, table)
}

async function llamaJson(draft: Draft): Promise<boolean> {
  const tokenizer = await draft.files.json('tokenizer.json')
  const vocabulary = tokenizer !== undefined && isLlamaJson(tokenizer) ? await readVocabulary(draft.files) : undefined
  return vocabulary !== undefined && finishSentencePiece(draft, llamaJsonTable(vocabulary))
}

async function finishSentencePiece(draft: Draft, table: TokenTable): Promise<boolean> {
  if (draft.request.pre !== undefined) draft.notes.push(`--pre ${draft.request.pre} was not used: this tokenizer has no pre-tokenizer to name`)
  addTable(draft, table, 'default')
  await addSpecial(draft, { loadMerges: false, tokenCount: table.tokens.length })
  return true
}

async function byteLevel(draft: Draft): Promise<boolean> {
  const { files, request } = draft
  const vocabulary = await readVocabulary(files)
  if (vocabulary === undefined) throw noTokenizer(draft)
  if (vocabulary.modelType !== 'BPE')
    throw new UnsupportedError(`a tokenizer with a ${vocabulary.modelType} model is not supported.`, { file: vocabulary.file })
  const table = byteLevelTable(vocabulary, request.vocabSize)
  const special = await readSpecialVocab(files, request.config, { loadMerges: true })
  const pre = await recognisePreTokenizer(vocabulary, await files.json('tokenizer_config.json'), special.ids.get('bos'), request.pre)
  draft.notes.push(pre.note)
  addTable(draft, table, pre.name)
  mergeSpecial(draft, special)
  return true
}

async function missingModel(draft: Draft): Promise<boolean> {
  throw noTokenizer(draft)
}

function noTokenizer({ request }: Draft): FileSystemError {
  const wanted = request.recipe === 'sentencePiece' ? 'tokenizer.model' : 'tokenizer.model, tokenizer.json, or vocab.json with merges.txt'
  return new FileSystemError(`holds no tokenizer: ${wanted} wanted. Copy the files of the base model there.`, { file: request.folder.label })
}

/** CodeLlama: the end of an infill is a token of its own. The other infill tokens have no key in the reference. */
async function codeLlama(draft: Draft): Promise<boolean> {
  if (draft.request.vocabSize !== 32016) return false
  await addSpecial(draft, {
    loadMerges: false,
    kinds: ['prefix', 'suffix', 'middle', 'eot'],
    fallbackIds: [
      ['prefix', 32007],
      ['suffix', 32008],
      ['middle', 32009],
      ['eot', 32010],
    ],
  })
  return true
}

/** Granite's small models: told apart by the size of their vocabulary, as the reference does. */
async function smallGranite(draft: Draft): Promise<boolean> {
  if (draft.request.vocabSize !== 49152) return false
  draft.keyValues.set('tokenizer.ggml.add_bos_token', bool(false))
  return true
}

function addTable(draft: Draft, table: TokenTable, pre: string): void {
  const { keyValues } = draft
  keyValues.set('tokenizer.ggml.model', string(table.model))
  keyValues.set('tokenizer.ggml.pre', string(pre))
  keyValues.set('tokenizer.ggml.tokens', strings(table.tokens))
  if (table.scores !== undefined) keyValues.set('tokenizer.ggml.scores', { type: 'array', items: 'f32', value: table.scores })
  keyValues.set('tokenizer.ggml.token_type', { type: 'array', items: 'i32', value: table.types })
  draft.table = table
  draft.pre = pre
  draft.notes.push(...table.notes)
}

async function addSpecial(draft: Draft, options: SpecialVocabOptions): Promise<void> {
  mergeSpecial(draft, await readSpecialVocab(draft.files, draft.request.config, options))
}

function mergeSpecial(draft: Draft, special: SpecialVocab): void {
  for (const { key, value } of specialKeyValues(special)) draft.keyValues.set(key, value)
  for (const [kind, id] of special.ids) draft.special.set(kind, id)
  draft.vocab ??= special
  draft.notes.push(...special.notes)
}
