/**
 * Families whose tokenizer is a tiktoken file: Qwen 1, StableLM 2, Hunyuan, Kimi. What their Python classes know besides
 * the file (the regex, the special tokens) stands here.
 *
 * Law: llama.cpp conversion/base.py `_set_vocab_qwen`, hunyuan.py, deepseek.py, kimi_linear.py, kimi_k3.py; the special
 * tokens of tokenization_qwen.py, tokenization_arcade100k.py, tokenization_hy.py and tokenization_kimi.py beside the models.
 */
import { FormatError, quoted } from '../core/errors.js'
import { isArray, type JsonObject } from '../core/json.js'
import { byteLevel, byteLevelBy, finishByteLevel } from './byte-level-steps.js'
import { noTokenizer, setSpecialId, type Draft, type Step } from './draft.js'
import { entriesOfDecoder } from './added-tokens.js'
import { CL100K_SINGLE_DIGITS, KIMI_REGEX } from './pre-tokenizer-structures.js'
import { readRanks, rebuildMerges, tiktokenJson, type Ranks } from './tiktoken.js'
import { setting } from './tokenizer-files.js'
import { contentOf } from './token-configs.js'
import { vocabularyOf, type Vocabulary } from './tokenizer-json.js'

/** A family that keeps a tiktoken file. */
interface TiktokenFamily {
  readonly files: readonly string[]
  readonly regex: string
  /** Special tokens, whose ids follow the ranks. @param count  how many tokens have ranks */
  readonly specials: (draft: Draft, count: number) => Promise<readonly string[]> | readonly string[]
  /** Pre-tokenizer of the family, where the hash is in no table. */
  readonly pre?: string
}

const numbered = (count: number, name: (index: number) => string) => Array.from({ length: Math.max(0, count) }, (_, i) => name(i))
const extra = (index: number) => `<|extra_${index}|>`

const QWEN: TiktokenFamily = {
  files: ['qwen.tiktoken'],
  regex: CL100K_SINGLE_DIGITS,
  specials: () => ['<|endoftext|>', '<|im_start|>', '<|im_end|>', ...numbered(205, extra)],
}

const STARCODER_MARKS = 'gh_stars filename issue_start issue_comment issue_closed jupyter_start jupyter_text jupyter_code jupyter_output empty_output'
const ARCADE: TiktokenFamily = {
  files: ['arcade100k.tiktoken'],
  regex: CL100K_SINGLE_DIGITS,
  specials: () => [
    ...['endoftext', 'fim_prefix', 'fim_middle', 'fim_suffix', 'fim_pad'].map((name) => `<|${name}|>`),
    ...`${STARCODER_MARKS} commit_before commit_msg commit_after reponame`.split(' ').map((name) => `<${name}>`),
    ...['endofprompt', 'im_start', 'im_end', 'pause'].map((name) => `<|${name}|>`),
    ...numbered(8, (index) => `<|reg${index}|>`),
    '<|extra0|>',
  ],
}

const HUNYUAN_SPECIALS = ['<|endoftext|>', '<|startoftext|>', '<|bos|>', '<|eos|>', '<|pad|>']
const hunyuanFamily = (pre: string): TiktokenFamily => ({
  files: ['hy.tiktoken'],
  regex: CL100K_SINGLE_DIGITS,
  // as many as the vocabulary has room for
  specials: ({ vocabSize }, count) => [...HUNYUAN_SPECIALS, ...numbered(vocabSize === 0 ? 205 : vocabSize - count - HUNYUAN_SPECIALS.length, extra)],
  pre,
})

const KIMI_RESERVED = 258
const KIMI: TiktokenFamily = {
  files: ['tiktoken.model'],
  regex: KIMI_REGEX,
  async specials(draft, count) {
    const names = new Map((await entriesOfDecoder(draft.files)).map(({ id, content }) => [id, content]))
    const room = draft.vocabSize === 0 ? KIMI_RESERVED : Math.min(KIMI_RESERVED, draft.vocabSize - count)
    return numbered(room, (index) => names.get(count + index) ?? `<|reserved_token_${count + index}|>`)
  },
  pre: 'kimi-k2',
}

interface Tiktoken {
  readonly vocabulary: Vocabulary
  readonly merges: readonly string[]
}

async function readTiktoken(draft: Draft, family: TiktokenFamily): Promise<Tiktoken | undefined> {
  const file = family.files.find((name) => draft.files.has(name))
  if (file === undefined) return undefined
  const ranks: Ranks = readRanks((await draft.files.text(file)) ?? '', file)
  const merges = rebuildMerges(ranks)
  const specials = [...new Set(await family.specials(draft, ranks.size))]
  return { vocabulary: await vocabularyOf(tiktokenJson(ranks, merges, specials, family.regex), file), merges }
}

