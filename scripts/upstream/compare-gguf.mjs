/**
 * Compares two expected.json of gguf/CASE: keys, types and shapes of tensors, digests of their bytes, per converted and quantized file.
 * A change is { where, what }: the file's outtype or options, and the key or tensor that is another one.
 */
import { isObject, jsonChanges } from './compare-json.mjs'
import { lastLine } from './run-python.mjs'

/** What says how the file was made, or follows from the rest. */
const IGNORED = new Set(['args', 'case', 'dataOffset', 'fileSha256', 'fileSize', 'inputFiles', 'nbytes', 'notes', 'offset', 'stdout'])

/** Lists of rows that have names, and what a row is in a line. */
const NAMED = { kv: 'key', kvDiff: 'key', tensors: 'tensor', hfTensors: 'tensor' }

/** What only llama-quantize makes, and what there is only of a file that was converted. */
const QUANTIZED = ['quantize', 'kvQuantizeOrder']
const CONVERTED = ['kv', 'kvFrom', 'kvQuantizeOrder', 'preDetected']

/** How a file that was quantized stands among errors. */
const QUANTIZE = 'quantize:'

/** All changes between two expected.json. @param quantized  whether llama-quantize ran */
export function ggufChanges(here, there, { quantized = true } = {}) {
  const isRefused = isObject(there.convert) && Object.keys(there.convert).length === 0
  const ignored = new Set([...IGNORED, ...(quantized ? [] : QUANTIZED), ...(isRefused ? CONVERTED : [])])
  const options = { ignored, isSame: isSameError }
  const counts = ({ path: [part, name = '', ...rest] }) => {
    if (part === 'errors') return quantized || !name.startsWith(QUANTIZE)
    return rest.length > 0 || there.errors?.[part === 'quantize' ? QUANTIZE + name : name] === undefined // else its error says it
  }
  const changes = withoutRetyped(jsonChanges(byName(here), byName(there), options).filter(counts)).map(placed)
  if (changes.length > 0) return changes
  const digests = jsonChanges(fileDigests(here), fileDigests(there), options)
  return digests.map(({ path }) => ({ where: path.slice(0, -1).join('.'), what: 'other bytes, of the same keys and tensors: another order, or padding' }))
}

/** Of a tensor of another type or shape the bytes are others too. */
function withoutRetyped(changes) {
  const place = (path) => JSON.stringify(path.slice(0, -1))
  const retyped = new Set(changes.flatMap(({ path }) => (path.at(-1) === 'type' || path.at(-1) === 'shape' ? [place(path)] : [])))
  return changes.filter(({ path }) => path.at(-1) !== 'sha256' || !retyped.has(place(path)))
}

/** Texts of errors hold paths and times; that there is one is what counts. */
function isSameError(here, there, path) {
  return path.some((key) => key === 'error' || key === 'errors') && here !== undefined && there !== undefined
}

/** `convert.f16.tensors.blk.0.attn_q.weight.type` as a place and a text. */
function placed({ path, what }) {
  const [part, name, ...rest] = path
  if (part === 'errors' && rest.length === 0) return { where: name.startsWith(QUANTIZE) ? name.replace(':', '.') : `convert.${name}`, what: `error: ${what}` }
  if ((part === 'convert' || part === 'quantize') && rest.length === 0) return { where: path.join('.'), what }
  const at = path.findIndex((key) => Object.hasOwn(NAMED, key))
  const list = path[at]
  if (list === undefined || path.length <= at + 1) return { where: path.slice(0, -1).join('.'), what: `${path.at(-1)}: ${what}` }
  const field = path.slice(at + 2).filter((key) => key !== 'value' && key !== 'sha256')
  return { where: path.slice(0, at).join('.'), what: `${NAMED[list]} ${path[at + 1]}${field.map((key) => ` ${key}`).join('')}: ${what}` }
}

/** The same with lists of named rows as objects of their fields. */
function byName(value, key = '') {
  if (Array.isArray(value) && Object.hasOwn(NAMED, key)) return Object.fromEntries(value.map((row) => namedRow(row)))
  if (key === 'error') return lastOf(value)
  if (key === 'errors' && isObject(value)) return Object.fromEntries(Object.entries(value).map(([name, text]) => [name, lastOf(text)]))
  if (isObject(value)) return Object.fromEntries(Object.entries(value).map(([name, part]) => [name, key === 'hfTensors' ? fields(part) : byName(part, name)]))
  return value
}

/** Of an error, or of the last of several. */
function lastOf(text) {
  return lastLine(String(Array.isArray(text) ? text.at(-1) : text))
}

function namedRow(row) {
  if (Array.isArray(row)) {
    const [name, type, shape, _offset, _bytes, sha256] = row
    return [name, { type, shape, sha256 }]
  }
  const { key, name, first8: _first, last4: _last, jsonSha256: _json, ...rest } = row
  return [key ?? name, rest]
}

function fields([type, shape, sha256]) {
  return { type, shape, sha256 }
}

/** Only the digests of whole files, each where it stands. */
function fileDigests(value) {
  if (!isObject(value)) return undefined
  const parts = Object.entries(value).map(([key, part]) => (key === 'fileSha256' ? ['bytes', part] : [key, fileDigests(part)]))
  return Object.fromEntries(parts.filter(([, part]) => part !== undefined))
}
