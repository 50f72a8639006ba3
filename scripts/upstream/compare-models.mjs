/**
 * Compares two files of fixtures/architectures: the model that transformers' classes describe, and the keys, types and bytes that the
 * converter makes of it. A change is { where, what }.
 */
import { jsonChanges } from './compare-json.mjs'

const IGNORED = new Set(['case', 'like', 'note', 'source', 'transformers_version'])

/** What the rows of a fixture are in a line. */
const ROWS = { keys: 'key', tensors: 'tensor of the checkpoint', written: 'tensor' }

/** Letters of the fixtures' makers (fixtures/make/architectures/pack.py). */
const TYPES = { f: 'F32', h: 'F16', b: 'BF16', q: 'Q8_0', m: 'MXFP4', i: 'I32', l: 'I64' }

export function modelChanges(here, there) {
  const changes = jsonChanges(byName(here), byName(there), { ignored: IGNORED })
  // A digest over a whole file adds nothing to lines about its tensors.
  const isWritten = changes.some(({ path }) => path[0] === 'written')
  const retyped = new Set(changes.flatMap(({ path }) => (path[0] === 'outtypes' && path[2] === 'types' ? [path[1]] : [])))
  const repeats = ({ path: [part, name, field] }) => part === 'outtypes' && field === 'bytes' && (isWritten || retyped.has(name))
  return changes.filter((change) => !repeats(change)).map(placed)
}

function placed({ path, what }) {
  const [part, name, ...rest] = path
  if (name === undefined) return { where: '', what: `${part}: ${what}` }
  if (part === 'outtypes' && rest.length === 0) return { where: name, what }
  if (part === 'outtypes') return { where: name, what: rest[1] === undefined ? `file: ${what}` : `tensor ${rest[1]} type: ${what}` }
  if (!Object.hasOwn(ROWS, part)) return { where: part, what: `${[name, ...rest].join('.')}: ${what}` }
  const field = rest.filter((key) => key !== 'value' && key !== 'bytes')
  return { where: '', what: `${ROWS[part]} ${[name, ...field].join(' ')}: ${what}` }
}

/** The same with lists of rows as objects of their fields. */
function byName({ keys, tensors, written, outtypes, ...rest }) {
  const output = written?.flatMap(unfolded)
  return {
    ...rest,
    keys: rows(keys, ([name, type, value]) => [name, { type, value }]),
    tensors: rows(tensors, ([name, ...value]) => [name, { value }]),
    written: rows(output, ([name, shape, bytes]) => [name, { shape, bytes }]),
    outtypes: rows(outtypes && Object.entries(outtypes), ([name, [letters, bytes]]) => [name, { types: typesOf(letters, output ?? []), bytes }]),
  }
}

/** `{layers, rows, digests}` stands for the same rows in several layers. */
function unfolded(row) {
  if (Array.isArray(row)) return [row]
  const { layers, rows, digests } = row
  return layers.flatMap((layer, i) => {
    const bytes = digests[i].split(' ')
    return rows.map(([name, shape], k) => [layer + name, shape, bytes[k]])
  })
}

/** One letter per tensor in the order in which they are written, `f4` for `ffff`. */
function typesOf(letters, output) {
  const types = [...letters.matchAll(/([a-z])(\d*)/g)].flatMap(([, letter, count]) => Array.from({ length: Number(count || 1) }, () => TYPES[letter] ?? letter))
  return Object.fromEntries(types.map((type, i) => [output[i]?.[0] ?? `number ${i}`, type]))
}

function rows(list, entry) {
  return list === undefined ? undefined : Object.fromEntries(list.map(entry))
}
