/**
 * The vocabulary of a tokenizer as transformers would hold it: base vocabulary, added tokens with their flags, the
 * named special tokens, and the pipeline (normalizer, pre-tokenizer, decoder) as JSON.
 *
 *   tokenizer.json, or vocab.json + merges.txt ──┐
 *   tokenizer_config.json, special_tokens_map.json, added_tokens.json ──┴──► Vocabulary
 *
 * Law: huggingface/tokenizers added_vocabulary.rs `add_tokens` (which ids added tokens get) and transformers 5.23
 * tokenization_utils_base.py `_from_pretrained`, tokenization_utils_tokenizers.py `__init__` and `_post_init`.
 */
import { FormatError, MismatchError, quoted } from '../core/errors.js'
import { isArray, isObject, kindOf, type Json, type JsonObject } from '../core/json.js'
import { readTokenConfigs, statedToken, type AddedToken, type StatedToken, type TokenConfigs } from './token-configs.js'
import { isTokenId, objectAt, stringAt, tokenId, type TokenizerFiles } from './tokenizer-files.js'
import { slowTokenizer } from './slow-tokenizers.js'

export interface Vocabulary {
  /** File that the base vocabulary comes from, for messages. */
  readonly file: string
  /** Kind of model: BPE, WordPiece, Unigram, WordLevel. */
  readonly modelType: string
  /** Base vocabulary: token -> id. */
  readonly base: ReadonlyMap<string, number>
  /** Added tokens: id -> token. Ids may lie in the base vocabulary. */
  readonly added: ReadonlyMap<number, AddedToken>
  /** Contents of the named special tokens (bos, eos, …) and of the additional ones. */
  readonly specialContents: ReadonlySet<string>
  /** tokenizer.json, or what stands for it. */
  readonly json: JsonObject
  readonly notes: readonly string[]
}

/**
 * Reads the vocabulary of a folder.
 * @returns undefined when there is neither tokenizer.json nor the files of a tokenizer without one
 * @throws FormatError, UnsupportedError
 */
export async function readVocabulary(files: TokenizerFiles): Promise<Vocabulary | undefined> {
  const json = await files.json('tokenizer.json')
  const found = json === undefined ? await slowTokenizer(files) : { json, file: 'tokenizer.json' }
  return found === undefined ? undefined : vocabularyOf(found.json, found.file, files)
}

/** The vocabulary of a tokenizer.json, or of what stands for one. @param files  its companions; none: it stands alone */
export async function vocabularyOf(json: JsonObject, file: string, files?: TokenizerFiles): Promise<Vocabulary> {
  const model = objectAt(json, 'model', file)
  if (model === undefined) throw new FormatError('has no "model".', { file })
  const base = baseVocabulary(model, file)
  const added = new AddedTokens(base, file)
  const listed = listAt(json, 'added_tokens', file).map((entry, index) => statedToken(entry, `added token ${index}`, file))
  const configs = files === undefined ? undefined : await readTokenConfigs(files, isByteLevelJson(json))
  const notes = addAll(added, listed, configs, file)
  return {
    file,
    modelType: stringAt(model, 'type', file) ?? (isArray(model.get('vocab')) ? 'Unigram' : 'BPE'),
    base,
    specialContents: new Set(configs?.named.map(({ content }) => content).concat(configs.extra)),
    added: added.byId,
    json,
    notes,
  }
}

/** True for a tokenizer.json of BPE whose bytes are written in GPT-2's alphabet. */
export function isByteLevelJson(tokenizer: JsonObject): boolean {
  const model = tokenizer.get('model')
  if (!isObject(model) || (model.get('type') ?? 'BPE') !== 'BPE') return false
  return mentions(tokenizer.get('decoder'), 'ByteLevel', 'decoders') || mentions(tokenizer.get('pre_tokenizer'), 'ByteLevel', 'pretokenizers')
}

function mentions(step: Json | undefined, type: string, list: string): boolean {
  if (!isObject(step)) return false
  const inner = step.get(list)
  return step.get('type') === type || (isArray(inner) && inner.some((entry) => isObject(entry) && entry.get('type') === type))
}

/** token -> id of the whole vocabulary, as one list by id; an id without a token is a hole. @throws MismatchError, FormatError */
export function tokensById(vocabulary: Vocabulary, count: number): (string | undefined)[] {
  const tokens = Array.from<string | undefined>({ length: count })
  const put = (token: string, id: number) => {
    if (id >= count) {
      throw new MismatchError(
        `the token ${quoted(token)} has id ${id}, but the model's vocab_size is ${count}: ids up to ${count - 1} have a row in the embedding.`,
        {
          file: vocabulary.file,
        },
      )
    }
    const before = tokens[id]
    if (before !== undefined && before !== token)
      throw new FormatError(`the tokens ${quoted(before)} and ${quoted(token)} both have id ${id}.`, { file: vocabulary.file })
    tokens[id] = token
  }
  for (const [token, id] of vocabulary.base) put(token, id)
  // a token that only the class adds has no row in the embedding unless the model is padded
  for (const [id, token] of vocabulary.added) if (token.brought !== true || id < count || vocabulary.base.has(token.content)) put(token.content, id)
  return tokens
}

function baseVocabulary(model: JsonObject, file: string): ReadonlyMap<string, number> {
  const vocab = model.get('vocab')
  if (isArray(vocab)) return listedVocabulary(vocab, file)
  if (!isObject(vocab)) throw new FormatError(`"model.vocab" is ${kindOf(vocab)}, an object wanted.`, { file })
  for (const [token, id] of vocab) if (!isTokenId(id)) tokenId(id, `the token ${quoted(token)}`, file)
  return vocab as ReadonlyMap<string, number> // every value was checked
}