/** A family's tiktoken file; passes when there is none. @param more  what SpecialVocab lacks then */
function tiktokenOf(
  family: TiktokenFamily,
  fallbackIds: (vocabulary: Vocabulary, config: JsonObject) => readonly (readonly [string, number])[] = () => [],
): Step {
  return async (draft) => {
    const tiktoken = await readTiktoken(draft, family)
    if (tiktoken === undefined) return false
    const { vocabulary, merges } = tiktoken
    draft.notes.push(`${vocabulary.file}: ${merges.length} merges were rebuilt from the ranks of ${vocabulary.base.size} tokens`)
    const options = { fallbackIds: fallbackIds(vocabulary, draft.config), ...(family.pre === undefined ? {} : { preOtherwise: family.pre }) }
    await finishByteLevel(draft, vocabulary, options, { loadMerges: false, merges })
    return true
  }
}

/** Qwen 1: <|endoftext|> is bos and eos where config.json names no special token at all, and unk in any case. */
function endOfTextIds(vocabulary: Vocabulary, config: JsonObject): readonly (readonly [string, number])[] {
  const end = idOfSpecial(vocabulary, '<|endoftext|>')
  const silent = ['bos', 'eos', 'unk', 'sep', 'pad', 'cls', 'mask'].every((kind) => typeof config.get(`${kind}_token_id`) !== 'number')
  return silent
    ? [
        ['bos', end],
        ['eos', end],
        ['unk', end],
      ]
    : [['unk', end]]
}

function idOfSpecial(vocabulary: Vocabulary, token: string): number {
  for (const [id, { content }] of vocabulary.added) if (content === token) return id
  throw new FormatError(`has no special token ${quoted(token)}.`, { file: vocabulary.file })
}

async function missing(draft: Draft): Promise<boolean> {
  throw noTokenizer(draft, 'a .tiktoken file, or tokenizer.json')
}

export const qwen = [tiktokenOf(QWEN, endOfTextIds), byteLevelOrNone]
export const arcade = tiktokenOf(ARCADE, endOfTextIds)
const kimi = tiktokenOf(KIMI)

async function byteLevelOrNone(draft: Draft): Promise<boolean> {
  return draft.files.has('tokenizer.json') || draft.files.has('vocab.json') ? byteLevel(draft) : missing(draft)
}

/** DeepSeek's classes also convert Kimi, which has no tokenizer.json. */
export async function deepseek2(draft: Draft): Promise<boolean> {
  return draft.files.has('tokenizer.json') || !(await kimi(draft)) ? byteLevel(draft) : true
}

/** Kimi Linear: eos is the tokenizer's, whatever config.json says. */
export async function kimiLinear(draft: Draft): Promise<boolean> {
  if (draft.files.has('tokenizer.json') || !(await kimi(draft))) return byteLevel(draft)
  const eos = contentOf((await draft.files.json('tokenizer_config.json'))?.get('eos_token')) ?? '[EOS]'
  const id = draft.table?.tokens.indexOf(eos) ?? -1
  if (id < 0) throw new FormatError(`the eos token ${quoted(eos)} is no token of the vocabulary.`, { file: 'tokenizer_config.json' })
  setSpecialId(draft, 'eos', id)
  return true
}

/** Kimi K3: eos ends a turn, as config.json says. */
export async function kimiK3(draft: Draft): Promise<boolean> {
  await kimiLinear(draft)
  const eos = setting(draft.config, 'eos_token_id')
  if (typeof eos === 'number') setSpecialId(draft, 'eos', eos)
  if (!draft.keyValues.has('tokenizer.chat_template'))
    draft.notes.push('the model has no chat template; the reference converter writes one of its own here, which is not part of this tool')
  return true
}

const HUNYUAN_BOS = 127959
const HUNYUAN_7B_BOS = 127958

export async function hunyuanMoe(draft: Draft): Promise<boolean> {
  if (!(await tiktokenOf(hunyuanFamily('hunyuan'))(draft))) return byteLevelOrNone(draft)
  setSpecialId(draft, 'bos', HUNYUAN_BOS)
  return true
}

export async function hunyuan(draft: Draft): Promise<boolean> {
  const { files, config } = draft
  if (files.has('tokenizer.json')) await hunyuanJson(draft)
  else if (!(await tiktokenOf(hunyuanFamily('hunyuan-dense'))(draft))) return missing(draft)
  else if (setting(config, 'hidden_size') === 4096) setSpecialId(draft, 'bos', HUNYUAN_7B_BOS)
  const end = setting(config, 'eod_token_id')
  if (typeof end === 'number') setSpecialId(draft, 'eos', end)
  const ends = (await files.json('generation_config.json'))?.get('eos_token_id')
  if (isArray(ends) && ends.length >= 2 && typeof ends[0] === 'number') setSpecialId(draft, 'eot', ends[0])
  return true
}

/** Some variants have pad_token_id -1: none. */
const hunyuanJson = byteLevelBy({
  kinds: ({ config }) => (Number(setting(config, 'pad_token_id') ?? 0) < 0 ? ['bos', 'eos', 'unk', 'sep', 'cls', 'mask'] : undefined),
})
