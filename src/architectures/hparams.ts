/**
 * The `<arch>.*` metadata of a model: rows that say which config key goes where, or which function computes what is not
 * simply copied. In goes config.json, out come typed key-values in the reference's order, every number checked.
 *
 * Law: conversion/base.py `TextModel.set_gguf_parameters` (llama.cpp 0c1e570), gguf-py constants.py `Keys`.
 */
import { InternalError } from '../core/errors.js'
import { bool, f32, string, u32, type KeyValue, type MetadataValue } from '../core/key-value.js'
import { readBoolean, readCount, readCounts, readFloat, readFloats, readItems, readNumber, readString, readUint, spelling, type Config } from './config.js'
import { MAX_BLOCKS } from './dimensions.js'

const MAX_ITEMS = 4096 // of lists that are not one item per layer: classifier labels, scales

export type Value = number | boolean | string | readonly number[] | readonly boolean[] | readonly string[]

/** A value that is not simply copied; undefined = the key is not written. */
export type Derived = (config: Config) => Value | undefined

/** How a value is read from the config, and which numbers it may be: a `count` may be 0, a `u32` may not, an `f32` is never negative, a `float` may be. */
const READERS = {
  u32: readUint,
  count: readCount,
  f32: readFloat,
  float: readNumber,
  bool: readBoolean,
  string: readString,
  'u32[]': (config: Config, key: string) => readCounts(config, key, MAX_BLOCKS),
  'f32[]': (config: Config, key: string) => readFloats(config, key, MAX_ITEMS),
  'bool[]': (config: Config, key: string) => readItems(config, key, MAX_BLOCKS, 'boolean'),
  'string[]': (config: Config, key: string) => readItems(config, key, MAX_ITEMS, 'string'),
  'i32[]': (config: Config, key: string) => readCounts(config, key, MAX_BLOCKS),
} as const satisfies Record<string, (config: Config, key: string) => Value>

export type HparamType = keyof typeof READERS

/**
 * One key of the metadata.
 *   key         without the architecture's prefix; `general.…` keys stand as they are
 *   source      a key of the config, several spellings in order, a function, the type of the output file, or a value for all
 *   whenAbsent  what to write when the config has none of the spellings; `required` = an error; nothing = no key
 */
export type HparamRow =
  | readonly [
      key: string,
      type: HparamType,
      source: string | readonly string[] | Derived | { readonly given: 'fileType' } | { readonly always: Value },
      whenAbsent?: number | boolean,
    ]
  | readonly [key: string, type: HparamType, source: string | readonly string[], whenAbsent: 'required']

/**
 * Reads every row; one that repeats a key gives its value in the first one's place, as the reference's writer does.
 * @param prefix    name of the GGUF architecture, before the dot
 * @param fileType  value of `enum llama_ftype` of the output
 * @throws FormatError that names the key of a value that is missing, of another type, or out of its limits
 */
export function hparamKeyValues(rows: readonly HparamRow[], prefix: string, config: Config, fileType: number): KeyValue[] {
  const values = new Map<string, MetadataValue>()
  for (const row of rows) {
    const [key, type] = row
    const value = rowValue(row, config, fileType)
    if (value !== undefined) values.set(/^(?:general|tokenizer|xielu|diffusion)\./.test(key) ? key : `${prefix}.${key}`, typed(type, value, key))
  }
  return [...values].map(([key, value]) => ({ key, value }))
}

function rowValue([, type, source, whenAbsent]: HparamRow, config: Config, fileType: number): Value | undefined {
  if (typeof source === 'function') return source(config)
  if (typeof source === 'object' && 'given' in source) return fileType
  if (typeof source === 'object' && 'always' in source) return source.always
  const spellings = typeof source === 'string' ? [source] : source
  const key = spelling(config, spellings)
  if (key !== undefined) return READERS[type](config, key)
  return whenAbsent === 'required' ? READERS[type](config, spellings[0] ?? '') : whenAbsent
}

function typed(type: HparamType, value: Value, key: string): MetadataValue {
  if (typeof value === 'number' && (type === 'f32' || type === 'float')) return f32(Math.fround(value))
  if (typeof value === 'number' && (type === 'u32' || type === 'count')) return u32(value)
  if (typeof value === 'boolean' && type === 'bool') return bool(value)
  if (typeof value === 'string' && type === 'string') return string(value)
  if (typeof value === 'object') {
    if (type === 'i32[]' || type === 'u32[]' || type === 'f32[]') return { type: 'array', items: ITEMS[type], value: value.map(Number) }
    if (type === 'bool[]') return { type: 'array', items: 'bool', value: value.map(Boolean) }
    if (type === 'string[]') return { type: 'array', items: 'string', value: value.map((item) => String(item)) }
  }
  throw new InternalError(`the row of ${key} says ${type} and computes ${typeof value}.`)
}

const ITEMS = { 'i32[]': 'i32', 'u32[]': 'u32', 'f32[]': 'f32' } as const
