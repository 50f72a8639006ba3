/**
 * Strict JSON for untrusted files: headers, indexes, configs, tokenizers.
 *
 * Why not JSON.parse: it keeps the last of two equal keys, rounds big integers silently, accepts lone surrogates and
 * 200,000 levels, loses the order of integer-like keys, and makes `__proto__` a trap (docs/formats.md). Objects come
 * out as Maps in file order.
 *
 * Law: RFC 8259, stricter: keys are unique, strings well formed, nesting <= 128 (serde_json's limit).
 */
import { FormatError, quoted } from './errors.js'

/** An integer beyond 2^53 comes out as bigint, every other number as number. */
export type Json = null | boolean | number | bigint | string | readonly Json[] | JsonObject
export type JsonObject = ReadonlyMap<string, Json>

export interface JsonOptions {
  /** Accept a UTF-8 byte order mark (Windows editors put one into configs). Default true. */
  readonly byteOrderMark?: boolean
  /** Give numbers that are not written as plain unsigned digits as NaN, so that 1.0, 1e0, -0 and -1 can be refused. */
  readonly plainIntegersOnly?: boolean
  /** Accept Infinity, which Python writes into configs (`time_step_limit` of Mamba 2). Default false. */
  readonly infinity?: boolean
}

const MAX_DEPTH = 128 // serde_json's default recursion limit
const LFS_POINTER = 'version https://git-lfs.github.com/spec/'

/**
 * Parses a JSON text.
 * @param bytes  UTF-8
 * @param file   name for messages
 * @param base   offset of `bytes` in the file, for messages
 * @throws FormatError with the byte offset of the fault
 */
export function parseJson(bytes: Uint8Array, file: string, options: JsonOptions = {}, base = 0): Json {
  const byteOrderMark = options.byteOrderMark ?? true
  const text = decodeUtf8(bytes, file, byteOrderMark, base)
  const markBytes = byteOrderMark ? markLength(bytes) : 0
  return new Parser(text, file, base + markBytes, options).document()
}

/** Length of the byte order mark that decodeUtf8 took off, so that offsets in messages count it. */
function markLength(bytes: Uint8Array): number {
  return bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf ? 3 : 0
}

/** Parses a JSON text whose root must be an object. @throws FormatError */
export function parseJsonObject(bytes: Uint8Array, file: string, options: JsonOptions = {}, base = 0): JsonObject {
  const root = parseJson(bytes, file, options, base)
  if (!isObject(root)) throw new FormatError(`holds ${kindOf(root)} where a JSON object is wanted.`, { file, offset: base })
  return root
}

export function isObject(value: Json | undefined): value is JsonObject {
  return value instanceof Map
}

export function isArray(value: Json | undefined): value is readonly Json[] {
  return Array.isArray(value)
}

/** A string value, or `otherwise` for anything else. */
export function textOr(value: Json | undefined, otherwise: string): string {
  return typeof value === 'string' ? value : otherwise
}

/** What a value is, for messages: `null`, `an array`, `the number 4`, and `missing` for none. */
export function kindOf(value: Json | undefined): string {
  if (value === undefined) return 'missing'
  if (value === null) return 'null'
  if (isArray(value)) return 'an array'
  if (isObject(value)) return 'an object'
  if (typeof value === 'string') return 'a string'
  return typeof value === 'boolean' ? String(value) : `the number ${value}`
}

/** Decodes UTF-8 strictly. @throws FormatError on bad UTF-8, UTF-16, HTML and Git LFS pointers, by name */
export function decodeUtf8(bytes: Uint8Array, file: string, byteOrderMark = true, base = 0): string {
  if ((bytes[0] === 0xff && bytes[1] === 0xfe) || (bytes[0] === 0xfe && bytes[1] === 0xff))
    throw new FormatError('is UTF-16; save it as UTF-8.', { file, offset: base })
  let text: string
  try {
    text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
  } catch {
    throw new FormatError('is not valid UTF-8.', { file, offset: base })
  }
  if (text.startsWith(LFS_POINTER)) throw lfsPointer(text, file)
  if (byteOrderMark && text.startsWith('\ufeff')) return text.slice(1)
  return text
}

/** The error for a Git LFS pointer that stands where a file should. */
export function lfsPointer(text: string, file: string): FormatError {
  const size = /\bsize (\d{1,16})\b/.exec(text)?.[1]
  return new FormatError(`this is a Git LFS pointer${size === undefined ? '' : ` (real size ${size} bytes)`}, not the file itself. Run "git lfs pull".`, {
    file,
  })
}

const NUMBER = /-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?/y
const PLAIN_INTEGER = /^(?:0|[1-9]\d*)$/
const ESCAPES: ReadonlyMap<string, string> = new Map([
  ['"', '"'],
  ['\\', '\\'],
  ['/', '/'],
  ['b', '\b'],
  ['f', '\f'],
  ['n', '\n'],
  ['r', '\r'],
  ['t', '\t'],
])

class Parser {
  private at = 0
  private depth = 0
  /** Items of the arrays that are open, so that each array is made once, in its size: merges of a tokenizer are half a million small arrays. */
  private readonly items: Json[] = []
  private readonly text: string
  private readonly file: string
  private readonly base: number
  private readonly options: JsonOptions

  constructor(text: string, file: string, base: number, options: JsonOptions) {
    this.text = text
    this.file = file
    this.base = base
    this.options = options
  }

  document(): Json {
    this.space()
    if (this.at >= this.text.length) throw this.fault('is empty: JSON wanted')
    const value = this.value()
    this.space()
    if (this.at < this.text.length) throw this.fault('more text after the end of the JSON value')
    return value
  }

