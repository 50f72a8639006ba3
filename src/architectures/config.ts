/**
 * config.json as the converter sees it: the text model's part merged over the root, what transformers fills in filled
 * in, and readers that name the key when a value is not what it must be.
 *
 * Law: the reference's `load_hparams` (AutoConfig(...).to_dict()) and `TextModel.__init__`, conversion/base.py; numbers:
 * docs/formats.md JS15 (positive, finite, within limits). transformers 5.23 where its versions differ (config-defaults.ts).
 */
import { FormatError, quoted } from '../core/errors.js'
import { isArray, isObject, kindOf, type Json, type JsonObject } from '../core/json.js'
import type { Derivation, ModelTypeDefaults } from './config-defaults.js'

/** A JSON object with what its messages need. */
export interface Config {
  readonly values: JsonObject
  readonly file: string
  /** What stands before a key in messages: `rope_parameters.`; empty at the root. */
  readonly path: string
  /** The checkpoint's tensors: some values depend on which there are. */
  readonly tensors?: ReadonlyMap<string, KnownTensor>
  /** Whether the whole model's config ties output and embedding, whatever the text model's part says. */
  readonly tiedAtRoot?: boolean
  /** What sentence-transformers calls the way to one vector of a text, where the model's folder says it. */
  readonly pooling?: string | undefined
  /** The user wants no layers that predict further tokens. */
  readonly noNextn?: boolean
}

/** What is known of a tensor while planning. */
export interface KnownTensor {
  readonly shape: readonly number[]
  /** Of the few that decide something. */
  readonly values?: readonly number[]
}

/** Largest integer that llama.cpp can hold: it reads u32 keys into int32_t. */
export const MAX_INT = 2_147_483_647

// Names under which multimodal configs keep the text model; load_hparams renames them to text_config, the last one wins.
const TEXT_CONFIG_KEYS = [['text_config'], ['llm_config'], ['lm_config'], ['thinker_config', 'text_config'], ['language_config'], ['lfm']]

/** The part of a config that describes the text model, or undefined when it is the root itself. */
export function textPart(root: JsonObject): JsonObject | undefined {
  let found: JsonObject | undefined
  for (const path of TEXT_CONFIG_KEYS) {
    let value: Json | undefined = root
    for (const key of path) value = isObject(value) ? value.get(key) : undefined
    if (isObject(value)) found = value
  }
  return found
}

/** What the config of a family needs to be complete. */
export interface ConfigRecipe {
  /** `model_type` to assume when the config names none. */
  readonly modelType: string
  readonly defaults?: Readonly<Record<string, ModelTypeDefaults>>
}

/**
 * Merges the text model's part over the root and fills in defaults. A model type that the family does not know has none:
 * transformers cannot load such a config either, and the reference then takes config.json as it stands.
 */
export function effectiveConfig(root: JsonObject, file: string, recipe: ConfigRecipe): Config {
  const text = textPart(root)
  if (text === undefined) return filled({ values: root, file, path: '' }, recipe)
  const part = filled({ values: text, file, path: 'text_config.' }, recipe)
  return { values: new Map([...root, ...part.values]), file, path: '', tiedAtRoot: root.get('tie_word_embeddings') === true }
}

function filled(config: Config, { modelType, defaults: known = {} }: ConfigRecipe): Config {
  const stated = config.values.get('model_type')
  const type = typeof stated === 'string' ? stated : modelType
  const defaults = Object.hasOwn(known, type) ? known[type] : undefined
  if (defaults === undefined) return config
  const values = new Map(config.values)
  for (const [key, value] of Object.entries(defaults.missing)) if (!values.has(key)) values.set(key, value)
  const completed = { ...config, values }
  for (const [key, derivation] of Object.entries(defaults.derived ?? {}))
    if ((values.get(key) ?? null) === null) values.set(key, derived(completed, derivation))
  return completed
}

function derived(config: Config, derivation: Derivation): number {
  if ('same' in derivation) return readUint(config, derivation.same)
  const [dividend, divisor] = derivation.quotient
  const [a, b] = [readUint(config, dividend), readUint(config, divisor)]
  if (a % b !== 0) throw new FormatError(`${dividend} ${a} is not a multiple of ${divisor} ${b}; give head_dim.`, { file: config.file })
  return a / b
}

/**
 * The first of some spellings that the config has. As in the reference, presence decides and not the value: a spelling
 * that is there but null hides the ones after it.
 */
