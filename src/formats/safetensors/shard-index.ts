/**
 * `model.safetensors.index.json` (or `pytorch_model.bin.index.json`): which tensor lies in which file of a model that is cut in shards.
 *
 * Law: transformers `save_pretrained` (5.23) for what is written; rules JS01, JS02 and JS07 to JS11 (docs/formats.md)
 * for what is read. Whether the files exist and hold what is said is for src/sources to find out.
 */
import { FormatError, quoted, ruled } from '../../core/errors.js'
import { isObject, kindOf, parseJsonObject, type JsonObject } from '../../core/json.js'
import { compareNames } from './name-order.js'
import { relativeName } from './relative-name.js'

/** Where transformers looks for it. */
export const INDEX_NAME = 'model.safetensors.index.json'

/** The index of a model of 100,000 tensors is 10 MB. */
export const MAX_INDEX_BYTES = 100_000_000

const EXTENSION = '.safetensors'

export interface ShardIndex {
  /** Tensor name -> file name inside the folder, in the index's order; `.` components are taken out. */
  readonly weightMap: ReadonlyMap<string, string>
  /** The files that it names, in code-point order, each once. */
  readonly fileNames: readonly string[]
  /** `metadata.total_size` when it is a number: a hint that is often wrong, never to allocate by. */
  readonly totalSize: number | undefined
}

/**
 * Reads and checks an index.
 * @param bytes      the whole file; a byte order mark is accepted
 * @param extension  that the files must have
 * @throws FormatError
 */
export function parseShardIndex(bytes: Uint8Array, file: string, extension = EXTENSION): ShardIndex {
  const root = ruled('JS11', () => parseJsonObject(bytes, file))
  const entries = root.get('weight_map')
  if (!isObject(entries)) throw new FormatError(`weight_map is ${kindOf(entries)}; an object of tensor names and file names is wanted.`, { file })
  if (entries.size === 0) throw new FormatError('weight_map is empty: the index names no tensor.', { file })
  const weightMap = new Map<string, string>()
  for (const [tensor, value] of entries) weightMap.set(tensor, shardName(tensor, value, file, extension))
  return { weightMap, fileNames: [...new Set(weightMap.values())].sort(compareNames), totalSize: totalSize(root, file) }
}

function shardName(tensor: string, value: unknown, file: string, extension: string): string {
  if (typeof value !== 'string') throw new FormatError('weight_map gives no file name for it; a string is wanted.', { file, tensor })
  const checked = relativeName(value)
  if ('fault' in checked) throw new FormatError(checked.fault, { file, tensor, rule: 'JS01' })
  if (!checked.name.endsWith(extension)) throw new FormatError(`weight_map names ${quoted(value)}; a file ending in ${extension} is wanted.`, { file, tensor })
  return checked.name
}

/** Numbers that writers spell as 16.0 are fine; a size that is none is a fault of the file. */
function totalSize(root: JsonObject, file: string): number | undefined {
  const metadata = root.get('metadata')
  if (metadata === undefined || metadata === null) return undefined
  if (!isObject(metadata)) throw new FormatError(`metadata is ${kindOf(metadata)}; an object is wanted.`, { file })
  const size = metadata.get('total_size')
  if (typeof size !== 'number' && typeof size !== 'bigint') return undefined
  if (size < 0 || (typeof size === 'number' && !Number.isInteger(size))) throw new FormatError(`total_size is ${size}; a number of bytes is wanted.`, { file })
  return Number(size)
}

/**
 * The index as transformers writes it: `json.dumps(index, indent=2, sort_keys=True)` and a line end.
 * @param weightMap        tensor name -> file name, in any order
 * @param totalSize        bytes of tensor data in all shards
 * @param totalParameters  written when given, as transformers >= 4.53 does
 */
export function encodeShardIndex(weightMap: ReadonlyMap<string, string>, totalSize: number, totalParameters?: number): Uint8Array {
  const sizes = totalParameters === undefined ? [] : [`    "total_parameters": ${totalParameters}`]
  sizes.push(`    "total_size": ${totalSize}`)
  const rows = [...weightMap].sort(([a], [b]) => compareNames(a, b)).map(([tensor, file]) => `    ${asciiJson(tensor)}: ${asciiJson(file)}`)
  const map = rows.length === 0 ? '{}' : `{\n${rows.join(',\n')}\n  }`
  return new TextEncoder().encode(`{\n  "metadata": {\n${sizes.join(',\n')}\n  },\n  "weight_map": ${map}\n}\n`)
}

/** Python's json.dumps keeps to ASCII: every other UTF-16 unit is escaped, DEL is not. */
function asciiJson(text: string): string {
  return JSON.stringify(text).replace(/[\u0080-\uffff]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`)
}
