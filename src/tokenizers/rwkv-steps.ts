/**
 * RWKV's world vocabulary: `id literal length` on each line, the literal as Python writes text or bytes.
 *
 * Law: llama.cpp conversion/base.py `_set_vocab_rwkv_world`, which writes each token as Python's repr of its bytes. The
 * chat template is the one that llama.cpp has built in by name; the reference's own file is written where it is installed.
 */
import { FormatError, quoted } from '../core/errors.js'
import { string } from '../core/key-value.js'
import { addTable, mergeSpecial, noTokenizer, setSpecialId, type Draft } from './draft.js'
import { readSpecialVocab } from './special-vocab.js'
import { TOKEN_TYPES } from './token-types.js'

const FILE = 'rwkv_vocab_v20230424.txt'
const USUAL_SIZE = 65536
/** "\n\n", which ends a turn. */
const END_OF_TURN = 261

export async function rwkvWorld(draft: Draft): Promise<boolean> {
  const text = await draft.files.text(FILE)
  if (text === undefined) throw noTokenizer(draft, FILE)
  const tokens = ['<s>', ...text.split('\n').flatMap((line, index) => (line === '' ? [] : [tokenOf(line, index + 1)]))]
  const count = draft.vocabSize === 0 ? USUAL_SIZE : draft.vocabSize
  if (tokens.length > count) throw new FormatError(`holds ${tokens.length - 1} tokens, but the model's vocab_size is ${count}.`, { file: FILE })
  const types = Int32Array.from({ length: count }, (_, id) => (id === 0 ? TOKEN_TYPES.control : id < tokens.length ? TOKEN_TYPES.normal : TOKEN_TYPES.unused))
  for (let id = tokens.length; id < count; id++) tokens.push(`[PAD${id}]`)
  addTable(draft, { model: 'rwkv', tokens, types, notes: [`${FILE} with ${tokens.length} ids`] }, undefined)
  const special = await readSpecialVocab(draft.files, draft.config, { loadMerges: false, fallbackIds: [['eot', END_OF_TURN]] })
  const ids = new Map([...special.ids]).set('bos', 0).set('eos', 0)
  mergeSpecial(draft, { ...special, ids })
  if (special.templates.length === 0) draft.keyValues.set('tokenizer.chat_template', string('rwkv-world'))
  for (const kind of ['bos', 'eos']) setSpecialId(draft, kind, 0)
  return true
}

function tokenOf(line: string, number: number): string {
  const parts = /^\d{1,9} (.*) (\d{1,9})$/su.exec(line)
  const bytes = parts?.[1] === undefined ? undefined : literalBytes(parts[1])
  if (bytes === undefined || bytes.length !== Number(parts?.[2]))
    throw new FormatError(`line ${number} is ${quoted(line.slice(0, 60))}; an id, a Python literal and its length in bytes wanted.`, { file: FILE })
  return reprOfBytes(bytes)
}

const ESCAPES: ReadonlyMap<string, string> = new Map([
  ['n', '\n'],
  ['r', '\r'],
  ['t', '\t'],
  ['0', '\0'],
  ['a', '\x07'],
  ['b', '\b'],
  ['f', '\f'],
  ['v', '\v'],
  ['\\', '\\'],
  ["'", "'"],
  ['"', '"'],
])

/** The bytes of a Python string or bytes literal; undefined when it is none. */
function literalBytes(literal: string): Uint8Array | undefined {
  const [, prefix, quote, body] = /^(b?)(['"])(.*)\2$/su.exec(literal) ?? []
  if (prefix === undefined || quote === undefined || body === undefined) return undefined
  const points: number[] = []
  const part = /\\(?:x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|(.))|([^\\])/suy
  while (part.lastIndex < body.length) {
    const found = part.exec(body)
    const [, hex2, hex4, hex8, letter, plain] = found ?? []
    const hex = hex2 ?? hex4 ?? hex8
    const point = hex === undefined ? (plain ?? ESCAPES.get(letter ?? ''))?.codePointAt(0) : Number.parseInt(hex, 16)
    if (point === undefined || point > 0x10ffff || (prefix === 'b' && point > 255)) return undefined
    points.push(point)
  }
  return prefix === 'b' ? Uint8Array.from(points) : new TextEncoder().encode(points.map((point) => String.fromCodePoint(point)).join(''))
}

const REPR: ReadonlyMap<number, string> = new Map([
  [9, '\\t'],
  [10, '\\n'],
  [13, '\\r'],
  [92, '\\\\'],
])

/** Bytes as Python's repr writes them, without the quotes: printable ASCII stands for itself. */
function reprOfBytes(bytes: Uint8Array): string {
  const doubles = bytes.includes(0x27) && !bytes.includes(0x22)
  return Array.from(bytes, (byte) => {
    const known = REPR.get(byte)
    if (known !== undefined) return known
    if (byte === 0x27 && !doubles) return "\\'"
    return byte >= 0x20 && byte < 0x7f ? String.fromCharCode(byte) : `\\x${byte.toString(16).padStart(2, '0')}`
  }).join('')
}
