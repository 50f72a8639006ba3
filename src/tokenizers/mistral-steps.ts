/**
 * Tokenizers in Mistral's own formats: tekken.json, and tokenizer.model with its version in the name.
 *
 *   tekken.json { config: { default_vocab_size, default_num_special_tokens, version, … },
 *                 vocab: [{ rank, token_bytes (base64), token_str }], special_tokens?: [{ rank, token_str, is_control }] }
 *
 * Ids: special tokens first, then the vocabulary by rank.
 *
 * Law: llama.cpp conversion/base.py `_set_vocab_mistral` with gguf-py vocab.py `MistralVocab`; mistral-common 1.13
 * tekken.py `Tekkenizer`, sentencepiece.py. The chat template is the one beside the model, else llama.cpp's own by name.
 */
import { FormatError, UnsupportedError, quoted } from '../core/errors.js'
import { isArray, isObject, kindOf, type Json, type JsonObject } from '../core/json.js'
import { bool, string, strings, u32 } from '../core/key-value.js'
import { addTable, noTokenizer, setSpecialId, type Draft } from './draft.js'
import { pieceNotes, rowsOfPieces } from './piece-tables.js'
import { readSentencePieceModel } from './sentencepiece-model.js'
import { decodeBase64, inByteAlphabet, type Ranks } from './tiktoken.js'
import { TOKEN_TYPES } from './token-types.js'
import { objectAt } from './tokenizer-files.js'
import type { TokenTable } from './vocabularies.js'

const TEKKEN = 'tekken.json'

/** What both formats give. */
interface MistralTokenizer {
  readonly table: TokenTable
  readonly merges?: readonly string[]
  readonly ids: readonly (readonly [kind: 'bos' | 'eos' | 'unk' | 'pad', id: number])[]
  readonly version: string
}

/** tekken.json or a versioned tokenizer.model. */
export async function mistral(draft: Draft): Promise<boolean> {
  const { keyValues } = draft
  const isTekken = draft.files.has(TEKKEN)
  const { table, merges, ids, version } = isTekken ? await readTekken(draft) : await readVersioned(draft)
  keyValues.set('tokenizer.ggml.model', string(table.model))
  if (merges !== undefined) {
    keyValues.set('tokenizer.ggml.pre', string('tekken'))
    keyValues.set('tokenizer.ggml.merges', strings(merges))
  }
  for (const [kind, id] of ids) setSpecialId(draft, kind, id)
  addTable(draft, table, merges === undefined ? undefined : 'tekken')
  if (draft.architecture !== undefined) keyValues.set(`${draft.architecture}.vocab_size`, u32(table.tokens.length))
  keyValues.set('tokenizer.ggml.add_bos_token', bool(true))
  keyValues.set('tokenizer.ggml.add_eos_token', bool(false))
  await addTemplate(draft, `${version}${isTekken ? '-tekken' : ''}`)
  return true
}

/** llama.cpp has these templates built in, by name. */
const BUILT_IN: ReadonlyMap<string, string> = new Map([
  ['v1', 'mistral-v1'],
  ['v3', 'mistral-v3'],
  ['v3-tekken', 'mistral-v3-tekken'],
  ['v7', 'mistral-v7'],
  ['v7-tekken', 'mistral-v7-tekken'],
])

async function addTemplate(draft: Draft, version: string): Promise<void> {
  const own = await draft.files.text('chat_template.jinja')
  // a checkpoint in Mistral's own format prefers its own template; a transformers folder gets llama.cpp's, as the reference has it
  const template = draft.recipe === 'mistral' ? (own ?? BUILT_IN.get(version)) : (BUILT_IN.get(version) ?? own)
  if (template !== undefined) draft.keyValues.set('tokenizer.chat_template', string(template))
  else draft.notes.push(`no chat template was written: llama.cpp has none built in for Mistral's tokenizer ${version}, and chat_template.jinja is missing`)
}

async function readTekken({ files }: Draft): Promise<MistralTokenizer> {
  const json: JsonObject = (await files.json(TEKKEN)) ?? new Map()
  const config: JsonObject = objectAt(json, 'config', TEKKEN) ?? new Map()
  const size = countAt(config, 'default_vocab_size')
  const specialCount = countAt(config, 'default_num_special_tokens')
  const version = config.get('version')
  if (typeof version !== 'string' || !/^v\d{1,3}$/.test(version))
    throw new FormatError(`"config.version" is ${kindOf(version)}, v3 or later wanted.`, { file: TEKKEN })
  const specials = specialTokens(json, specialCount, Number(version.slice(1)))
  const ranks = readVocab(json, size - specialCount)
  const tokens = [...specials, ...[...ranks.keys()].map(inByteAlphabet)]
  const types = Int32Array.from(tokens, (_, id) => (id < specialCount ? TOKEN_TYPES.control : TOKEN_TYPES.normal))
  const idOf = (text: string) => {
    const id = specials.indexOf(text)
    if (id < 0) throw new FormatError(`has no special token ${quoted(text)}.`, { file: TEKKEN })
    return id
  }
  return {
    // the reference writes scores as integers
    table: { model: 'gpt2', tokens, scores: new Int32Array(tokens.length), types, notes: [`${TEKKEN} ${version} with ${tokens.length} tokens`] },
    merges: tekkenMerges(ranks),
    ids: [
      ['bos', idOf('<s>')],
      ['eos', idOf('</s>')],
      ['unk', idOf('<unk>')],
      ['pad', idOf('<pad>')],
    ],
    version,
  }
}

