/**
 * What llama-quantize does to metadata: every edit takes a key out and appends it at the end, so the order of keys tells
 * the order of edits.
 *
 * Law: llama-quant.cpp `llama_model_quantize_impl`; tools/quantize/quantize.cpp; common.cpp `string_parse_kv_override`
 * (llama.cpp 0c1e570). Here texts with a NUL stay whole (the reference cuts them, tokens too), and numbers that the
 * stored type cannot hold are refused (the reference stores another).
 */
import { quoted, UsageError } from '../core/errors.js'
import { bool, f32, i32, string, u32, type KeyValue } from '../core/key-value.js'

const QUANTIZATION_VERSION = 2
const MOST_TEXT_BYTES = 127 // llama_model_kv_override::val_str and key hold 128 with the NUL
const SPLIT_KEYS: ReadonlySet<string> = new Set(['split.no', 'split.count', 'split.tensors.count'])

/** What the importance matrix leaves in the metadata. */
export interface ImportanceFacts {
  /** As the user typed it. */
  readonly file: string
  /** Texts it was computed on; the first is named. */
  readonly datasets: readonly string[]
  /** Tensors it has weights for, after --include-weights and --exclude-weights. */
  readonly entryCount: number
  readonly chunkCount: number
}

export interface KeyValueEdits {
  /** `general.file_type`; for a copy, the source's own, undefined where it has none. */
  readonly fileTypeId: number | undefined
  /** --override-kv, in the order given. */
  readonly overrides?: readonly KeyValue[]
  /** Left out, too, when the matrix has no entry left. */
  readonly importance?: ImportanceFacts
  /** New number of layers, where some were pruned. */
  readonly pruned?: { readonly architecture: string; readonly layers: number }
}

/** The metadata of the quantized file. */
export function quantizedKeyValues(source: readonly KeyValue[], { fileTypeId, overrides = [], importance, pruned }: KeyValueEdits): KeyValue[] {
  const added: KeyValue[] = [
    { key: 'general.quantization_version', value: u32(QUANTIZATION_VERSION) },
    ...(fileTypeId === undefined ? [] : [{ key: 'general.file_type', value: u32(fileTypeId) }]),
    ...overrides,
    ...(importance === undefined || importance.entryCount === 0 ? [] : importanceKeyValues(importance)),
    ...(pruned === undefined ? [] : [{ key: `${pruned.architecture}.block_count`, value: u32(pruned.layers) }]),
  ]
  return withKeyValues(
    source.filter(({ key }) => !SPLIT_KEYS.has(key)),
    added,
  )
}

/** Sets keys one after the other: each is taken out where it stands and appended. */
export function withKeyValues(source: readonly KeyValue[], added: readonly KeyValue[]): KeyValue[] {
  // a Map keeps the place of a key that is set again, so it is deleted first
  const values = new Map(source.map((keyValue) => [keyValue.key, keyValue]))
  for (const keyValue of added) {
    values.delete(keyValue.key)
    values.set(keyValue.key, keyValue)
  }
  return [...values.values()]
}

/** The keys of one part of --keep-split's output; of the parts after the first they are all the metadata. */
export function keptSplitKeyValues(part: number, parts: number, tensorCount: number): KeyValue[] {
  return [
    { key: 'split.no', value: { type: 'u16', value: part } },
    { key: 'split.count', value: { type: 'u16', value: parts } },
    { key: 'split.tensors.count', value: i32(tensorCount) },
  ]
}

function importanceKeyValues({ file, datasets, entryCount, chunkCount }: ImportanceFacts): KeyValue[] {
  const [dataset] = datasets
  return [
    { key: 'quantize.imatrix.file', value: string(cutText(file)) },
    ...(dataset === undefined ? [] : [{ key: 'quantize.imatrix.dataset', value: string(cutText(dataset)) }]),
    { key: 'quantize.imatrix.entries_count', value: u32(entryCount) },
    ...(chunkCount > 0 ? [{ key: 'quantize.imatrix.chunks_count', value: u32(chunkCount) }] : []),
  ]
}

/** The first 127 bytes of a text; bytes of a cut character stand as U+DC80..U+DCFF, which the header writer turns back. */
function cutText(text: string): string {
  const bytes = new TextEncoder().encode(text)
  if (bytes.length <= MOST_TEXT_BYTES) return text
  let end = MOST_TEXT_BYTES
  while (((bytes[end] ?? 0) & 0xc0) === 0x80) end--
  const cut = [...bytes.subarray(end, MOST_TEXT_BYTES)].map((byte) => String.fromCharCode(0xdc00 + byte))
  return new TextDecoder('utf-8', { ignoreBOM: true }).decode(bytes.subarray(0, end)) + cut.join('')
}

/**
 * `general.name=str:Renamed`, `llama.context_length=int:4096`, `tokenizer.ggml.add_bos_token=bool:false`,
 * `llama.rope.freq_base=float:500000`.
 * @throws UsageError
 */
export function parseKeyValueOverride(option: string, typed: string): KeyValue {
  const [, key = '', type = '', text = ''] = /^([^=]*)=([^:]*):(.*)$/s.exec(typed) ?? []
  const parse = VALUES.get(type)
  if (key === '' || parse === undefined) throw new UsageError(`${option} takes KEY=int|float|bool|str:VALUE, not ${quoted(typed)}.`)
  if (byteLength(key) > MOST_TEXT_BYTES || key.includes('\0'))
    throw new UsageError(`${option}: the key ${quoted(key)} is longer than ${MOST_TEXT_BYTES} bytes, or holds a NUL.`)
  if (key === 'general.alignment' || SPLIT_KEYS.has(key)) throw new UsageError(`${option}: ${key} says how the file is laid out; it cannot be chosen so.`)
  return { key, value: parse(text, (wanted) => new UsageError(`${option}: ${quoted(text)} is no ${wanted}.`)) }
}

type ParseValue = (text: string, wrong: (wanted: string) => UsageError) => KeyValue['value']

const VALUES: ReadonlyMap<string, ParseValue> = new Map<string, ParseValue>([
  [
    'int',
    (text, wrong) => {
      const value = /^\+?\d{1,10}$/.test(text) ? Number(text) : Number.NaN
      if (!(value <= 0xffff_ffff)) throw wrong('whole number from 0 to 4294967295 (it is stored as u32, as llama-quantize does)')
      return u32(value)
    },
  ],
  [
    'float',
    (text, wrong) => {
      const value = Math.fround(/^[+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?$/i.test(text) ? Number(text) : Number.NaN)
      if (!Number.isFinite(value)) throw wrong('number that f32 can hold')
      return f32(value)
    },
  ],
  [
    'bool',
    (text, wrong) => {
      if (text !== 'true' && text !== 'false') throw wrong('true or false')
      return bool(text === 'true')
    },
  ],
  [
    'str',
    (text, wrong) => {
      if (byteLength(text) > MOST_TEXT_BYTES || text.includes('\0') || !text.isWellFormed()) throw wrong(`text of at most ${MOST_TEXT_BYTES} bytes`)
      return string(text)
    },
  ],
])

function byteLength(text: string): number {
  return new TextEncoder().encode(text).length
}
