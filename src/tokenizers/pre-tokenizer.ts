/**
 * Recognises the pre-tokenizer of a byte-level BPE tokenizer: the value of tokenizer.ggml.pre.
 *
 *   --pre ──► that name
 *   else: ids of the check text ──► sha256 ──► table of the reference
 *   else: regexes of tokenizer.json ──► table of structures
 *   else: UnsupportedError that offers --pre
 *
 * Law: llama.cpp conversion/base.py `get_vocab_base_pre`. It hashes what AutoTokenizer gives, which depends on its
 * version and on the tokenizer's class: here the ids are hashed as tokenizer.json's post-processor leaves them, with BOS
 * in front, and bare, in the order that the config speaks for. So DeepSeek V3 (LlamaTokenizerFast, add_bos_token) is
 * deepseek-v3 and not joyai-llm, and Llama 3 is llama-bpe.
 */
import { UnsupportedError, UsageError, quoted } from '../core/errors.js'
import { isArray, isObject, type Json, type JsonObject } from '../core/json.js'
import { patternCost } from './pattern-cost.js'
import { encodeCheckText } from './check-text.js'
import { PRE_TOKENIZER_HASHES } from './pre-tokenizer-hashes.js'
import { PRE_TOKENIZERS } from './pre-tokenizer-names.js'
import { isKnownRegex, nameByStructure, stepsOf } from './pre-tokenizer-structures.js'
import type { Vocabulary } from './tokenizer-json.js'

export interface RecognisedPreTokenizer {
  readonly name: string
  /** How it was recognised, for the user. */
  readonly note: string
}

/** @throws UsageError for a name that llama.cpp does not know */
export function checkPreTokenizerName(name: string): void {
  if (!PRE_TOKENIZERS.includes(name)) throw new UsageError(`--pre ${quoted(name)} is not known. Known: ${PRE_TOKENIZERS.join(', ')}.`)
}

/**
 * @param tokenizerConfig  tokenizer_config.json
 * @param bos              id of the BOS token, where there is one
 * @param given            the user's --pre
 * @param otherwise        the family's, where its hash is in no table
 * @throws UsageError, UnsupportedError
 */
export async function recognisePreTokenizer(
  vocabulary: Vocabulary,
  tokenizerConfig: JsonObject | undefined,
  bos: number | undefined,
  given?: string,
  otherwise?: string,
): Promise<RecognisedPreTokenizer> {
  if (given !== undefined) {
    checkPreTokenizerName(given)
    return { name: given, note: `pre-tokenizer ${given}: as given by --pre` }
  }
  const known = await nameByHash(vocabulary, tokenizerConfig, bos)
  if (known !== undefined) return { name: known, note: `pre-tokenizer ${known}: recognised by the reference's hash` }
  if (otherwise !== undefined) return { name: otherwise, note: `pre-tokenizer ${otherwise}: its hash is in no table; that of this family of models` }
  const ignoreMerges = objectIn(vocabulary.json, 'model')?.get('ignore_merges') === true
  const name = nameByStructure(vocabulary.json, { ignoreMerges, hasBos: bos !== undefined })
  if (name !== undefined) return { name, note: `pre-tokenizer ${name}: its hash is in no table; recognised by its normalizer and pre_tokenizer` }
  throw new UnsupportedError(
    `the BPE pre-tokenizer was not recognised, neither by hash nor by structure. If you know which one it is, give it with --pre NAME, one of: ${PRE_TOKENIZERS.join(', ')}.`,
    {
      file: vocabulary.file,
    },
  )
}

/** The name that the reference knows a tokenizer by; undefined when its hash is in no table. Arguments as above. */
export async function nameByHash(vocabulary: Vocabulary, tokenizerConfig: JsonObject | undefined, bos: number | undefined): Promise<string | undefined> {
  for (const ids of await checkIds(vocabulary, tokenizerConfig, bos)) {
    const name = PRE_TOKENIZER_HASHES.get(await idsHash(ids))
    if (name !== undefined) return name
  }
  return undefined
}

