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
import { isArray, isObject, kindOf, type Json, type JsonObject, textOr } from '../core/json.js'
import { objectAt, stringAt, tokenId, type TokenizerFiles } from './tokenizer-files.js'
import { slowTokenizer } from './slow-tokenizers.js'

/** A token outside the model's own vocabulary, or one of it that is matched before the model sees the text. */
export interface AddedToken {
  readonly content: string
  readonly special: boolean
  /** True when the text is normalized before this token is looked for. */
  readonly normalized: boolean
}

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

/** The named special tokens, in the order in which transformers and gguf-py go through them. */
export const SPECIAL_NAMES = ['bos', 'eos', 'unk', 'sep', 'pad', 'cls', 'mask'] as const

const LLAMA_DEFAULTS: ReadonlyMap<string, string> = new Map([
  ['unk', '<unk>'],
  ['bos', '<s>'],
  ['eos', '</s>'],
])
/** Special tokens that a tokenizer class brings where tokenizer_config.json does not name them. */
const CLASS_DEFAULTS: ReadonlyMap<string, ReadonlyMap<string, string>> = new Map([
  ['LlamaTokenizer', LLAMA_DEFAULTS],
  ['LlamaTokenizerFast', LLAMA_DEFAULTS],
  [
    'GPT2Tokenizer',
    new Map([
      ['unk', '<|endoftext|>'],
      ['bos', '<|endoftext|>'],
      ['eos', '<|endoftext|>'],
    ]),
  ],
  [
    'GPT2TokenizerFast',
    new Map([
      ['unk', '<|endoftext|>'],
      ['bos', '<|endoftext|>'],
      ['eos', '<|endoftext|>'],
    ]),
  ],
  [
    'Qwen2Tokenizer',
    new Map([
      ['unk', '<|endoftext|>'],
      ['eos', '<|endoftext|>'],
      ['pad', '<|endoftext|>'],
    ]),
  ],
  [
    'Qwen2TokenizerFast',
    new Map([
      ['unk', '<|endoftext|>'],
      ['eos', '<|endoftext|>'],
      ['pad', '<|endoftext|>'],
    ]),
  ],
])

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
  const notes: string[] = []
  const added = new AddedTokens(base, file)
  for (const [index, entry] of listAt(json, 'added_tokens', file).entries()) addFromJson(added, entry, index, file, notes)
  return {
    file,
    modelType: stringAt(model, 'type', file) ?? (isArray(model.get('vocab')) ? 'Unigram' : 'BPE'),
    base,
    specialContents: files === undefined ? new Set() : await addFromConfigs(files, added),
    added: added.byId,
    json,
    notes,
  }
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
  for (const [id, token] of vocabulary.added) put(token.content, id)
  return tokens
}

