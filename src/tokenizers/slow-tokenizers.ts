/**
 * Tokenizers without tokenizer.json: vocab.json + merges.txt with a class name that stands for the pipeline, or vocab.txt.
 * Gives the tokenizer.json that transformers would build from them.
 *
 * Law: transformers 5.23 models/gpt2/tokenization_gpt2.py, models/qwen2/tokenization_qwen2.py,
 * models/bert/tokenization_bert.py.
 */
import { UnsupportedError, quoted } from '../core/errors.js'
import type { Json, JsonObject } from '../core/json.js'
import { textOr } from '../core/json.js'
import type { TokenizerFiles } from './tokenizer-files.js'

const object = (entries: Record<string, Json>): JsonObject => new Map(Object.entries(entries))
const BYTE_LEVEL = object({ type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: true })
const BYTE_LEVEL_PLAIN = object({ type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: false })
const QWEN2_REGEX = "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"

interface Pipeline {
  readonly normalizer: Json
  readonly preTokenizer: Json
}

const GPT2: Pipeline = { normalizer: null, preTokenizer: BYTE_LEVEL }
const QWEN2: Pipeline = {
  normalizer: object({ type: 'NFC' }),
  preTokenizer: object({
    type: 'Sequence',
    pretokenizers: [object({ type: 'Split', pattern: object({ Regex: QWEN2_REGEX }), behavior: 'Isolated', invert: false }), BYTE_LEVEL_PLAIN],
  }),
}

/** tokenizer_class -> normalizer and pre-tokenizer. */
const CLASSES: ReadonlyMap<string, Pipeline> = new Map<string, Pipeline>([
  ['GPT2Tokenizer', GPT2],
  ['CodeGenTokenizer', GPT2],
  ['RobertaTokenizer', GPT2],
  ['Qwen2Tokenizer', QWEN2],
])

/** What stands for the tokenizer.json of a folder that has none, and the file that it was made from. */
export interface SlowTokenizer {
  readonly json: JsonObject
  readonly file: string
}

/**
 * @returns undefined when there is neither vocab.json nor vocab.txt
 * @throws UnsupportedError when the class says nothing of the pipeline
 */
export async function slowTokenizer(files: TokenizerFiles): Promise<SlowTokenizer | undefined> {
  const vocab = await files.json('vocab.json')
  if (vocab === undefined) return wordPieceTokenizer(files)
  const name = textOr((await files.json('tokenizer_config.json'))?.get('tokenizer_class') ?? 'GPT2Tokenizer', '')
  const pipeline = CLASSES.get(name.replace(/Fast$/, ''))
  if (pipeline === undefined) {
    throw new UnsupportedError(
      `there is no tokenizer.json, and what ${quoted(name)} does with vocab.json is not known here; save the tokenizer as tokenizer.json (transformers: save_pretrained).`,
      { file: 'tokenizer_config.json' },
    )
  }
  const merges = (await readMergesFile(files)).filter((merge) => merge.includes(' '))
  const json = object({
    added_tokens: [],
    normalizer: pipeline.normalizer,
    pre_tokenizer: pipeline.preTokenizer,
    post_processor: null,
    decoder: BYTE_LEVEL,
    model: object({ type: 'BPE', vocab, merges }),
  })
  return { json, file: 'vocab.json' }
}

/** BERT's vocab.txt: one token a line, the line is the id. */
async function wordPieceTokenizer(files: TokenizerFiles): Promise<SlowTokenizer | undefined> {
  const file = 'vocab.txt'
  const text = await files.text(file)
  if (text === undefined) return undefined
  const config = await files.json('tokenizer_config.json')
  const lines = text.replace(/\n$/, '').split('\n')
  const flag = (key: string) => config?.get(key) ?? (key === 'strip_accents' ? null : true)
  const json = object({
    added_tokens: [],
    normalizer: object({
      type: 'BertNormalizer',
      clean_text: true,
      handle_chinese_chars: flag('tokenize_chinese_chars'),
      strip_accents: flag('strip_accents'),
      lowercase: flag('do_lower_case'),
    }),
    pre_tokenizer: object({ type: 'BertPreTokenizer' }),
    post_processor: null,
    decoder: object({ type: 'WordPiece', prefix: '##', cleanup: true }),
    model: object({ type: 'WordPiece', unk_token: '[UNK]', continuing_subword_prefix: '##', vocab: new Map(lines.map((token, id) => [token, id])) }),
  })
  return { json, file }
}

/** The merges of merges.txt, "left right" each; none when there is no such file. Lines that are no pair are skipped, as gguf-py does. */
export async function readMergesFile(files: TokenizerFiles): Promise<string[]> {
  const lines = ((await files.text('merges.txt')) ?? '').split('\n')
  if (lines[0]?.trimStart().startsWith('#')) lines.shift()
  return lines
    .map((line) => line.trim().split(/\s+/))
    .filter((parts) => parts.length === 2)
    .map((parts) => parts.join(' '))
}
