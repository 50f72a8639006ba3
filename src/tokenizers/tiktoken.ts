/**
 * tiktoken files: a token's bytes in base64 and its rank on each line, and no merges. Gives the tokenizer.json that stands
 * for one: tokens in GPT-2's byte alphabet, merges rebuilt, the family's regex and special tokens.
 *
 * A merge is rebuilt by encoding the token's bytes with all lower ranks only: what is left are the two halves that were
 * merged last.
 *
 * Law: openai/tiktoken load.py (the file); llama.cpp conversion/qwen.py `QwenModel.bpe` and `token_bytes_to_string`.
 */
import { FormatError, quoted } from '../core/errors.js'
import type { Json, JsonObject } from '../core/json.js'
import { byteAlphabet } from './token-decoder.js'

/** A token as bytes, one character of U+0000 to U+00FF each -> rank, in file order. */
export type Ranks = ReadonlyMap<string, number>

const MAX_TOKEN_BYTES = 65536 // longest seen: 128 spaces; what is longer is no token

/** Reads "base64 rank" lines. @throws FormatError */
export function readRanks(text: string, file: string): Ranks {
  const ranks = new Map<string, number>()
  for (const [index, line] of text.split('\n').entries()) {
    if (line.trim() === '') continue
    const [token, rank, ...rest] = line.trim().split(/\s+/)
    if (token === undefined || rank === undefined || rest.length > 0 || !/^\d{1,9}$/.test(rank))
      throw new FormatError(`line ${index + 1} is ${quoted(line.slice(0, 40))}; a token in base64 and its rank wanted.`, { file })
    const bytes = decodeBase64(token, `line ${index + 1}`, file)
    if (ranks.has(bytes)) throw new FormatError(`line ${index + 1}: the token ${quoted(token)} stands twice.`, { file })
    ranks.set(bytes, Number(rank))
  }
  if (ranks.size === 0) throw new FormatError('holds no tokens.', { file })
  return ranks
}

/** @returns one character per byte @throws FormatError */
export function decodeBase64(text: string, what: string, file: string): string {
  if (text.length === 0 || text.length > MAX_TOKEN_BYTES || !/^[A-Za-z0-9+/]+={0,2}$/.test(text) || text.length % 4 !== 0)
    throw new FormatError(`${what}: ${quoted(text.slice(0, 40))} is not base64.`, { file })
  return atob(text)
}

const ALPHABET = byteAlphabet()

/** Bytes, one character each, in GPT-2's byte alphabet. */
export function inByteAlphabet(bytes: string): string {
  let text = ''
  for (let i = 0; i < bytes.length; i++) text += ALPHABET[bytes.charCodeAt(i)] ?? ''
  return text
}

/**
 * The merge that made each token of two or more bytes, in file order, "left right" in the byte alphabet. Tokens that no
 * single merge makes are skipped: the runtime can only find them whole.
 */
export function rebuildMerges(ranks: Ranks): string[] {
  const merges: string[] = []
  for (const [token, rank] of ranks) {
    if (token.length < 2) continue
    const split = lastSplit(ranks, token, rank)
    if (split !== undefined) merges.push(`${inByteAlphabet(token.slice(0, split))} ${inByteAlphabet(token.slice(split))}`)
  }
  return merges
}

/** Where a token falls in two when it is encoded with ranks below its own; undefined when more than two parts are left. */
function lastSplit(ranks: Ranks, token: string, maxRank: number): number | undefined {
  if (token.length === 2) return 1
  const starts = Array.from({ length: token.length + 1 }, (_, at) => at)
  const rankAt = (part: number) => ranks.get(token.slice(starts[part], starts[part + 2])) ?? Infinity
  // pairs[i]: rank of parts i and i + 1 together
  const pairs = Array.from({ length: token.length - 1 }, (_, part) => rankAt(part))
  for (;;) {
    let best = 0
    for (let i = 1; i < pairs.length; i++) if ((pairs[i] ?? Infinity) < (pairs[best] ?? Infinity)) best = i
    if (pairs.length === 0 || (pairs[best] ?? Infinity) >= maxRank) break
    starts.splice(best + 1, 1)
    pairs.splice(best, 1)
    if (best < pairs.length) pairs[best] = rankAt(best)
    if (best > 0) pairs[best - 1] = rankAt(best - 1)
  }
  return starts.length === 3 ? starts[1] : undefined
}

const object = (entries: Record<string, Json>): JsonObject => new Map(Object.entries(entries))

/** The tokenizer.json that stands for a tiktoken file. @param specials in order of their ids, which follow the ranks */
export function tiktokenJson(ranks: Ranks, merges: readonly string[], specials: readonly string[], regex: string): JsonObject {
  return object({
    added_tokens: specials.map((content, i) => object({ id: ranks.size + i, content, special: true, normalized: false })),
    normalizer: null,
    pre_tokenizer: object({
      type: 'Sequence',
      pretokenizers: [
        object({ type: 'Split', pattern: object({ Regex: regex }), behavior: 'Isolated', invert: false }),
        object({ type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: false }),
      ],
    }),
    post_processor: null,
    decoder: object({ type: 'ByteLevel' }),
    model: object({ type: 'BPE', vocab: new Map([...ranks].map(([token, rank]) => [inByteAlphabet(token), rank])), merges }),
  })
}
