/**
 * What a single added token reads as in decoded text: the reference writes added tokens that are not normalized as
 * decode(encode(token)). Encoding such a token gives its own id and nothing else (the longest match at the start wins),
 * so what remains is the decoder, run on one token.
 *
 * For a byte-level decoder that means: a token written wholly in the byte alphabet becomes those bytes ("Ġx" is " x"; a
 * lone "é" is the byte E9, which is no UTF-8 and reads U+FFFD); any other token stays as it is.
 *
 * Law: conversion/base.py `get_vocab_base`; huggingface/tokenizers src/decoders/*.rs and pre_tokenizers/byte_level.rs.
 */
import { UnsupportedError, printable } from '../core/errors.js'
import { isArray, isObject, type Json, textOr } from '../core/json.js'

type Decode = (token: string) => string

const MAX_DECODERS = 32

/** @param decoder `decoder` of a tokenizer.json @throws UnsupportedError naming a decoder that is not known here */
export function tokenDecoder(decoder: Json | undefined, file: string): Decode {
  const inner = isObject(decoder) ? decoder.get('decoders') : undefined
  const steps = isObject(decoder) && decoder.get('type') === 'Sequence' && isArray(inner) ? inner : decoder === undefined || decoder === null ? [] : [decoder]
  if (steps.length > MAX_DECODERS) throw new UnsupportedError(`the decoder has ${steps.length} steps; up to ${MAX_DECODERS} are supported.`, { file })
  const decodes = steps.map((step) => decodeStep(step, file))
  return (token) => decodes.reduce((text, decode) => decode(text), token)
}

function decodeStep(step: Json, file: string): Decode {
  const type = isObject(step) ? step.get('type') : undefined
  if (isObject(step)) {
    if (type === 'ByteLevel') return decodeByteLevel
    if (type === 'ByteFallback') return decodeByteFallback
    if (type === 'Fuse') return (token) => token
    if (type === 'Replace') return replace(step.get('pattern'), textOr(step.get('content'), ''), file)
    if (type === 'Strip') return strip(textOr(step.get('content'), ' '), Number(step.get('start') ?? 0), Number(step.get('stop') ?? 0))
    if (type === 'WordPiece') return wordPiece(step.get('cleanup') !== false)
    if (type === 'Metaspace')
      return metaspace(textOr(step.get('replacement'), '\u2581'), step.get('prepend_scheme') !== 'never' && step.get('add_prefix_space') !== false)
  }
  throw new UnsupportedError(`the decoder ${printable(textOr(type, ''))} is not supported.`, { file })
}

const BYTE_OF: ReadonlyMap<string, number> = new Map(byteAlphabet().map((char, byte) => [char, byte]))

/** GPT-2's alphabet: index = byte, value = the character that stands for it. Printable Latin-1 stands for itself, the rest from U+0100 on. */
export function byteAlphabet(): string[] {
  let next = 0x100
  return Array.from({ length: 256 }, (_, byte) => {
    const printable = (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae
    return String.fromCharCode(printable ? byte : next++)
  })
}

function decodeByteLevel(token: string): string {
  const bytes: number[] = []
  for (const char of token) {
    const byte = BYTE_OF.get(char)
    if (byte === undefined) return token
    bytes.push(byte)
  }
  return new TextDecoder('utf-8', { ignoreBOM: true }).decode(Uint8Array.from(bytes))
}

/** `<0x41>` is the byte 41; alone, a byte from 80 on is no UTF-8. */
function decodeByteFallback(token: string): string {
  const hex = /^<0x([0-9A-Fa-f]{2})>$/.exec(token)?.[1]
  if (hex === undefined) return token
  const byte = Number.parseInt(hex, 16)
  return byte < 0x80 ? String.fromCharCode(byte) : '\ufffd'
}

function replace(pattern: Json | undefined, content: string, file: string): Decode {
  const text = isObject(pattern) ? pattern.get('String') : undefined
  if (typeof text !== 'string' || text === '')
    throw new UnsupportedError('a decoder of type Replace has a pattern that is no plain text; that is not supported.', { file })
  return (token) => token.replaceAll(text, () => content)
}

/** Takes up to `start` times `content` from the front and up to `stop` times from the end. */
function strip(content: string, start: number, stop: number): Decode {
  return (token) => {
    let text = token
    for (let i = 0; i < Math.min(start, token.length) && content !== '' && text.startsWith(content); i++) text = text.slice(content.length)
    for (let i = 0; i < Math.min(stop, token.length) && content !== '' && text.endsWith(content); i++) text = text.slice(0, -content.length)
    return text
  }
}

/** What the cleanup of an English text takes away before punctuation and contractions. */
const LOOSE: readonly (readonly [string, string])[] = [' .', ' ?', ' !', ' ,', " ' ", " n't", " 'm", ' do not', " 's", " 've", " 're"].map((text) => [
  text,
  text === " ' " ? "'" : text === ' do not' ? " don't" : text.slice(1),
])

/** WordPiece: a token that begins a text stays as it is, but for the cleanup. */
function wordPiece(cleanup: boolean): Decode {
  return (token) => (cleanup ? LOOSE.reduce((text, [loose, tight]) => text.replaceAll(loose, tight), token) : token)
}

function metaspace(replacement: string, dropsFirst: boolean): Decode {
  return (token) => (dropsFirst && token.startsWith(replacement) ? token.slice(replacement.length) : token).replaceAll(replacement, ' ')
}
