/**
 * What tokenizer_config.json and its older companions say of added and special tokens, and what the tokenizer's class adds.
 *
 * Law: transformers 5.23 tokenization_utils_base.py `_from_pretrained` and `__init__`.
 */
import { FormatError, quoted } from '../core/errors.js'
import { isArray, isObject, kindOf, type Json, type JsonObject } from '../core/json.js'
import { tokenizerClass, type TokenizerClass } from './tokenizer-classes.js'
import { objectAt, tokenId, type TokenizerFiles } from './tokenizer-files.js'

/** The named special tokens, in the order in which transformers and gguf-py go through them. */
export const SPECIAL_NAMES = ['bos', 'eos', 'unk', 'sep', 'pad', 'cls', 'mask'] as const

/** A token outside the model's own vocabulary, or one of it that is matched before the model sees the text. */
export interface AddedToken {
  readonly content: string
  readonly special: boolean
  /** True when the text is normalized before this token is looked for. */
  readonly normalized: boolean
  /** True for a token that no file has: the tokenizer's class adds it. */
  readonly brought?: boolean
}

/** An added token with the id that its file states. */
export interface StatedToken {
  readonly id: number
  readonly token: AddedToken
}

export function statedToken(entry: Json, what: string, file: string): StatedToken {
  if (!isObject(entry)) throw new FormatError(`"added_tokens" holds ${kindOf(entry)}, an object wanted.`, { file })
  return { id: tokenId(entry.get('id'), what, file), token: addedToken(entry, what, file) }
}

function addedToken(entry: JsonObject, what: string, file: string): AddedToken {
  const content = entry.get('content')
  if (typeof content !== 'string') throw new FormatError(`the content of ${what} is ${kindOf(content)}, a string wanted.`, { file })
  const special = entry.get('special') === true
  const normalized = entry.get('normalized')
  return { content, special, normalized: typeof normalized === 'boolean' ? normalized : !special }
}

/** What tokenizer_config.json and its older companions say of added tokens. */
export interface TokenConfigs {
  readonly tokenizerClass: TokenizerClass | undefined
  /** added_tokens_decoder, where there is one. */
  readonly decoder: readonly StatedToken[] | undefined
  /** added_tokens.json. */
  readonly older: readonly StatedToken[]
  /** bos, eos, …, then what the config names besides. */
  readonly named: readonly AddedToken[]
  /** Further special tokens. */
  readonly extra: readonly string[]
}

export async function readTokenConfigs(files: TokenizerFiles, byteLevel: boolean): Promise<TokenConfigs> {
  const config: JsonObject = (await files.json('tokenizer_config.json')) ?? new Map()
  const modelConfig = await files.json('config.json')
  const brought = tokenizerClass(modelConfig, config, byteLevel)
  const merged = new Map(config)
  const listed = config.has('added_tokens_decoder')
  // transformers 5 takes over the list of additional tokens before it reads this file, so that the file's own says nothing
  if (!listed) for (const [key, value] of (await files.json('special_tokens_map.json')) ?? []) if (key !== 'additional_special_tokens') merged.set(key, value)
  const named = namedTokens(merged, brought)
  const extra = extraTokens(merged)
  const special = new Set([...named.map(({ content }) => content), ...extra])
  return { tokenizerClass: brought, decoder: listed ? decoderTokens(config) : undefined, older: listed ? [] : await olderTokens(files, special), named, extra }
}

function decoderTokens(config: JsonObject): StatedToken[] {
  const file = 'tokenizer_config.json'
  return [...(objectAt(config, 'added_tokens_decoder', file) ?? [])].map(([key, value]) => {
    if (!/^\d{1,10}$/.test(key) || !isObject(value))
      throw new FormatError(`"added_tokens_decoder" holds ${quoted(key)}: ${kindOf(value)}; ids and objects wanted.`, { file })
    return { id: Number(key), token: addedToken(value, `added token ${key}`, file) }
  })
}

async function olderTokens(files: TokenizerFiles, specials: ReadonlySet<string>): Promise<StatedToken[]> {
  const file = 'added_tokens.json'
  return [...((await files.json(file)) ?? [])].map(([content, id]) => ({
    id: tokenId(id, `the token ${quoted(content)}`, file),
    token: { content, special: specials.has(content), normalized: !specials.has(content) },
  }))
}

/** The special tokens with names: the usual ones, by config or by class, then those with names of their own (image_token, …). */
function namedTokens(config: JsonObject, brought: TokenizerClass | undefined): AddedToken[] {
  const named = new Map<string, AddedToken>()
  for (const kind of SPECIAL_NAMES) {
    const value = config.get(`${kind}_token`)
    const content = contentOf(value)
    const otherwise = config.has(`${kind}_token`) ? undefined : brought?.defaults.get(kind)
    if (content !== undefined) named.set(kind, { content, special: true, normalized: isObject(value) && value.get('normalized') === true })
    else if (otherwise !== undefined) named.set(kind, { content: otherwise, special: true, normalized: false, brought: true })
  }
  const extra = config.get('extra_special_tokens')
  for (const [key, value] of [...config, ...(isObject(extra) ? extra : [])]) {
    const content = contentOf(value)
    const usual = SPECIAL_NAMES.some((kind) => key === `${kind}_token`)
    if (!usual && content !== undefined && (typeof value === 'string' || isObject(extra)) && (key.endsWith('_token') || (isObject(extra) && extra.has(key))))
      named.set(key, { content, special: true, normalized: false })
  }
  return [...named.values()]
}

/** extra_special_tokens, or under its older name, where it is a list. */
function extraTokens(config: JsonObject): string[] {
  const listed = config.get('extra_special_tokens')
  const value = isArray(listed) && listed.length > 0 ? listed : config.get('additional_special_tokens')
  return (isArray(value) ? value : []).map(contentOf).filter((content) => content !== undefined)
}

/** The special token that the tokenizer's class brings where the config does not speak of it. */
export function classToken(config: JsonObject, kind: string): string | undefined {
  return config.has(`${kind}_token`) ? undefined : tokenizerClass(undefined, config, false)?.defaults.get(kind)
}

/** The text of a token in a config: a string, or an object with "content". */
export function contentOf(value: Json | undefined): string | undefined {
  const content = isObject(value) ? value.get('content') : value
  return typeof content === 'string' && content !== '' ? content : undefined
}
