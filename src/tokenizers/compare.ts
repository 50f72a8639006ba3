/**
 * Do the tokenizer files beside an adapter say something else than the base's?
 *
 * Only what decides ids and prompts counts: added tokens, special ids, the chat template. Not the files' bytes: a save by
 * another version of transformers writes the same tokenizer differently (tokenizer.json for tokenizer.model, another
 * order, other defaults), and what a folder does not say is no difference.
 */
import type { Folder } from '../core/bytes.js'
import { quoted } from '../core/errors.js'
import { isArray, isObject, type Json, type JsonObject } from '../core/json.js'
import { readChatTemplates, readTemplateFiles, type ChatTemplate } from './chat-templates.js'
import { readSentencePieceModel } from './sentencepiece-model.js'
import { tokenizerFiles, type TokenizerFiles } from './tokenizer-files.js'
import { classToken, contentOf, SPECIAL_NAMES } from './token-configs.js'
import { readVocabulary } from './tokenizer-json.js'

/** What a folder says about its tokenizer. */
export interface TokenizerFacts {
  /** Ids from 0 to the highest; undefined when the folder holds no vocabulary. */
  readonly tokenCount: number | undefined
  /** id -> token of the whole vocabulary, added tokens included. */
  readonly tokens: ReadonlyMap<number, string>
  /** id -> token of those that the files list as added. */
  readonly addedTokens: ReadonlyMap<number, string>
  /** bos, eos, … -> token, for those that tokenizer_config.json (or special_tokens_map.json) speaks of; null when it says none. */
  readonly specialTokens: ReadonlyMap<string, string | null>
  /** Chat templates by name. */
  readonly chatTemplates: ReadonlyMap<string, string>
}

export interface TokenizerComparison {
  readonly differs: boolean
  /** One sentence each, for the user. */
  readonly reasons: readonly string[]
  /** Ids of the adapter's tokenizer, from 0 to the highest; undefined when no vocabulary lies beside the adapter. */
  readonly adapterTokenCount: number | undefined
}

/** Reads what a folder says about its tokenizer; nothing is required to be there. @throws FormatError, UnsupportedError */
export async function tokenizerFacts(folder: Folder): Promise<TokenizerFacts> {
  const files = tokenizerFiles(folder)
  const config = await files.json('tokenizer_config.json')
  const { tokens, addedTokens } = await vocabularyFacts(files, config)
  const templates = config === undefined ? await readTemplateFiles(files) : await readChatTemplates(files, config)
  let highest = -1
  for (const id of tokens.keys()) highest = Math.max(highest, id)
  return {
    tokenCount: highest < 0 ? undefined : highest + 1,
    tokens,
    addedTokens,
    specialTokens: namedTokens(config, await files.json('special_tokens_map.json')),
    chatTemplates: new Map(templates.map(({ name, template }: ChatTemplate) => [name, template])),
  }
}

/** Compares the tokenizer beside an adapter with the base's. @throws FormatError, UnsupportedError */
export async function compareTokenizers(base: Folder, adapter: Folder): Promise<TokenizerComparison> {
  const [ours, theirs] = [await tokenizerFacts(base), await tokenizerFacts(adapter)]
  const reasons = [...addedTokenReasons(ours, theirs), ...specialReasons(ours, theirs), ...templateReasons(ours, theirs)]
  return { differs: reasons.length > 0, reasons, adapterTokenCount: theirs.tokenCount }
}

type VocabularyFacts = Pick<TokenizerFacts, 'tokens' | 'addedTokens'>

async function vocabularyFacts(files: TokenizerFiles, config: JsonObject | undefined): Promise<VocabularyFacts> {
  if (files.has('tokenizer.json')) {
    const vocabulary = await readVocabulary(files)
    if (vocabulary === undefined) return { tokens: new Map(), addedTokens: new Map() }
    const tokens = new Map([...vocabulary.base].map(([token, id]) => [id, token]))
    const addedTokens = new Map([...vocabulary.added].map(([id, token]) => [id, token.content]))
    for (const [id, token] of addedTokens) tokens.set(id, token)
    return { tokens, addedTokens }
  }
  const addedTokens = listedTokens(await files.json('added_tokens.json'), config)
  const base = await baseTokens(files)
  return { tokens: base.size === 0 ? base : new Map([...base, ...addedTokens]), addedTokens }
}

