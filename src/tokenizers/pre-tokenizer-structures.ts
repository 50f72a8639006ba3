/**
 * Pre-tokenizers by structure: the regexes that a tokenizer.json splits text with, in order, and the name under which
 * llama.cpp does the same. For tokenizers whose hash nobody has listed: new vocabularies over a known pre-tokenizer.
 *
 * Law: llama.cpp 0c1e570 src/llama-vocab.cpp `llm_tokenizer_bpe` and the original regexes quoted there. Several names
 * share one list of regexes there; the name here is the one that switches nothing else on, and where a switch follows
 * from tokenizer.json (ignore_merges, a BOS token), the name that has the same switch.
 */
import { isArray, isObject, type Json, type JsonObject, textOr } from '../core/json.js'

/** What decides between names that share their regexes. */
export interface StructureFacts {
  readonly ignoreMerges: boolean
  readonly hasBos: boolean
}

interface Structure {
  readonly splits: readonly string[]
  readonly name: string | ((facts: StructureFacts) => string)
}

const CONTRACTIONS = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
const GPT2 = "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"
const SPACES = '\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+'
/** The cl100k family: how digits are grouped is what differs. */
const cl100k = (digits: string) => `${CONTRACTIONS}|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|${digits}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|${SPACES}`
/** cl100k with single digits: Qwen's, and that of others that keep a tiktoken file. */
export const CL100K_SINGLE_DIGITS = cl100k('\\p{N}')
const UPPER = '[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]'
const LOWER = '[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]'
/** The o200k family: words by case. */
const o200k = (suffix: string, digits: string) =>
  `[^\\r\\n\\p{L}\\p{N}]?${UPPER}*${LOWER}+${suffix}|[^\\r\\n\\p{L}\\p{N}]?${UPPER}+${LOWER}*${suffix}|${digits}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|${SPACES}`
const CJK = '[一-龥぀-ゟ゠-ヿ]+'
const MARKED = (newlines: string, spaces: string) =>
  `[!"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_\`{|}~][A-Za-z]+|[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+${newlines}|${spaces}`
const CJK_WIDE = '[一-龥ࠀ-一가-퟿]+'
/** Letters of scripts with case, as DeepSeek LLM lists them. */
const DEEPSEEK_LETTERS =
  'A-Za-zµÀ-ÖØ-öø-ƺƼ-ƿǄ-ʓʕ-ʯͰ-ͳͶͷͻ-ͽͿΆΈ-ΊΌΎ-ΡΣ-ϵϷ-ҁҊ-ԯԱ-ՖႠ-ჅᎠ-Ᏽᏸ-ᏽᲐ-ᲺᲽ-Ჿᴀ-ᴫᵫ-ᵷᵹ-ᶚḀ-ἕἘ-Ἕἠ-ὅὈ-Ὅὐ-ὗὙὛὝὟ-ώᾀ-ᾴᾶ-ᾼιῂ-ῄῆ' +
  '-ῌῐ-ΐῖ-Ίῠ-Ῥῲ-ῴῶ-ῼℂℇℊ-ℓℕℙ-ℝℤΩℨK-ℭℯ-ℴℹℼ-ℿⅅ-ⅉⅎↃↄⰀ-ⱻⱾ-ⳤⳫ-ⳮⳲⳳꙀ-ꙭꚀ-ꚛꜢ-ꝯꝱ-ꞇꞋ-ꞎꭰ-ꮿﬀ-ﬆﬓ-ﬗＡ-Ｚａ-ｚ𐐀-𐑏𐒰-𐓓𐓘-𐓻𐲀-𐲲𐳀-𐳲𑢠-𑣟𞤀-𞥃'
const DEEPSEEK_LLM = ['[\\r\\n]', `\\s?[${DEEPSEEK_LETTERS}]+`, '\\s?[!-/:-~！-／：-～‘-‟\u3000-。]+', '\\s+$', CJK_WIDE]