  private value(): Json {
    switch (this.text.charCodeAt(this.at)) {
      case 0x7b:
        return this.object()
      case 0x5b:
        return this.array()
      case 0x22:
        return this.string()
      case 0x74:
        return this.word('true', true)
      case 0x66:
        return this.word('false', false)
      case 0x6e:
        return this.word('null', null)
      case 0x49:
        if (this.options.infinity === true) return this.word('Infinity', Infinity)
        break
      case 0x3c:
        if (this.depth === 0) throw this.fault('is an HTML page, not JSON: a failed download?')
    }
    return this.number()
  }

  private object(): JsonObject {
    const entries = new Map<string, Json>()
    this.enter()
    if (this.taken(0x7d)) return this.left(entries)
    for (;;) {
      this.space()
      const start = this.at
      if (this.text.charCodeAt(start) !== 0x22) throw this.fault('a key in double quotes wanted')
      const key = this.string()
      if (!this.taken(0x3a)) throw this.fault('":" wanted after the key')
      this.space()
      const count = entries.size
      entries.set(key, this.value())
      // one look-up a key: large vocabularies are objects
      if (entries.size === count) throw this.fault(`the key ${quoted(key)} stands twice in one object`, start)
      if (this.taken(0x7d)) return this.left(entries)
      if (!this.taken(0x2c)) throw this.fault('"," or "}" wanted')
    }
  }

  private array(): readonly Json[] {
    this.enter()
    if (this.taken(0x5d)) return this.left([])
    const start = this.items.length
    for (;;) {
      this.space()
      this.items.push(this.value())
      if (this.taken(0x5d)) break
      if (!this.taken(0x2c)) throw this.fault('"," or "]" wanted')
    }
    const items = this.items.slice(start)
    this.items.length = start
    return this.left(items)
  }

  private string(): string {
    const start = this.at
    let done = ''
    let escaped = false
    let from = ++this.at
    for (; ; this.at++) {
      const code = this.text.charCodeAt(this.at)
      if (code === 0x22) break
      if (code === 0x5c) {
        done += this.text.slice(from, this.at) + this.escape()
        from = this.at + 1
        escaped = true
      } else if (code < 0x20) throw this.fault('a control character stands unescaped in a string')
      else if (Number.isNaN(code)) throw this.fault('the string does not end', start)
    }
    done += this.text.slice(from, this.at++)
    // decoded UTF-8 is well formed; only escapes can make half a pair
    if (escaped && !done.isWellFormed()) throw this.fault('the string holds half of a surrogate pair', start)
    return done
  }

  /** At a backslash: the character it stands for; leaves `at` on the escape's last character. */
  private escape(): string {
    const letter = this.text[++this.at] ?? ''
    const plain = ESCAPES.get(letter)
    if (plain !== undefined) return plain
    const hex = this.text.slice(this.at + 1, this.at + 5)
    if (letter !== 'u' || !/^[0-9a-fA-F]{4}$/.test(hex)) throw this.fault('unknown escape in a string')
    this.at += 4
    return String.fromCharCode(Number.parseInt(hex, 16))
  }

  private number(): number | bigint {
    const plain = this.plainInteger()
    if (plain !== undefined) return plain
    NUMBER.lastIndex = this.at
    const literal = NUMBER.exec(this.text)?.[0]
    if (literal === undefined) throw this.fault('a JSON value wanted')
    const start = this.at
    this.at += literal.length
    const value = Number(literal)
    if (this.options.plainIntegersOnly === true && !PLAIN_INTEGER.test(literal)) return Number.NaN
    if (!Number.isFinite(value)) throw this.fault(`the number ${literal.slice(0, 40)} is too large`, start)
    return Number.isSafeInteger(value) || /[.eE]/.test(literal) ? value : BigInt(literal)
  }

  /** A number of up to 15 plain digits, the usual kind; undefined, with nothing consumed, for all others. */
  private plainInteger(): number | undefined {
    let end = this.at
    let value = 0
    for (let code = this.text.charCodeAt(end); code >= 0x30 && code <= 0x39; code = this.text.charCodeAt(++end)) value = value * 10 + code - 0x30
    const digits = end - this.at
    const next = this.text.charCodeAt(end)
    const leadingZero = digits > 1 && this.text.charCodeAt(this.at) === 0x30
    if (digits === 0 || digits > 15 || leadingZero || next === 0x2e || next === 0x65 || next === 0x45) return undefined
    this.at = end
    return value
  }

  private word<T>(word: string, value: T): T {
    if (!this.text.startsWith(word, this.at)) throw this.fault('a JSON value wanted')
    this.at += word.length
    return value
  }

  private enter(): void {
    this.at++
    if (++this.depth > MAX_DEPTH) throw this.fault(`nested deeper than ${MAX_DEPTH} levels`)
  }

  private left<T>(value: T): T {
    this.depth--
    return value
  }

  /** Skips space; consumes `code` when it comes next. */
  private taken(code: number): boolean {
    this.space()
    if (this.text.charCodeAt(this.at) !== code) return false
    this.at++
    return true
  }

  private space(): void {
    for (;;) {
      const code = this.text.charCodeAt(this.at)
      if (code !== 0x20 && code !== 0x0a && code !== 0x0d && code !== 0x09) return
      this.at++
    }
  }

  private fault(what: string, at = this.at): FormatError {
    const found = at < this.text.length && !what.endsWith('?') ? `, found ${quoted(this.text.slice(at, at + 12))}` : ''
    return new FormatError(`${what}${found}${what.endsWith('?') ? '' : '.'}`, {
      file: this.file,
      offset: this.base + new TextEncoder().encode(this.text.slice(0, at)).length,
    })
  }
}