function countAt(config: JsonObject, key: string): number {
  const value = config.get(key)
  if (typeof value !== 'number' || !Number.isInteger(value) || value < 1 || value > 2 ** 22)
    throw new FormatError(`"config.${key}" is ${kindOf(value)}, a count of tokens wanted.`, { file: TEKKEN })
  return value
}

/** Special tokens of files up to v7 that list none. */
const OLD_SPECIALS =
  '<unk> <s> </s> [INST] [/INST] [AVAILABLE_TOOLS] [/AVAILABLE_TOOLS] [TOOL_RESULTS] [/TOOL_RESULTS] [TOOL_CALLS] [IMG] <pad> [IMG_BREAK] [IMG_END] ' +
  '[PREFIX] [MIDDLE] [SUFFIX] [SYSTEM_PROMPT] [/SYSTEM_PROMPT] [TOOL_CONTENT]'

/** The special tokens by id, filled up with `<SPECIAL_n>`. */
function specialTokens(json: JsonObject, count: number, version: number): string[] {
  const list = json.get('special_tokens') ?? null
  if (list === null && version > 7) throw new FormatError('has no "special_tokens".', { file: TEKKEN })
  const named = list === null ? OLD_SPECIALS.split(' ') : textsOf(list)
  if (named.length > count || new Set(named).size < named.length)
    throw new FormatError(`"special_tokens" holds ${named.length} tokens, ${count} different ones at most wanted.`, { file: TEKKEN })
  return Array.from({ length: count }, (_, id) => named[id] ?? `<SPECIAL_${id}>`)
}

function textsOf(list: Json): string[] {
  if (!isArray(list)) throw new FormatError(`"special_tokens" is ${kindOf(list)}, an array wanted.`, { file: TEKKEN })
  return list.map((entry, index) => {
    const text = isObject(entry) ? entry.get('token_str') : undefined
    if (typeof text !== 'string' || !isObject(entry) || entry.get('rank') !== index)
      throw new FormatError(`"special_tokens" holds ${kindOf(entry)} at ${index}; "token_str" and "rank" ${index} wanted.`, { file: TEKKEN })
    return text
  })
}

function readVocab(json: JsonObject, count: number): Ranks {
  const list = json.get('vocab')
  if (!isArray(list) || count < 256 || list.length < count)
    throw new FormatError(`"vocab" is ${isArray(list) ? `${list.length} tokens long` : kindOf(list)}; ${Math.max(count, 256)} tokens wanted.`, { file: TEKKEN })
  const ranks = new Map<string, number>()
  for (let rank = 0; rank < count; rank++) {
    const entry = list[rank]
    const bytes = isObject(entry) ? entry.get('token_bytes') : undefined
    if (!isObject(entry) || typeof bytes !== 'string' || entry.get('rank') !== rank)
      throw new FormatError(`"vocab" holds ${kindOf(entry)} at ${rank}; "token_bytes" and "rank" ${rank} wanted.`, { file: TEKKEN })
    const token = decodeBase64(bytes, `token ${rank}`, TEKKEN)
    if (ranks.has(token) || (rank < 256 && token !== String.fromCharCode(rank)))
      throw new FormatError(`token ${rank} is ${ranks.has(token) ? 'there twice' : 'not the byte of that number'}.`, { file: TEKKEN })
    ranks.set(token, rank)
  }
  return ranks
}

/** Every way in which two tokens make a third, ordered by the third, then by the first two. */
function tekkenMerges(ranks: Ranks): string[] {
  const merges: string[] = []
  for (const [token, rank] of ranks) {
    if (rank < 256) continue
    const splits: { left: number; right: number; at: number }[] = []
    for (let at = 1; at < token.length; at++) {
      const left = ranks.get(token.slice(0, at))
      const right = left === undefined ? undefined : ranks.get(token.slice(at))
      if (left !== undefined && right !== undefined) splits.push({ left, right, at })
    }
    if (splits.length === 0) throw new FormatError(`no two tokens make token ${rank}.`, { file: TEKKEN })
    splits.sort((a, b) => a.left - b.left || a.right - b.right)
    for (const { at } of splits) merges.push(`${inByteAlphabet(token.slice(0, at))} ${inByteAlphabet(token.slice(at))}`)
  }
  return merges
}

/** tokenizer.model, or tokenizer.model.v3 and the like: the last by name, as mistral-common takes it. */
async function readVersioned(draft: Draft): Promise<MistralTokenizer> {
  const names = draft.files.folder.entries.map(({ name }) => name).filter((name) => /^[^/]*\.model(?:\.v\d{1,2}(?:m\d)?)?$/.test(name))
  const file = names.sort().at(-1)
  if (file === undefined) throw noTokenizer(draft, 'tekken.json, or tokenizer.model with its version (tokenizer.model.v3)')
  const version = /\.(v\d+)/.exec(file)?.[1] ?? 'v1'
  const model = readSentencePieceModel(await draft.files.bytes(file), file)
  if (model.bosId < 0 || model.eosId < 0) throw new UnsupportedError('has no bos or no eos token.', { file })
  const rows = rowsOfPieces(model, 0)
  return {
    table: { model: 'llama', ...rows, notes: pieceNotes(file, model.pieces.length, rows.tokens.length, 0) },
    ids: [
      ['bos', model.bosId],
      ['eos', model.eosId],
      ['unk', model.unkId],
      ['pad', model.padId < 0 ? model.eosId : model.padId],
    ],
    version,
  }
}