const STRUCTURES: readonly Structure[] = [
  { splits: [GPT2], name: 'gpt-2' },
  { splits: ['\\p{N}', GPT2], name: 'starcoder' },
  { splits: [cl100k('\\p{N}{1,3}')], name: ({ ignoreMerges, hasBos }) => (!ignoreMerges ? 'smaug-bpe' : hasBos ? 'llama-bpe' : 'glm4') },
  { splits: [cl100k('\\p{N}')], name: 'qwen2' },
  { splits: ['[^\\n]+|[\\n]+', cl100k('\\p{N}')], name: 'laguna' },
  { splits: ['\\p{N}{1,3}', cl100k('\\p{N}+')], name: 'minicpm5' },
  { splits: [`${CONTRACTIONS}|[^\\r\\n\\p{L}\\p{N}]?[\\p{L}\\p{M}]+|\\p{N}| ?[^\\s\\p{L}\\p{M}\\p{N}]+[\\r\\n]*|${SPACES}`], name: 'qwen35' },
  { splits: [`${CONTRACTIONS}|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}\\r\\n]+|${SPACES}`], name: 'seed-coder' },
  { splits: [`${CONTRACTIONS}|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]|\\s+(?!\\S)|\\s+`], name: 'bailingmoe' },
  { splits: [`[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|${SPACES}`], name: 'ufakzeka' },
  {
    splits: [
      `${CONTRACTIONS}|[^\\r\\n\\p{L}\\p{N}]?(?:\\p{L}\\p{M}*(?: \\p{L}\\p{M}*)*)+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]?|\\s*[\\r\\n]|\\s+(?!\\S)|\\s+`,
    ],
    name: 'exaone-moe',
  },
  { splits: [o200k(`${CONTRACTIONS}?`, '\\p{N}{1,3}')], name: 'gpt-4o' },
  { splits: ['\\d{1,3}(?=(?:\\d{3})*\\b)', o200k(`${CONTRACTIONS}?`, '\\p{N}{1,3}')], name: 'tiny_aya' },
  { splits: [o200k('', '\\p{N}')], name: 'tekken' },
  { splits: ['\\p{N}{1,3}', CJK, MARKED('[\\r\\n]*', SPACES)], name: 'deepseek-v3' },
  { splits: ['\\p{N}{1,3}', CJK, MARKED('', '[\\r\\n]|\\s+(?!\\S)|\\s+'), '\\p{N}'], name: 'spark2_5' },
  { splits: ['[\\r\\n]', '\\s?\\p{L}+', '\\s?\\p{P}+', CJK_WIDE, '\\p{N}'], name: 'deepseek-coder' },
  { splits: [...DEEPSEEK_LLM, '\\p{N}'], name: 'deepseek-llm' },
  { splits: [...DEEPSEEK_LLM, '\\p{N}+'], name: 'deepseek-llm' },
  { splits: ['Punctuation:Contiguous', GPT2, '\\p{N}+', '[0-9][0-9][0-9]'], name: 'falcon' },
  { splits: ['Punctuation:Contiguous', GPT2, '[0-9][0-9][0-9]'], name: 'falcon' },
  { splits: [' ?[^(\\s|[.,!?…。，、।۔،])]+'], name: 'bloom' },
  { splits: [' ?[^(\\s|[.,!?…。，、।۔،])]+', '\\p{N}'], name: 'viking' },
]

const NOT_HAN = '&&[^\\p{Han}]'
const KIMI_UPPER = `[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}${NOT_HAN}]`
const KIMI_LOWER = `[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}${NOT_HAN}]`
/** Kimi's: o200k with Han runs apart. */
export const KIMI_REGEX =
  `[\\p{Han}]+|[^\\r\\n\\p{L}\\p{N}]?${KIMI_UPPER}*${KIMI_LOWER}+${CONTRACTIONS}?|` +
  `[^\\r\\n\\p{L}\\p{N}]?${KIMI_UPPER}+${KIMI_LOWER}*${CONTRACTIONS}?|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|${SPACES}`

const KEY_SEPARATOR = '\u0000'
const BY_SPLITS: ReadonlyMap<string, Structure['name']> = new Map(STRUCTURES.map(({ splits, name }) => [splits.map(canonicalRegex).join(KEY_SEPARATOR), name]))
const KNOWN_REGEXES: ReadonlySet<string> = new Set(STRUCTURES.flatMap(({ splits }) => splits.map(canonicalRegex)))