export function spelling(config: Config, keys: readonly string[]): string | undefined {
  const key = keys.find((candidate) => config.values.has(candidate))
  return key === undefined || config.values.get(key) === null ? undefined : key
}

/** A positive integer (64.0 is 64). @throws FormatError that names the key */
export function readUint(config: Config, key: string, most = MAX_INT): number {
  return readInteger(config, key, 1, most)
}

/** An integer that may be zero: a number of things. @throws FormatError that names the key */
export function readCount(config: Config, key: string, most = MAX_INT): number {
  return readInteger(config, key, 0, most)
}

function readInteger(config: Config, key: string, least: number, most: number): number {
  const value = config.values.get(key)
  if (typeof value === 'number' && Number.isInteger(value) && value >= least && value <= most) return value
  throw wrong(config, key, `a whole number from ${least} to ${most}`)
}

/** A number >= 0 that f32 can hold. @throws FormatError that names the key */
export function readFloat(config: Config, key: string): number {
  const value = config.values.get(key)
  if (typeof value === 'number' && value >= 0 && Number.isFinite(Math.fround(value))) return value
  throw wrong(config, key, 'a finite number that is not negative')
}

/** Any number that f32 can hold. @throws FormatError that names the key */
export function readNumber(config: Config, key: string): number {
  const value = config.values.get(key)
  if (typeof value === 'number' && Number.isFinite(Math.fround(value))) return value
  throw wrong(config, key, 'a finite number')
}

/** A number > 0 that is still one as f32. @throws FormatError that names the key */
export function readPositiveFloat(config: Config, key: string): number {
  const value = config.values.get(key)
  if (typeof value === 'number' && Math.fround(value) > 0 && Number.isFinite(Math.fround(value))) return value
  throw wrong(config, key, 'a finite number above 0')
}

/** @throws FormatError that names the key */
export function readString(config: Config, key: string): string {
  const value = config.values.get(key)
  if (typeof value === 'string') return value
  throw wrong(config, key, 'a string')
}

/** @throws FormatError that names the key */
export function readBoolean(config: Config, key: string): boolean {
  const value = config.values.get(key)
  if (typeof value === 'boolean') return value
  throw wrong(config, key, 'true or false')
}

/** At most `most` integers >= 0. @throws FormatError that names the key */
export function readCounts(config: Config, key: string, most: number): number[] {
  const value = config.values.get(key)
  if (isArray(value) && value.length <= most && value.every((item) => typeof item === 'number' && Number.isInteger(item) && item >= 0 && item <= MAX_INT)) {
    return value.map(Number)
  }
  throw wrong(config, key, `an array of at most ${most} whole numbers`)
}

/** At most `most` numbers that f32 can hold. @throws FormatError that names the key */
export function readFloats(config: Config, key: string, most: number): number[] {
  const value = config.values.get(key)
  if (isArray(value) && value.length <= most && value.every((item) => typeof item === 'number' && Number.isFinite(Math.fround(item)))) {
    return value.map(Number)
  }
  throw wrong(config, key, `an array of at most ${most} numbers`)
}

/** At most `most` strings, or booleans. @throws FormatError that names the key */
export function readItems(config: Config, key: string, most: number, kind: 'string'): string[]
export function readItems(config: Config, key: string, most: number, kind: 'boolean'): boolean[]
export function readItems(config: Config, key: string, most: number, kind: 'string' | 'boolean'): (string | boolean)[] {
  const value = config.values.get(key)
  if (isArray(value) && value.length <= most && value.every((item) => typeof item === kind)) {
    return value.flatMap((item) => (typeof item === 'string' || typeof item === 'boolean' ? [item] : []))
  }
  throw wrong(config, key, `an array of at most ${most} ${kind}s`)
}

/** An object inside the config, empty when it is missing or null. @throws FormatError that names the key */
export function readSection(config: Config, key: string): Config {
  const value = config.values.get(key) ?? null
  if (value !== null && !isObject(value)) throw wrong(config, key, 'an object')
  return { values: value ?? new Map(), file: config.file, path: `${config.path}${key}.` }
}

/** The error for a value that is not what its key must hold. */
export function wrong(config: Config, key: string, wanted: string): FormatError {
  const value = config.values.get(key)
  const found = value === undefined ? 'is missing' : typeof value === 'string' ? `is the string ${quoted(value)}` : `is ${kindOf(value)}`
  return new FormatError(`${config.path}${key} ${found}; ${wanted} is wanted.`, { file: config.file })
}