/** Unigram: a list of [piece, score]; the place is the id. */
function listedVocabulary(vocab: readonly Json[], file: string): ReadonlyMap<string, number> {
  const ids = new Map<string, number>()
  for (const [id, entry] of vocab.entries()) {
    const piece = isArray(entry) ? entry[0] : undefined
    if (typeof piece !== 'string') throw new FormatError(`"model.vocab" holds ${kindOf(entry)} at ${id}, a piece and its score wanted.`, { file })
    if (ids.has(piece)) throw new FormatError(`the piece ${quoted(piece)} stands twice, as id ${ids.get(piece)} and ${id}.`, { file })
    ids.set(piece, id)
  }
  return ids
}

/** Added tokens, with the ids that the tokenizers library gives them: what tokenizer.json says of their ids is not used by it. */
class AddedTokens {
  readonly byId = new Map<number, AddedToken>()
  private readonly ids = new Map<string, number>()
  private readonly base: ReadonlyMap<string, number>
  private readonly baseIds: IdSet
  private readonly file: string
  private next: number

  constructor(base: ReadonlyMap<string, number>, file: string) {
    this.base = base
    this.file = file
    this.next = base.size
    this.baseIds = new IdSet(base)
    if (this.baseIds.shared) throw sharedId(base, file)
  }

  has(content: string): boolean {
    return this.ids.has(content)
  }

  /** Makes a token special. @param plain  and not normalized */
  flag(content: string, plain: boolean): void {
    const token = this.byId.get(this.ids.get(content) ?? -1)
    this.add({ ...token, content, special: true, normalized: !plain && token?.normalized === true })
  }

  /** Adds a token, or changes the flags of one. @returns its id, undefined for the empty text */
  add(token: AddedToken): number | undefined {
    if (token.content === '') return undefined
    const id = this.ids.get(token.content) ?? this.base.get(token.content) ?? this.next
    if (!this.has(token.content) && !this.base.has(token.content) && this.baseIds.has(id))
      throw new FormatError(`the vocabulary has holes, so that the added token ${quoted(token.content)} would get id ${id}, which is taken.`, {
        file: this.file,
      })
    this.next = Math.max(this.next, id + 1)
    this.ids.set(token.content, id)
    this.byId.set(id, token)
    return id
  }
}

/** Ids as marks in bytes where they lie close together, as they do in all vocabularies but broken ones. */
class IdSet {
  /** True when two tokens have the same id. */
  readonly shared: boolean
  private readonly marks: Uint8Array
  private readonly far = new Set<number>()

  constructor(base: ReadonlyMap<string, number>) {
    this.marks = new Uint8Array(2 * base.size + 1024)
    let count = 0
    for (const id of base.values()) {
      if (!this.has(id)) count++
      if (id < this.marks.length) this.marks[id] = 1
      else this.far.add(id)
    }
    this.shared = count < base.size
  }

  has(id: number): boolean {
    return id < this.marks.length ? this.marks[id] === 1 : this.far.has(id)
  }
}

function sharedId(base: ReadonlyMap<string, number>, file: string): FormatError {
  const tokens = new Map<number, string>()
  for (const [token, id] of base) {
    const before = tokens.get(id)
    if (before !== undefined) return new FormatError(`the tokens ${quoted(before)} and ${quoted(token)} both have id ${id}.`, { file })
    tokens.set(id, token)
  }
  return new FormatError('two tokens share an id.', { file })
}

/**
 * Adds tokens in transformers' order: those of tokenizer.json, unless the class builds its own pipeline; those of
 * added_tokens_decoder, or else of added_tokens.json under those of tokenizer.json, by id; named special tokens that are
 * new; further special tokens that are new. A named token is special when it is added here, and keeps its flags otherwise.
 */
function addAll(added: AddedTokens, listed: readonly StatedToken[], configs: TokenConfigs | undefined, file: string): string[] {
  const notes: string[] = []
  const add = ({ id: stated, token }: StatedToken) => {
    const id = added.add(token)
    if (id !== undefined && id !== stated)
      notes.push(`${file} gives the added token ${quoted(token.content)} the id ${stated}; the tokenizers library, and so the model, uses ${id}`)
  }
  if (configs?.tokenizerClass === undefined) for (const entry of listed) add(entry)
  if (configs === undefined) return notes
  const named = new Set(configs.named.map(({ content }) => content))
  const entries = configs.decoder ?? [...new Map([...configs.older, ...listed].map((entry) => [entry.id, entry])).values()]
  for (const { id, token } of entries.toSorted((a, b) => a.id - b.id)) add({ id, token: { ...token, special: token.special || named.has(token.content) } })
  for (const token of configs.named) if (!added.has(token.content)) added.add(token)
  for (const content of configs.extra) if (!added.has(content)) added.add({ content, special: true, normalized: false })
  const flags = configs.tokenizerClass?.flags ?? 'none'
  if (flags !== 'none') for (const content of named) added.flag(content, flags === 'all')
  if (flags !== 'none') for (const content of configs.extra) added.flag(content, true)
  return notes
}

function listAt(object: JsonObject, key: string, file: string): readonly Json[] {
  const value = object.get(key) ?? []
  if (!isArray(value)) throw new FormatError(`"${key}" is ${kindOf(value)}, an array wanted.`, { file })
  return value
}
