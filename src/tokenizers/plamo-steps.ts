/**
 * PLaMo 2 and 3: tokenizer.jsonl, one `[token, score, type, …]` on each line.
 *
 * Law: llama.cpp conversion/base.py `_set_vocab_plamo`, conversion/plamo.py.
 */
import { FormatError, quoted } from '../core/errors.js'
import { isArray, kindOf, parseJson } from '../core/json.js'
import { bool, string } from '../core/key-value.js'
import type { PieceRows } from './added-tokens.js'
import { readTemplateFiles } from './chat-templates.js'
import { addTable, noTokenizer, setSpecialId, type Draft } from './draft.js'
import { TOKEN_TYPES } from './token-types.js'

const FILE = 'tokenizer.jsonl'
const SCORE_OF_PADDING = -1000
/** <|plamo:op|>, which ends a turn. */
const END_OF_TURN = 4
const TYPES: ReadonlyMap<unknown, number> = new Map<unknown, number>([
  ['UNKNOWN', TOKEN_TYPES.unknown],
  ['CONTROL', TOKEN_TYPES.control],
  ['BYTE', TOKEN_TYPES.byte],
])

export async function plamo2(draft: Draft): Promise<boolean> {
  const text = await draft.files.text(FILE)
  if (text === undefined) throw noTokenizer(draft, FILE)
  const rows = rowsOf(text, draft.vocabSize)
  addTable(draft, { model: 'plamo2', ...rows, notes: [`${FILE} with ${rows.tokens.length} ids`] }, 'default')
  const config = await draft.files.json('tokenizer_config.json')
  for (const kind of ['bos', 'eos', 'pad', 'sep', 'unk']) {
    const token = config?.get(`${kind}_token`) ?? null
    if (token === null) continue
    const id = typeof token === 'string' ? rows.tokens.indexOf(token) : -1
    if (id < 0)
      throw new FormatError(`"${kind}_token" is ${typeof token === 'string' ? quoted(token) : kindOf(token)}, which is no token of ${FILE}.`, {
        file: 'tokenizer_config.json',
      })
    setSpecialId(draft, kind, id)
  }
  setSpecialId(draft, 'eot', END_OF_TURN)
  draft.keyValues.set('tokenizer.ggml.add_space_prefix', bool(false))
  return true
}

/** PLaMo 3 has a chat template: chat_template.jinja, else tokenizer_config.json's. */
export async function plamo3(draft: Draft): Promise<boolean> {
  await plamo2(draft)
  const [file] = draft.files.has('chat_template.jinja') ? await readTemplateFiles(draft.files) : []
  const configured = (await draft.files.json('tokenizer_config.json'))?.get('chat_template')
  const template = file?.template ?? (typeof configured === 'string' ? configured : '')
  if (template !== '') draft.keyValues.set('tokenizer.chat_template', string(template))
  return true
}

function rowsOf(text: string, vocabSize: number): PieceRows {
  const lines = text.split('\n').flatMap((line, index) => (line.trim() === '' ? [] : [lineOf(line, index + 1)]))
  const given = lines.length
  for (let n = 1; given + n <= vocabSize; n++) lines.push({ token: `[PAD${n}]`, score: SCORE_OF_PADDING, type: TOKEN_TYPES.unused })
  return {
    tokens: lines.map(({ token }) => token),
    scores: Float32Array.from(lines, ({ score }) => score),
    types: Int32Array.from(lines, ({ type }) => type),
  }
}

function lineOf(line: string, number: number): { token: string; score: number; type: number } {
  const entry = parseJson(new TextEncoder().encode(line), FILE)
  const [token, score, type] = isArray(entry) ? entry : []
  if (typeof token !== 'string' || typeof score !== 'number')
    throw new FormatError(`line ${number} is ${kindOf(entry)}; [token, score, type] wanted.`, { file: FILE })
  const looksControl = token.startsWith('<|plamo:') && token.endsWith('|>')
  return { token, score, type: TYPES.get(type) ?? (looksControl ? TOKEN_TYPES.control : TOKEN_TYPES.normal) }
}
