/**
 * The scalars at the root of a YAML file, as PyYAML dumps configs: `lora_r: 8`, one to a line. What is nested (trainer settings, the
 * whole config of Hugging Face) is passed over unread, so no file can make this slow or large.
 */
import { FormatError, quoted } from '../core/errors.js'
import { decodeUtf8 } from '../core/json.js'

type Scalar = null | boolean | number | string

/** Of a config; read by the functions below, which name the key on failure. */
export interface FlatYaml {
  readonly file: string
  readonly scalars: ReadonlyMap<string, Scalar>
}

const MOST_LINES = 1_000_000
const LINE = /^([A-Za-z_][A-Za-z0-9_]*):(?:[ \t]+(.*?))?[ \t]*$/

/** @throws FormatError for what is no UTF-8, and for keys that stand twice */
export function readFlatYaml(bytes: Uint8Array, file: string): FlatYaml {
  const scalars = new Map<string, Scalar>()
  const lines = decodeUtf8(bytes, file).split(/\r?\n/, MOST_LINES)
  for (const [i, line] of lines.entries()) {
    const [, key, text] = LINE.exec(line) ?? []
    if (key === undefined) continue
    if (scalars.has(key)) throw new FormatError(`has the key ${quoted(key)} twice, again in line ${i + 1}.`, { file })
    scalars.set(key, scalarOf(text ?? ''))
  }
  return { file, scalars }
}

function scalarOf(text: string): Scalar {
  const plain = text.replace(/[ \t]+#.*$/, '')
  if (/^(?:true|True|TRUE)$/.test(plain)) return true
  if (/^(?:false|False|FALSE)$/.test(plain)) return false
  if (/^(?:null|Null|NULL|~|)$/.test(plain)) return null
  if (/^[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?$/.test(plain)) return Number(plain)
  const [, single, double] = /^'([^']*)'$|^"([^"\\]*)"$/.exec(plain) ?? []
  return single ?? double ?? plain
}

/** A whole number above 0. @param otherwise  when it is missing or null; unless given, it must be there */
export function yamlUint({ file, scalars }: FlatYaml, key: string, otherwise?: number): number {
  const value = scalars.get(key) ?? otherwise
  if (typeof value === 'number' && Number.isSafeInteger(value) && value > 0) return value
  throw new FormatError(`${key} must be a whole number above 0, found ${valueText(value)}.`, { file })
}

/** A finite number. */
export function yamlNumber({ file, scalars }: FlatYaml, key: string): number {
  const value = scalars.get(key)
  if (typeof value === 'number' && Number.isFinite(value)) return value
  throw new FormatError(`${key} must be a number, found ${valueText(value)}.`, { file })
}

/** True or false; false when it is missing. */
export function yamlBoolean({ file, scalars }: FlatYaml, key: string): boolean {
  const value = scalars.get(key) ?? false
  if (typeof value === 'boolean') return value
  throw new FormatError(`${key} must be true or false, found ${valueText(value)}.`, { file })
}

function valueText(value: Scalar | undefined): string {
  return value === undefined ? 'nothing' : typeof value === 'string' ? quoted(value) : String(value)
}
