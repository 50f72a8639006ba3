/** Small readers of fields of untrusted JSON: each names its field and what it wants. */
import { FormatError, quoted } from '../../core/errors.js'
import { isArray, isObject, kindOf, type Json, type JsonObject } from '../../core/json.js'

export const MAX_RANK = 65_536 // largest seen: 2,048 (full-rank experiments)
const MOST_TOKENS = 1_048_576

/** Whether a value means anything: not null, false, zero, or empty. */
export function saysSomething(value: Json | undefined): boolean {
  if (value === undefined || value === null || value === false || value === 0 || value === '') return false
  if (isArray(value)) return value.length > 0
  return !isObject(value) || value.size > 0
}

/** A value for messages. */
export function valueText(value: Json | undefined): string {
  return typeof value === 'string' ? quoted(value) : kindOf(value)
}

/** A field of the wrong kind. */
export function wrong(file: string, key: string, wanted: string, value: Json | undefined): FormatError {
  return new FormatError(`${key} must be ${wanted}, found ${valueText(value)}.`, { file })
}

/** @throws FormatError unless it is a rank */
export function asRank(value: Json | undefined, key: string, file: string): number {
  if (typeof value !== 'number' || !Number.isInteger(value) || value < 1 || value > MAX_RANK)
    throw wrong(file, key, `a whole number from 1 to ${MAX_RANK}`, value)
  return value
}

/** @throws FormatError unless it is a finite number */
export function asFinite(value: Json | undefined, key: string, file: string): number {
  const number = typeof value === 'bigint' ? Number(value) : value
  if (typeof number !== 'number' || !Number.isFinite(number)) throw wrong(file, key, 'a finite number', value)
  return number
}

/** False where the field is missing. */
export function readBoolean(config: JsonObject, key: string, file: string): boolean {
  const value = config.get(key) ?? false
  if (typeof value !== 'boolean') throw wrong(file, quoted(key), 'true or false', value)
  return value
}

/** Undefined where the field is missing. */
export function readString(config: JsonObject, key: string, file: string): string | undefined {
  const value = config.get(key) ?? undefined
  if (value !== undefined && typeof value !== 'string') throw wrong(file, quoted(key), 'a string', value)
  return value
}

/** Empty where the field is missing. */
export function readNames(config: JsonObject, key: string, file: string): readonly string[] {
  const value = config.get(key) ?? []
  if (!isArray(value) || !value.every((name) => typeof name === 'string')) throw wrong(file, quoted(key), 'a list of strings', value)
  return value
}

/** A pattern, a list of names, or undefined. */
export function readTargets(config: JsonObject, key: string, file: string): string | readonly string[] | undefined {
  const value = config.get(key) ?? undefined
  if (value === undefined) return undefined
  return typeof value === 'string' ? value : readNames(config, key, file)
}

/** Patterns and numbers, in file order. */
export function readPattern(
  config: JsonObject,
  key: string,
  file: string,
  read: (value: Json, key: string, file: string) => number,
): ReadonlyMap<string, number> {
  const value = config.get(key) ?? undefined
  if (value === undefined) return new Map()
  if (!isObject(value)) throw wrong(file, quoted(key), 'an object of patterns and numbers', value)
  return new Map([...value].map(([pattern, number]) => [pattern, read(number, `${quoted(key)} of ${quoted(pattern)}`, file)]))
}

/** Ids, or lists of them by the end of a module's name. */
export function readTokenIds(config: JsonObject, key: string, file: string): readonly number[] | ReadonlyMap<string, readonly number[]> {
  const value = config.get(key) ?? []
  if (isObject(value)) return new Map([...value].map(([module, ids]) => [module, asIds(ids, `${quoted(key)} of ${quoted(module)}`, file)]))
  return asIds(value, quoted(key), file)
}

function asIds(value: Json, key: string, file: string): readonly number[] {
  if (!isArray(value) || value.length > MOST_TOKENS || !value.every((id) => typeof id === 'number' && Number.isInteger(id) && id >= 0))
    throw wrong(file, key, 'a list of token ids', value)
  return value as readonly number[] // every one is a number, as checked
}