function baseVocabulary(model: JsonObject, file: string): ReadonlyMap<string, number> {
  const vocab = model.get('vocab')
  if (isArray(vocab)) return listedVocabulary(vocab, file)
  if (!isObject(vocab)) throw new FormatError(`"model.vocab" is ${kindOf(vocab)}, an object wanted.`, { file })
  for (const [token, id] of vocab) tokenId(id, `the token ${quoted(token)}`, file)
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
  private readonly baseIds: Set<number>
  private readonly file: string
  private next: number

  constructor(base: ReadonlyMap<string, number>, file: string) {
    this.base = base
    this.file = file
    this.next = base.size
    this.baseIds = new Set(base.values())
    if (this.baseIds.size < base.size) throw sharedId(base, file)
  }

  has(content: string): boolean {
    return this.ids.has(content)
  }

  known(content: string): boolean {
    return this.ids.has(content) || this.base.has(content)
  }

  /** Adds a token, or changes the flags of one. @returns its id, undefined for the empty text */
  add(token: AddedToken): number | undefined {
    if (token.content === '') return undefined
    const id = this.ids.get(token.content) ?? this.base.get(token.content) ?? this.next
    if (!this.known(token.content) && this.baseIds.has(id))
      throw new FormatError(`the vocabulary has holes, so that the added token ${quoted(token.content)} would get id ${id}, which is taken.`, {
        file: this.file,
      })
    this.next = Math.max(this.next, id + 1)
    this.ids.set(token.content, id)
    this.byId.set(id, token)
    return id
  }

  /** Marks a token as special, adding it when it is new. */
  addSpecial(content: string): void {
    const id = this.ids.get(content)
    const token = id === undefined ? undefined : this.byId.get(id)
    this.add({ content, special: true, normalized: token?.normalized ?? false })
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

function addFromJson(added: AddedTokens, entry: Json, index: number, file: string, notes: string[]): void {
  if (!isObject(entry)) throw new FormatError(`"added_tokens" holds ${kindOf(entry)} at ${index}, an object wanted.`, { file })
  const token = addedToken(entry, `added token ${index}`, file)
  const stated = tokenId(entry.get('id'), `added token ${index}`, file)
  const id = added.add(token)
  if (id !== undefined && id !== stated)
    notes.push(`${file} gives the added token ${quoted(token.content)} the id ${stated}; the tokenizers library, and so the model, uses ${id}`)
}

function addedToken(entry: JsonObject, what: string, file: string): AddedToken {
  const content = entry.get('content')
  if (typeof content !== 'string') throw new FormatError(`the content of ${what} is ${kindOf(content)}, a string wanted.`, { file })
  const special = entry.get('special') === true
  const normalized = entry.get('normalized')
  return { content, special, normalized: typeof normalized === 'boolean' ? normalized : !special }
}

/** What tokenizer_config.json and its older companions add. @returns the contents of all special tokens */
async function addFromConfigs(files: TokenizerFiles, added: AddedTokens): Promise<Set<string>> {
  const config: ReadonlyMap<string, Json> = (await files.json('tokenizer_config.json')) ?? new Map()
  const specials = new Map(config)
  const listed = config.has('added_tokens_decoder')
  // transformers 5 takes over the list of additional tokens before it reads this file, so that the file's own says nothing
  if (!listed) for (const [key, value] of (await files.json('special_tokens_map.json')) ?? []) if (key !== 'additional_special_tokens') specials.set(key, value)
  const contents = specialContents(specials, added)
  if (listed) addFromDecoder(added, config)
  else await addFromAddedTokensFile(files, added, contents)
  for (const content of contents) added.addSpecial(content)
  return contents
}

function addFromDecoder(added: AddedTokens, config: JsonObject): void {
  const file = 'tokenizer_config.json'
  const entries = [...(objectAt(config, 'added_tokens_decoder', file) ?? [])].map(([key, value]) => {
    if (!/^\d{1,10}$/.test(key) || !isObject(value))
      throw new FormatError(`"added_tokens_decoder" holds ${quoted(key)}: ${kindOf(value)}; ids and objects wanted.`, { file })
    return { id: Number(key), token: addedToken(value, `added token ${key}`, file) }
  })
  for (const { token } of entries.sort((a, b) => a.id - b.id)) added.add(token)
}

async function addFromAddedTokensFile(files: TokenizerFiles, added: AddedTokens, specials: ReadonlySet<string>): Promise<void> {
  const file = 'added_tokens.json'
  const entries = [...((await files.json(file)) ?? [])].map(([content, id]) => ({ content, id: tokenId(id, `the token ${quoted(content)}`, file) }))
  for (const { content } of entries.sort((a, b) => a.id - b.id)) {
    if (!added.has(content)) added.add({ content, special: specials.has(content), normalized: !specials.has(content) })
  }
}

/** Texts of the special tokens that the configs name, with those that the tokenizer's class brings. */
function specialContents(config: JsonObject, added: AddedTokens): Set<string> {
  const contents = new Set<string>()
  for (const name of SPECIAL_NAMES) {
    const content = contentOf(config.get(`${name}_token`))
    const fallback = classToken(config, name)
    if (content !== undefined) contents.add(content)
    else if (fallback !== undefined && added.known(fallback)) contents.add(fallback)
  }
  for (const key of ['extra_special_tokens', 'additional_special_tokens']) {
    const extra = config.get(key)
    for (const value of isArray(extra) ? extra : isObject(extra) ? extra.values() : []) {
      const content = contentOf(value)
      if (content !== undefined) contents.add(content)
    }
  }
  return contents
}

/** The special token that the tokenizer's class brings where the config does not speak of it. */
export function classToken(config: JsonObject, name: string): string | undefined {
  return config.has(`${name}_token`) ? undefined : CLASS_DEFAULTS.get(textOr(config.get('tokenizer_class'), ''))?.get(name)
}

/** The text of a token in a config: a string, or an object with "content". */
export function contentOf(value: Json | undefined): string | undefined {
  const content = isObject(value) ? value.get('content') : value
  return typeof content === 'string' && content !== '' ? content : undefined
}

function listAt(object: JsonObject, key: string, file: string): readonly Json[] {
  const value = object.get(key) ?? []
  if (!isArray(value)) throw new FormatError(`"${key}" is ${kindOf(value)}, an array wanted.`, { file })
  return value
}
