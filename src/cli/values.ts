/** Values of options: sizes, types, counts. Each parser throws UsageError naming the option and what it takes. */
import type { SavedState } from '../adapters/adapter-file.js'
import type { PlainFloat } from '../core/dtypes.js'
import { quoted, UsageError } from '../core/errors.js'
import { normalTypeName, parseFileType, type AnyFileType } from '../quantize/file-types.js'

const UNITS: ReadonlyMap<string, number> = new Map([
  ['', 1],
  ['k', 1e3],
  ['kb', 1e3],
  ['m', 1e6],
  ['mb', 1e6],
  ['g', 1e9],
  ['gb', 1e9],
  ['t', 1e12],
  ['tb', 1e12],
  ['kib', 2 ** 10],
  ['mib', 2 ** 20],
  ['gib', 2 ** 30],
  ['tib', 2 ** 40],
])
const DTYPES: ReadonlyMap<string, PlainFloat> = new Map([
  ['f32', 'F32'],
  ['f16', 'F16'],
  ['bf16', 'BF16'],
])

/** `5GB`, `500M`, `1.5 GiB` -> bytes. Units are decimal unless they have an i, as in transformers and llama.cpp. */
export function parseSize(option: string, typed: string): number {
  const [, number = '', unit = ''] = /^(\d+(?:\.\d+)?)\s*([a-z]*)$/i.exec(typed.trim()) ?? []
  const factor = UNITS.get(unit.toLowerCase())
  const bytes = Math.floor(Number(number) * (factor ?? Number.NaN))
  if (number === '' || !Number.isSafeInteger(bytes) || bytes <= 0)
    throw new UsageError(`${option} takes a size such as 500M, 5GB or 2GiB, not ${quoted(typed)}.`)
  return bytes
}

/** `auto` or a float type in any of its spellings. @returns undefined for auto */
export function parseDtype(option: string, typed: string): PlainFloat | undefined {
  const name = normalTypeName(typed)
  if (name === 'auto') return undefined
  const dtype = DTYPES.get(name)
  if (dtype === undefined) throw new UsageError(`${option} takes auto, ${[...DTYPES.keys()].join(', ')}, not ${quoted(typed)}.`)
  return dtype
}

/** `auto`, `copy`, or a file type in any of its spellings. */
export function parseOuttype(option: string, typed: string): AnyFileType | 'auto' | 'copy' {
  const name = typed.toLowerCase()
  return name === 'auto' || name === 'copy' ? name : parseFileType(option, typed)
}

/** A finite number other than 0. */
export function parseNumber(option: string, typed: string): number {
  const value = /^[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?$/i.test(typed.trim()) ? Number(typed) : Number.NaN
  if (!Number.isFinite(value) || value === 0) throw new UsageError(`${option} takes a number such as 16, not ${quoted(typed)}.`)
  return value
}

const SLICES = ['q', 'k', 'v']
const TRUTH: ReadonlyMap<string, boolean> = new Map([['true', true], ['t', true], ['1', true], ['false', false], ['f', false], ['0', false]]) // prettier-ignore

/** `q,v` of q, k, v, or `true,false,true`. */
export function parseSlices(option: string, typed: string): boolean[] {
  const words = typed.split(',').map((word) => word.trim().toLowerCase())
  const flags = words.map((word) => TRUTH.get(word))
  if (flags.every((flag) => flag !== undefined) && flags.includes(true)) return flags
  if (words.every((word) => SLICES.includes(word)) && new Set(words).size === words.length) return SLICES.map((slice) => words.includes(slice))
  throw new UsageError(`${option} takes some of q,k,v, or a list such as true,false,true, not ${quoted(typed)}.`)
}

/** How a file of weights and factors was saved. */
export function parseState(option: string, typed: string): SavedState {
  const state = typed.toLowerCase()
  if (state === 'train' || state === 'eval') return state
  throw new UsageError(`${option} takes train or eval, which is whether B·A is to be added to the weights or is in them already, not ${quoted(typed)}.`)
}

/** A whole number from 1 to `most`. */
export function parseCount(option: string, typed: string, most: number): number {
  const value = /^\d+$/.test(typed) ? Number(typed) : Number.NaN
  if (!(value >= 1 && value <= most)) throw new UsageError(`${option} takes a whole number from 1 to ${most}, not ${quoted(typed)}.`)
  return value
}

/** 2,700,000 -> `2.7 MB`. */
export function formatBytes(bytes: number): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB']
  let [scaled, unit] = [bytes, 0]
  while (unit < units.length - 1 && Number(scaled.toPrecision(3)) >= 1000) [scaled, unit] = [scaled / 1000, unit + 1]
  const digits = unit === 0 ? String(scaled) : scaled < 999.5 ? scaled.toPrecision(3) : scaled.toFixed(0)
  return `${digits} ${units[unit]}`
}
