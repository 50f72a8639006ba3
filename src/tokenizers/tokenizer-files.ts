/**
 * The files of a tokenizer on disk: their names, and one cached reader for the rest of this room.
 *
 * Law: the names that transformers' save_pretrained and from_pretrained use (tokenization_utils_base.py), and
 * those that llama.cpp's conversion/base.py opens.
 */
import { readAll, type Folder } from '../core/bytes.js'
import { FormatError } from '../core/errors.js'
import { decodeUtf8, isObject, kindOf, parseJsonObject, type Json, type JsonObject } from '../core/json.js'

/** Names of the files that belong to a tokenizer. What lies in `additional_chat_templates/` belongs to it too. */
export const TOKENIZER_FILES: readonly string[] = [
  'tokenizer.json',
  'tokenizer.model',
  'tokenizer_config.json',
  'special_tokens_map.json',
  'added_tokens.json',
  'vocab.json',
  'merges.txt',
  'vocab.txt',
  'tekken.json',
  'tokenizer.model.v1',
  'tokenizer.model.v3',
  'tokenizer.model.v7',
  'spiece.model',
  'sentencepiece.bpe.model',
  'qwen.tiktoken',
  'arcade100k.tiktoken',
  'hy.tiktoken',
  'tiktoken.model',
  'tokenizer.jsonl',
  'rwkv_vocab_v20230424.txt',
  'chat_template.jinja',
  'chat_template.json',
]

/** The folder of named chat templates, `/` included. */
export const TEMPLATE_FOLDER = 'additional_chat_templates/'

/** True when a file (name inside its folder) belongs to the tokenizer. */
export function isTokenizerFile(name: string): boolean {
  return TOKENIZER_FILES.includes(name) || (name.startsWith(TEMPLATE_FOLDER) && name.endsWith('.jinja'))
}

const MAX_BYTES = 256 * 2 ** 20 // largest tokenizer.json seen: 34 MB (Gemma 3); tokenizer.model: 5 MB

/**
 * The last large file that was parsed, for as long as memory is not wanted elsewhere: a base model and the adapter beside
 * it often have the same tokenizer.json, which is looked at to compare them and again to write the tables.
 */
let lastLarge: WeakRef<{ readonly bytes: Uint8Array; readonly value: JsonObject }> | undefined
const LARGE_BYTES = 2 ** 20

function parseOnce(bytes: Uint8Array, name: string): JsonObject {
  const known = bytes.length < LARGE_BYTES ? undefined : lastLarge?.deref()
  if (known !== undefined && sameBytes(known.bytes, bytes)) return known.value
  const value = parseJsonObject(bytes, name)
  if (bytes.length >= LARGE_BYTES) lastLarge = new WeakRef({ bytes, value })
  return value
}

function sameBytes(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false
  return true
}

/** The files of one tokenizer, each read and parsed at most once. All throw FormatError with the file's name. */
export interface TokenizerFiles {
  readonly folder: Folder
  has(name: string): boolean
  /** A JSON file whose root is an object, or undefined where there is none. */
  json(name: string): Promise<JsonObject | undefined>
  /** A text file, or undefined where there is none. Line ends become \n, as Python's text mode makes them. */
  text(name: string): Promise<string | undefined>
  bytes(name: string): Promise<Uint8Array>
}

/** Opens the tokenizer files of a folder; nothing is read yet. */
export function tokenizerFiles(folder: Folder): TokenizerFiles {
  const parsed = new Map<string, Promise<JsonObject>>()
  const bytes = async (name: string) => readAll(await folder.open(name), MAX_BYTES)
  return {
    folder,
    has: (name) => folder.has(name),
    async json(name) {
      if (!folder.has(name)) return undefined
      const known = parsed.get(name) ?? bytes(name).then((content) => parseOnce(content, name))
      parsed.set(name, known)
      return known
    },
    async text(name) {
      if (!folder.has(name)) return undefined
      return decodeUtf8(await bytes(name), name, false).replace(/\r\n?/g, '\n')
    },
    bytes,
  }
}

/** A member that must be an object where it is there and not null. @throws FormatError */
export function objectAt(object: JsonObject, key: string, file: string): JsonObject | undefined {
  const value = object.get(key) ?? undefined
  if (value !== undefined && !isObject(value)) throw new FormatError(`"${key}" is ${kindOf(value)}, an object wanted.`, { file })
  return value
}

/** A member that must be a string where it is there and not null. @throws FormatError */
export function stringAt(object: JsonObject, key: string, file: string): string | undefined {
  const value = object.get(key) ?? undefined
  if (value !== undefined && typeof value !== 'string') throw new FormatError(`"${key}" is ${kindOf(value)}, a string wanted.`, { file })
  return value
}

/** A setting of config.json: text_config's goes before the root's, as the reference merges them. */
export function setting(config: JsonObject, key: string): Json | undefined {
  const text = config.get('text_config')
  return (isObject(text) ? text.get(key) : undefined) ?? config.get(key)
}

/** Highest token id that is taken as one: above it lies no model, only a broken file. */
export const MAX_TOKEN_ID = 2 ** 31 - 2

/** True for an integer in [0, 2^31 - 2]. */
export function isTokenId(value: Json | undefined): value is number {
  return typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= MAX_TOKEN_ID
}

/** A token id. @throws FormatError when it is no integer in [0, 2^31 - 2] */
export function tokenId(value: Json | undefined, what: string, file: string): number {
  if (!isTokenId(value)) throw new FormatError(`the id of ${what} is ${kindOf(value)}; an integer from 0 to ${MAX_TOKEN_ID} wanted.`, { file })
  return value
}