/** id -> token of a vocabulary that is not in tokenizer.json; empty when there is none that can be read without its class. */
async function baseTokens(files: TokenizerFiles): Promise<Map<number, string>> {
  if (files.has('tokenizer.model')) return new Map(readSentencePieceModel(await files.bytes('tokenizer.model'), 'tokenizer.model').pieces.entries())
  const lines = ((await files.text('vocab.txt')) ?? '').replace(/\n$/, '').split('\n')
  if (lines.length > 1) return new Map(lines.entries())
  return new Map([...((await files.json('vocab.json')) ?? [])].flatMap(([token, id]) => (typeof id === 'number' ? [[id, token] as const] : [])))
}

/** id -> token of added_tokens.json and tokenizer_config.json's added_tokens_decoder. */
function listedTokens(addedFile: JsonObject | undefined, config: JsonObject | undefined): Map<number, string> {
  const tokens = new Map<number, string>()
  for (const [token, id] of addedFile ?? []) if (typeof id === 'number') tokens.set(id, token)
  const decoder = config?.get('added_tokens_decoder')
  for (const [key, entry] of isObject(decoder) ? decoder : []) {
    const content = contentOf(entry)
    if (/^\d{1,10}$/.test(key) && content !== undefined) tokens.set(Number(key), content)
  }
  return tokens
}

function namedTokens(config: JsonObject | undefined, map: JsonObject | undefined): Map<string, string | null> {
  const named = new Map<string, string | null>()
  for (const kind of SPECIAL_NAMES) {
    const value: Json | undefined = config?.get(`${kind}_token`) ?? map?.get(`${kind}_token`) ?? (config === undefined ? undefined : classToken(config, kind))
    if (value !== undefined) named.set(kind, contentOf(isArray(value) ? value[0] : value) ?? null)
  }
  return named
}

/** A token that one side adds must be the other side's token of that id, however it got there. */
function addedTokenReasons(base: TokenizerFacts, adapter: TokenizerFacts): string[] {
  if (adapter.tokens.size === 0 || base.tokens.size === 0) return []
  const gained = [...adapter.addedTokens].filter(([id, token]) => base.tokens.get(id) !== token)
  const lost = [...base.addedTokens].filter(([id, token]) => adapter.tokens.get(id) !== token && !gained.some(([gainedId]) => gainedId === id))
  return [...sentence('adds', gained), ...sentence('lacks', lost)]
}

function sentence(verb: string, tokens: readonly (readonly [number, string])[]): string[] {
  const [first] = tokens
  if (first === undefined) return []
  const shown = `${quoted(first[1])} (id ${first[0]})`
  return [tokens.length === 1 ? `it ${verb} the token ${shown}` : `it ${verb} ${tokens.length} tokens, the first ${shown}`]
}

function specialReasons(base: TokenizerFacts, adapter: TokenizerFacts): string[] {
  const reasons: string[] = []
  for (const [kind, token] of adapter.specialTokens) {
    const before = base.specialTokens.get(kind) ?? null
    if (token !== before && (token !== null || base.specialTokens.has(kind))) {
      reasons.push(`its ${kind} token is ${token === null ? 'none' : quoted(token)}, the base's ${before === null ? 'none' : quoted(before)}`)
    }
  }
  return reasons
}

function templateReasons(base: TokenizerFacts, adapter: TokenizerFacts): string[] {
  if (adapter.chatTemplates.size === 0) return []
  const same =
    adapter.chatTemplates.size === base.chatTemplates.size && [...adapter.chatTemplates].every(([name, template]) => base.chatTemplates.get(name) === template)
  return same ? [] : [base.chatTemplates.size === 0 ? 'it has a chat template, the base has none' : 'its chat template is another']
}
