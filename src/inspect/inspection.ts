/** What `inspect` finds out, as plain data: JSON.stringify gives the form that `--json` prints. */
import type { AdapterFile } from '../adapters/adapter-file.js'
import type { KeyValue } from '../core/key-value.js'
import type { ConfigFacts } from './check-config.js'

export interface InspectedFile {
  /** Relative to the folder, or the file's own name. */
  readonly name: string
  readonly byteLength: number
  /** `safetensors`, `pytorch`, `gguf`, `json` or `other`: what it was read as. */
  readonly format: string
}

export interface InspectedTensor {
  /** As the file spells it. */
  readonly name: string
  /** `BF16` in safetensors, `Q4_K` in GGUF. */
  readonly dtype: string
  /** Outermost dimension first. */
  readonly shape: readonly number[]
  /** Name of the file that holds it. */
  readonly file: string
  /** First byte of its data in `file`: of its first element, or of the deflated record that holds it. */
  readonly offset: number
  readonly byteLength: number
  /** Of the packed little-endian bytes, lower-case hex; only when asked for. */
  readonly sha256: string | undefined
}

/** One metadata entry. Long lists are cut: `length` says how many items the file has. */
export interface InspectedMetadata {
  readonly file: string
  readonly key: string
  readonly type: string
  readonly value: MetadataJson | readonly MetadataJson[]
  readonly length?: number
}

type MetadataJson = string | number | boolean

export interface Inspection {
  /** `model`: a folder; `weights`: files of tensors without more; `index` and `config`: a side file alone. */
  readonly kind: 'model' | 'weights' | 'adapter' | 'gguf' | 'index' | 'config'
  readonly label: string
  /** In code-point order. */
  readonly files: readonly InspectedFile[]
  /** File by file, in the order of their data. */
  readonly tensors: readonly InspectedTensor[]
  readonly metadata: readonly InspectedMetadata[]
  readonly config: ConfigFacts | undefined
  /** What the adapter says of itself, the effective scale of each module among it. */
  readonly adapter: AdapterFile['facts'] | undefined
  /** One sentence each. */
  readonly notes: readonly string[]
}

const SHOWN_ITEMS = 16 // a token table has 262,144 items

/** A typed GGUF value for JSON. 64-bit integers beyond 2^53 and numbers that JSON lacks come out as text. */
export function metadataOf(file: string, { key, value }: KeyValue): InspectedMetadata {
  if (value.type !== 'array') return { file, key, type: value.type, value: plain(value.value) }
  const shown = Array.from({ length: Math.min(SHOWN_ITEMS, value.value.length) }, (_, i) => plain(value.value[i] ?? ''))
  return { file, key, type: `${value.items}[]`, value: shown, length: value.value.length }
}

function plain(value: string | number | bigint | boolean): MetadataJson {
  if (typeof value === 'string' || typeof value === 'boolean') return value
  const number = Number(value)
  return Number.isFinite(number) && (typeof value === 'number' || Number.isSafeInteger(number)) ? number : String(value)
}