/** True for a regex of the table, however it is spelled: safe to run, since it is ours. */
export function isKnownRegex(regex: string): boolean {
  return KNOWN_REGEXES.has(canonicalRegex(regex))
}

/** The name for the structure of a tokenizer.json, or undefined when it is in no table. */
export function nameByStructure(tokenizer: JsonObject, facts: StructureFacts): string | undefined {
  if (!isPlainNormalizer(tokenizer.get('normalizer'))) return undefined
  const splits = splitsOf(tokenizer.get('pre_tokenizer'))
  const name = splits === undefined ? undefined : BY_SPLITS.get(splits.join(KEY_SEPARATOR))
  return typeof name === 'function' ? name(facts) : name
}

/** Normalizers that change nothing that llama.cpp would have to do: Unicode forms (it has none), and flags that GGUF has keys for. */
const PLAIN_NORMALIZERS: ReadonlySet<unknown> = new Set(['NFC', 'NFKC', 'Lowercase', 'StripAccents'])

function isPlainNormalizer(normalizer: Json | undefined): boolean {
  if (normalizer === undefined || normalizer === null) return true
  if (!isObject(normalizer)) return false
  const inner = normalizer.get('normalizers')
  if (normalizer.get('type') !== 'Sequence' || !isArray(inner)) return PLAIN_NORMALIZERS.has(normalizer.get('type'))
  return inner.every((step) => isObject(step) && PLAIN_NORMALIZERS.has(step.get('type')))
}

/** The steps of a pre-tokenizer: it alone, or those of a flat sequence. */
export function stepsOf(preTokenizer: Json | undefined): readonly Json[] {
  if (!isObject(preTokenizer)) return []
  const steps = preTokenizer.get('pretokenizers')
  return preTokenizer.get('type') === 'Sequence' && isArray(steps) ? steps : [preTokenizer]
}

/** The canonical regexes of a byte-level pre-tokenizer; undefined when it is not byte-level or holds a step without one. */
function splitsOf(preTokenizer: Json | undefined): string[] | undefined {
  const splits: string[] = []
  let byteLevel = false
  for (const step of stepsOf(preTokenizer)) {
    const type = isObject(step) ? step.get('type') : undefined
    if (type === 'ByteLevel') byteLevel = true
    const regex = isObject(step) ? splitOf(step) : undefined
    if (regex === undefined) return undefined
    if (regex !== '') splits.push(canonicalRegex(regex))
  }
  return byteLevel ? splits : undefined
}

/** The regex of one step; empty when it does not split. */
function splitOf(step: JsonObject): string | undefined {
  switch (step.get('type')) {
    case 'ByteLevel':
      return step.get('use_regex') === false ? '' : GPT2
    case 'Digits':
      return step.get('individual_digits') === true ? '\\p{N}' : '\\p{N}+'
    case 'Punctuation':
      return `Punctuation:${textOr(step.get('behavior'), 'Isolated')}`
    case 'Split': {
      const pattern = step.get('pattern')
      const regex = isObject(pattern) ? pattern.get('Regex') : undefined
      // matches are the pieces: either what matches is isolated, or what does not match is removed
      const isolates = step.get('behavior') === 'Isolated' || (step.get('behavior') === 'Removed' && step.get('invert') === true)
      return typeof regex === 'string' && isolates ? regex : undefined
    }
    default:
      return undefined
  }
}

/** One spelling for regexes that differ in notation only: escapes, possessive quantifiers, case-insensitive contractions. */
function canonicalRegex(regex: string): string {
  return regex
    .replaceAll('\r', '\\r')
    .replaceAll('\n', '\\n')
    .replaceAll("(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])", CONTRACTIONS)
    .replaceAll("'(?i:[sdmt]|ll|ve|re)", CONTRACTIONS)
    .replace(/([\])}])([?*+])\+/g, '$1$2')
    .replaceAll('{1}', '')
    .replace(/\|\\s\+$/, '')
}