/** sha256 of ids written as Python prints a list. */
export async function idsHash(ids: readonly number[]): Promise<string> {
  const digest = await crypto.subtle.digest('SHA-256', new TextEncoder().encode(`[${ids.join(', ')}]`))
  return Array.from(new Uint8Array(digest), (byte) => byte.toString(16).padStart(2, '0')).join('')
}

/** The id lists to hash, best first; none when the tokenizer cannot or may not be run. */
async function checkIds(vocabulary: Vocabulary, tokenizerConfig: JsonObject | undefined, bos: number | undefined): Promise<number[][]> {
  if (!['BPE', 'WordPiece'].includes(vocabulary.modelType) || !isSafeToRun(vocabulary.json)) return []
  const encoded = await encodeCheckText(vocabulary)
  if (encoded === undefined) return []
  const { bare, processed } = encoded
  if (bos === undefined) return [processed, bare]
  const withBos = [bos, ...bare]
  return addsBosByClass(tokenizerConfig) ? [withBos, processed, bare] : [processed, withBos, bare]
}

/** LlamaTokenizerFast of transformers 4 sets its own post-processor, which adds BOS unless the config says no. */
function addsBosByClass(config: JsonObject | undefined): boolean {
  const name = config?.get('tokenizer_class')
  return (name === 'LlamaTokenizerFast' || name === 'LlamaTokenizer') && config?.get('add_bos_token') !== false
}

const MAX_STEPS = 16
/** Limit for the sum of patternCost over all steps: a few 10^8 steps of backtracking, seconds. o200k's own costs 5.7 million. */
export const MAX_COST = 420 * 420 * 40
const SAFE_STEPS: ReadonlySet<unknown> = new Set(['ByteLevel', 'Digits', 'Punctuation', 'Whitespace', 'WhitespaceSplit', 'Metaspace', 'BertPreTokenizer'])
const SAFE_NORMALIZERS: ReadonlySet<unknown> = new Set(['NFC', 'NFD', 'NFKC', 'NFKD', 'Lowercase', 'StripAccents', 'BertNormalizer'])

/** True when the pipeline holds only steps known here, with regexes that cannot hang and normalizers that cannot blow the text up. */
function isSafeToRun(json: JsonObject): boolean {
  const steps = stepsOf(json.get('pre_tokenizer'))
  const normalizers = normalizersOf(json.get('normalizer'))
  if (steps.length > MAX_STEPS || normalizers.length > MAX_STEPS || !normalizers.every(isSafeNormalizer)) return false
  return steps.reduce((cost: number, step) => cost + stepCost(step), 0) <= MAX_COST
}

function stepCost(step: Json): number {
  if (!isObject(step)) return Infinity
  if (step.get('type') !== 'Split') return SAFE_STEPS.has(step.get('type')) ? 1 : Infinity
  const pattern = step.get('pattern')
  const regex = isObject(pattern) ? pattern.get('Regex') : undefined
  if (regex === undefined) return isObject(pattern) && typeof pattern.get('String') === 'string' ? 1 : Infinity
  if (typeof regex !== 'string') return Infinity
  return isKnownRegex(regex) ? 1 : patternCost(regex)
}

function normalizersOf(normalizer: Json | undefined): readonly Json[] {
  if (!isObject(normalizer)) return []
  const inner = normalizer.get('normalizers')
  return normalizer.get('type') === 'Sequence' && isArray(inner) ? inner : [normalizer]
}

function isSafeNormalizer(normalizer: Json): boolean {
  if (!isObject(normalizer)) return false
  if (SAFE_NORMALIZERS.has(normalizer.get('type'))) return true
  if (normalizer.get('type') === 'Prepend') return isShort(normalizer.get('prepend'), 4)
  const pattern = normalizer.get('pattern')
  const text = isObject(pattern) ? pattern.get('String') : undefined
  return normalizer.get('type') === 'Replace' && typeof text === 'string' && isShort(normalizer.get('content'), text.length)
}

function isShort(value: Json | undefined, most: number): boolean {
  return typeof value === 'string' && value.length <= most
}

function objectIn(object: JsonObject, key: string): JsonObject | undefined {
  const value = object.get(key)
  return isObject(value) ? value : undefined
}
