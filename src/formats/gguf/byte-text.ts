/**
 * Text that keeps its bytes. GGUF strings are UTF-8 by law, but real vocabularies hold byte tokens that are not: each
 * byte 0x80..0xff that is no part of valid UTF-8 becomes the lone surrogate U+DC80..U+DCFF, which valid UTF-8 never
 * gives, and back. So encode(decode(bytes)) = bytes for all bytes.
 *
 * Law: Python's `surrogateescape`, PEP 383.
 */
import { quoted } from '../../core/errors.js'

const STRICT = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })
const SHOWN_CHARACTERS = 40 // of a name in a message
const SHORT_BYTES = 24 // up to here, fromCharCode is faster than a TextDecoder call

/** Decodes valid UTF-8; undefined when it is not. */
export function decodeStrict(bytes: Uint8Array): string | undefined {
  if (bytes.length <= SHORT_BYTES && isAscii(bytes)) return String.fromCharCode.apply(null, bytes as unknown as number[])
  try {
    return STRICT.decode(bytes)
  } catch {
    return undefined
  }
}

/** Decodes any bytes; what is not UTF-8 comes out as lone surrogates U+DC80..U+DCFF. */
export function decodeKeepingBytes(bytes: Uint8Array): string {
  return decodeStrict(bytes) ?? decodeEscaped(bytes)
}

/** Bytes that `writeText` writes, or undefined when the text holds half of a surrogate pair that stands for no byte. */
export function textBytes(text: string): number | undefined {
  let bytes = text.length
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i)
    if (code < 0x80) continue
    if (code < 0x800) bytes += 1
    else if (code < 0xd800 || code > 0xdfff) bytes += 2
    else if (code < 0xdc00 && isLow(text.charCodeAt(i + 1))) {
      bytes += 2 // two units, four bytes
      i++
    } else if (code < 0xdc80 || code > 0xdcff) return undefined
  }
  return bytes
}

/** Writes a text that `textBytes` accepts; returns the position after it. */
export function writeText(text: string, into: Uint8Array, at: number): number {
  let to = at
  for (let i = 0; i < text.length; i++) {
    let code = text.charCodeAt(i)
    if (code < 0x80) into[to++] = code
    else if (code < 0x800) {
      into[to++] = 0xc0 | (code >> 6)
      into[to++] = 0x80 | (code & 0x3f)
    } else if (code >= 0xd800 && code < 0xdc00) {
      code = 0x10000 + ((code - 0xd800) << 10) + (text.charCodeAt(++i) - 0xdc00)
      into[to++] = 0xf0 | (code >> 18)
      into[to++] = 0x80 | ((code >> 12) & 0x3f)
      into[to++] = 0x80 | ((code >> 6) & 0x3f)
      into[to++] = 0x80 | (code & 0x3f)
    } else if (isLow(code)) into[to++] = code - 0xdc00
    else {
      into[to++] = 0xe0 | (code >> 12)
      into[to++] = 0x80 | ((code >> 6) & 0x3f)
      into[to++] = 0x80 | (code & 0x3f)
    }
  }
  return to
}

/** A key or name for a message. Shorter than `quoted` alone: each character may become six when it is escaped. */
export function shown(text: string): string {
  return quoted(text.length <= SHOWN_CHARACTERS ? text : `${text.slice(0, SHOWN_CHARACTERS)}...`)
}

function isAscii(bytes: Uint8Array): boolean {
  for (let i = 0; i < bytes.length; i++) if ((bytes[i] ?? 0) > 0x7f) return false
  return true
}

function isLow(code: number): boolean {
  return code >= 0xdc00 && code <= 0xdfff
}

function decodeEscaped(bytes: Uint8Array): string {
  const parts: string[] = []
  let from = 0
  for (let at = 0; at < bytes.length;) {
    const length = sequenceLength(bytes, at)
    if (length === 0) {
      parts.push(STRICT.decode(bytes.subarray(from, at)), String.fromCharCode(0xdc00 + (bytes[at] ?? 0)))
      from = ++at
    } else at += length
  }
  parts.push(STRICT.decode(bytes.subarray(from)))
  return parts.join('')
}

/** Length of the well-formed sequence at `at`, or 0. Table 3-7 of the Unicode standard. */
function sequenceLength(bytes: Uint8Array, at: number): number {
  const first = bytes[at] ?? 0
  if (first < 0x80) return 1
  const length = first >= 0xc2 && first <= 0xdf ? 2 : first >= 0xe0 && first <= 0xef ? 3 : first >= 0xf0 && first <= 0xf4 ? 4 : 0
  const second = bytes[at + 1] ?? 0
  const least = first === 0xe0 ? 0xa0 : first === 0xf0 ? 0x90 : 0x80
  const most = first === 0xed ? 0x9f : first === 0xf4 ? 0x8f : 0xbf
  if (length === 0 || second < least || second > most) return 0
  for (let i = 2; i < length; i++) if (((bytes[at + i] ?? 0) & 0xc0) !== 0x80) return 0
  return length
}
