/**
 * Values of cards and configs -> typed metadata, as Python's struct and str take them. A value that the reference's
 * writer would fail on is left out, with a note.
 *
 * Law: gguf-py gguf/gguf_writer.py `add_string`, `add_array`, `_pack_val`; constants.py `GGUFValueType.get_type`.
 */
import { quoted } from '../core/errors.js'
import { f32, i32, strings } from '../core/key-value.js'
import type { MetadataValue } from '../core/key-value.js'
import type { CardValue } from './yaml-scalar.js'

const MAX_NOTES = 20 // a hostile card may hold a million values to leave out

/** Collects what users should know of: one sentence each, the first 20. */
export class Notes {
  private readonly sentences: string[] = []
  private dropped = 0

  add(...sentences: readonly string[]): void {
    const room = Math.max(0, MAX_NOTES - this.sentences.length)
    this.sentences.push(...sentences.slice(0, room))
    this.dropped += Math.max(0, sentences.length - room)
  }

  /** @param place  file and key of the value */
  leftOut(place: string, found: string, wanted: string): undefined {
    this.add(`${place} is ${found} where ${wanted} is wanted; it is left out.`)
    return undefined
  }

  list(): readonly string[] {
    return this.dropped === 0 ? this.sentences : [...this.sentences, `${this.dropped} more notes of this kind are not shown.`]
  }
}

/**
 * A text; '' for what Python takes as empty (0, false, [], {}): nothing is written for it, but it counts as given.
 * @returns undefined when there is none
 */
export function textOf(value: CardValue | undefined, place: string, notes: Notes): string | undefined {
  if (value === undefined || value === null || typeof value === 'string') return value ?? undefined
  if (isEmpty(value)) return ''
  return notes.leftOut(place, kindOfValue(value), isCardList(value) || value instanceof Map ? 'a text' : 'a text (in quotes)')
}

/** A list of texts, joined with commas, or a text. */
export function joinedText(value: CardValue | undefined, place: string, notes: Notes): string | undefined {
  if (!isCardList(value)) return textOf(value, place, notes)
  return value
    .map((item) => (typeof item === 'string' ? item : notes.leftOut(`an entry of ${place}`, kindOfValue(item), 'a text')))
    .filter((item) => item !== undefined)
    .join(',')
}

/** A number as struct.pack takes it: booleans are 0 and 1, nothing is rounded to an integer. */
export function numberOf(type: 'i32' | 'f32', value: CardValue | undefined, place: string, notes: Notes): MetadataValue | undefined {
  if (value === undefined || value === null) return undefined
  const isFloat = isCardFloat(value)
  const number = isFloat ? value.float : typeof value === 'boolean' || typeof value === 'bigint' ? Number(value) : value
  if (typeof number !== 'number') return notes.leftOut(place, kindOfValue(value), 'a number')
  if (type === 'i32') return isFloat || !isInt32(number) ? notes.leftOut(place, kindOfValue(value), 'an integer of 32 bits') : i32(number)
  return overflows(number) ? notes.leftOut(place, kindOfValue(value), 'a number of 32 bits') : f32(Math.fround(number))
}

type Items = 'string' | 'f32' | 'bool' | 'i32'

/** A list, typed by its items, which must be of one type; where they are not, its texts are kept. Nothing for an empty list. */
export function arrayOf(value: readonly CardValue[], place: string, notes: Notes): MetadataValue | undefined {
  const types = value.map(itemType)
  const first = types[0]
  if (first === undefined || types.some((type) => type !== first)) {
    value.forEach((item, index) => {
      if (types[index] !== 'string') notes.leftOut(`an entry of ${place}`, kindOfValue(item), 'a text')
    })
    const texts = value.filter((item) => typeof item === 'string')
    return texts.length === 0 ? undefined : strings(texts)
  }
  if (first === 'string') return strings(value.map(String))
  if (first === 'bool') return { type: 'array', items: 'bool', value: value.map((item) => item === true) }
  const numbers = value.map((item) => (isCardFloat(item) ? item.float : Number(item)))
  if (numbers.some(first === 'i32' ? (number) => !isInt32(number) : overflows)) return notes.leftOut(`an entry of ${place}`, 'a number too large', 'a text')
  return { type: 'array', items: first, value: first === 'f32' ? numbers.map(Math.fround) : numbers }
}

function itemType(value: CardValue): Items | undefined {
  if (typeof value === 'string') return 'string'
  if (typeof value === 'boolean') return 'bool'
  if (isCardFloat(value)) return 'f32'
  if (typeof value === 'number') return Number.isInteger(value) ? 'i32' : 'f32'
  return typeof value === 'bigint' ? 'i32' : undefined
}

export function isCardList(value: CardValue | undefined): value is readonly CardValue[] {
  return Array.isArray(value)
}

function isCardFloat(value: CardValue): value is { readonly float: number } {
  return typeof value === 'object' && value !== null && 'float' in value
}

function isInt32(number: number): boolean {
  return Number.isInteger(number) && number >= -0x80000000 && number <= 0x7fffffff
}

// infinity itself can be written, a number that rounds to it cannot
function overflows(number: number): boolean {
  return Number.isFinite(number) && !Number.isFinite(Math.fround(number))
}

function isEmpty(value: CardValue): boolean {
  if (isCardList(value)) return value.length === 0
  if (value instanceof Map) return value.size === 0
  return isCardFloat(value) ? value.float === 0 : !value
}

/** What a value is, for messages. */
export function kindOfValue(value: CardValue): string {
  if (value === null) return 'null'
  if (typeof value === 'string') return `the text ${quoted(value)}`
  if (isCardList(value)) return 'a list'
  if (value instanceof Map) return 'a map'
  if (isCardFloat(value)) return `the number ${value.float}`
  if (typeof value === 'object' && 'other' in value) return value.other
  if (typeof value === 'boolean') return `the truth value ${value}`
  return typeof value === 'number' || typeof value === 'bigint' ? `the number ${quoted(`${value}`).slice(1, -1)}` : 'a value'
}
