/**
 * The ids that a tokenizer gives for the reference's check text, as `@huggingface/tokenizers` computes them.
 *
 * That library builds tables of the whole vocabulary, which takes seconds for half a million merges, so it gets only what
 * the text can need: in a first pass every character is a token, which tells what normalizer and pre-tokenizer make of the
 * text; in the second pass it has the tokens and merges that occur there. The ids are the same.
 */
import { isArray, isObject, textOr, type Json, type JsonObject } from '../core/json.js'
import { CHECK_TEXT } from './pre-tokenizer-hashes.js'
import { byteAlphabet } from './token-decoder.js'
import type { Vocabulary } from './tokenizer-json.js'

export interface CheckIds {
  readonly bare: number[]
  /** With what the post-processor adds. */
  readonly processed: number[]
}

/** Foreign code on untrusted data: whatever it throws means undefined, "cannot be told". The pipeline must be safe to run. */
export async function encodeCheckText(vocabulary: Vocabulary): Promise<CheckIds | undefined> {
  try {
    const { Tokenizer } = await import('@huggingface/tokenizers')
    const { json } = vocabulary
    const pipeline = {
      added_tokens: [...vocabulary.added].filter(([, token]) => matters(token.content, token.normalized, json)).map(([id, token]) => ({ id, ...token })),
      normalizer: plain(json.get('normalizer')),
      pre_tokenizer: plain(json.get('pre_tokenizer')),
      post_processor: plain(json.get('post_processor')),
      decoder: null,
    }
    const characters = Object.fromEntries([...characterSet(json)].map((char, id) => [char, id]))
    const spelt = new Tokenizer({ ...pipeline, post_processor: null, model: { type: 'BPE', vocab: characters, merges: [] } }, {})
    const occurs = occurrenceIn(spelt.tokenize(CHECK_TEXT).join(''))
    const tokenizer = new Tokenizer({ ...pipeline, model: modelOf(vocabulary, occurs) }, {})
    const bare = tokenizer.encode(CHECK_TEXT, { add_special_tokens: false }).ids
    const processed = tokenizer.encode(CHECK_TEXT).ids
    return [...bare, ...processed].every(Number.isInteger) ? { bare, processed } : undefined
  } catch {
    return undefined
  }
}

/** Added tokens that the text can hold, or that the post-processor adds. */
function matters(content: string, normalized: boolean, json: JsonObject): boolean {
  return normalized || CHECK_TEXT.includes(content) || namesOf(json.get('post_processor')).has(content)
}

/** Texts of the tokens that a post-processor names, wherever they stand in it. */
function namesOf(processor: Json | undefined): ReadonlySet<string> {
  const names = new Set<string>()
  const open: (Json | undefined)[] = [processor]
  for (let steps = 0; open.length > 0 && steps < MAX_STEPS; steps++) {
    const value = open.pop()
    if (typeof value === 'string') names.add(value)
    else if (isArray(value)) open.push(...value.slice(0, MAX_STEPS))
    else if (isObject(value)) open.push(...[...value.values()].slice(0, MAX_STEPS))
  }
  return names
}

const MAX_STEPS = 4096 // a template with a few special tokens has about 50 values

/** Every character that the pipeline can make of the text. */
function characterSet(json: JsonObject): ReadonlySet<string> {
  const forms = (['NFC', 'NFD', 'NFKC', 'NFKD'] as const).map((form) => CHECK_TEXT.normalize(form))
  const texts = [CHECK_TEXT, ...forms].flatMap((text) => [text, text.toLowerCase(), text.toUpperCase()])
  const written = [...namesOf(json.get('normalizer')), ...namesOf(json.get('pre_tokenizer'))]
  return new Set([...texts, ...written, ...byteAlphabet(), '\u2581'].flatMap((text) => Array.from(text)))
}

type Occurs = (left: string, right: string) => boolean

/**
 * Does a token, in two parts, occur in a text? Half a million are asked for, and nearly all fail at one of their first
 * pairs of characters: those are looked up in marks, where some that do not occur share a place with some that do.
 */
function occurrenceIn(text: string): Occurs {
  const marks = new Uint8Array(0x10000)
  const place = (before: number, code: number) => (before * 0x9e3b + code) & 0xffff
  for (let i = 1; i < text.length; i++) marks[place(text.charCodeAt(i - 1), text.charCodeAt(i))] = 1
  const allMarked = (part: string, start: number) => {
    let before = start
    for (let i = 0; i < part.length; i++) {
      const code = part.charCodeAt(i)
      if (before >= 0 && marks[place(before, code)] === 0) return false
      before = code
    }
    return true
  }
  return (left, right) => allMarked(left, -1) && allMarked(right, left === '' ? -1 : left.charCodeAt(left.length - 1)) && text.includes(left + right)
}

/** The model's settings, with the tokens and merges that occur; bytes and the unknown token stay. */
function modelOf(vocabulary: Vocabulary, occurs: Occurs): Record<string, unknown> {
  const model = vocabulary.json.get('model')
  const settings = isObject(model) ? [...model] : []
  const merges = isObject(model) ? model.get('merges') : undefined
  const prefix = isObject(model) ? textOr(model.get('continuing_subword_prefix'), '') : ''
  const unknown = isObject(model) ? model.get('unk_token') : undefined
  const kept: [string, number][] = []
  for (const [token, id] of vocabulary.base) {
    const text = prefix !== '' && token.startsWith(prefix) ? token.slice(prefix.length) : token
    if (occurs(text, '') || token === unknown || token.startsWith('<0x')) kept.push([token, id])
  }
  return {
    ...Object.fromEntries(settings.filter(([key]) => key !== 'vocab' && key !== 'merges').map(([key, value]) => [key, plain(value)])),
    vocab: Object.fromEntries(kept),
    ...(isArray(merges) ? { merges: merges.filter((merge) => mergeOccurs(merge, occurs)).map(plain) } : {}),
  }
}

function mergeOccurs(merge: Json, occurs: Occurs): boolean {
  if (isArray(merge)) return typeof merge[0] === 'string' && typeof merge[1] === 'string' && occurs(merge[0], merge[1])
  if (typeof merge !== 'string') return false
  const space = merge.indexOf(' ')
  return space >= 0 && occurs(merge.slice(0, space), merge.slice(space + 1))
}

/** Maps become objects, as JSON.parse gives them. Depth is bounded by the JSON reader. */
function plain(value: Json | undefined): unknown {
  if (isObject(value)) return Object.fromEntries([...value].map(([key, inner]) => [key, plain(inner)]))
  return isArray(value) ? value.map(plain) : (value ?? null)
}
