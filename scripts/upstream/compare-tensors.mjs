/**
 * Says in words what differs between two tensors, or two sets of them.
 *
 * A tensor is { dtype, shape, bytes }, packed and little-endian; "here" is what the golden set holds, "there" what newer tools made.
 * Run after the build.
 */
import { widenF16 } from '../../dist/src/core/float16.js'
import { openDescriptor, openFile } from '../../dist/src/sources/files.js'
import { readSafetensors } from '../../dist/src/sources/shards.js'
import { readCheckpoint } from '../../dist/src/formats/torch/checkpoint.js'
import { jsonChanges } from './compare-json.mjs'

const MOST_STEPS = 1000 // more are no rounding
const word = new DataView(new ArrayBuffer(4))

/** Types whose neighbouring values are counted in steps: bytes of one, its sign bit, the f32 bits of its value. */
const FLOATS = {
  F32: { width: 4, sign: 2 ** 31, read: (view, at) => view.getUint32(at, true), widen: (bits) => bits },
  F16: { width: 2, sign: 2 ** 15, read: (view, at) => view.getUint16(at, true), widen: widenF16 },
  BF16: { width: 2, sign: 2 ** 15, read: (view, at) => view.getUint16(at, true), widen: (bits) => (bits << 16) >>> 0 },
}

/** Files that hold tensors, by their names. */
export function isWeights(path) {
  return /\.(?:safetensors|bin|pt|pth|ckpt|lora)$/i.test(path)
}

/**
 * All tensors of a file, and its metadata.
 * @throws FormatError, UnsupportedError for a file that this project refuses
 */
export async function readWeights(path) {
  const source = await openFile(path)
  const { tensors, metadata } = path.endsWith('.safetensors') ? await readSafetensors(source) : await readCheckpoint(source)
  const found = new Map()
  for (const { name, dtype, shape, source: data, offset, byteLength } of tensors) {
    const bytes = new Uint8Array(byteLength)
    await openDescriptor(data).read(bytes, offset)
    found.set(name, { dtype, shape, bytes })
  }
  return { tensors: found, metadata: Object.fromEntries(metadata ?? []) }
}

/** What differs between two files, or unions of files, as {@link readWeights} gives them; one line each. */
export function weightsChanges(here, there) {
  const names = [...new Set([...here.tensors.keys(), ...there.tensors.keys()])].sort((a, b) => (a < b ? -1 : 1))
  const changes = names.flatMap((name) => {
    const change = tensorChange(here.tensors.get(name), there.tensors.get(name))
    return change === undefined ? [] : [`tensor ${name}: ${change}`]
  })
  const metadata = jsonChanges(here.metadata, there.metadata).map(({ path, what }) => `metadata ${path.join('.')}: ${what}`)
  return [...changes, ...metadata]
}

/** What differs between two tensors of one name, either of which may be missing; undefined when nothing does. */
export function tensorChange(here, there) {
  if (there === undefined) return 'gone there'
  if (here === undefined) return `new there: ${there.dtype} [${there.shape.join(', ')}]`
  const changes = []
  if (here.dtype !== there.dtype) changes.push(`${here.dtype} here, ${there.dtype} there`)
  if (here.shape.join() !== there.shape.join()) changes.push(`[${here.shape.join(', ')}] here, [${there.shape.join(', ')}] there`)
  if (changes.length > 0) return changes.join('; ')
  if (Buffer.compare(here.bytes, there.bytes) === 0) return undefined
  const float = FLOATS[here.dtype]
  return float === undefined ? elementChange(here, there) : valueChange(here, there, float)
}

function elementChange(here, there) {
  const count = here.shape.reduce((product, size) => product * size, 1)
  const width = here.bytes.byteLength / count
  const differing = new Set()
  for (const [i, byte] of here.bytes.entries()) if (byte !== there.bytes[i]) differing.add(Math.floor(i / width))
  return `${differing.size} of ${count} values differ`
}

/** How many values differ, by how many representable values at most, and by how much at most. */
function valueChange(here, there, { width, sign, read, widen }) {
  const [a, b] = [viewOf(here.bytes), viewOf(there.bytes)]
  let [differing, steps, largest] = [0, 0, 0]
  for (let at = 0; at < a.byteLength; at += width) {
    const [x, y] = [read(a, at), read(b, at)]
    if (x === y) continue
    differing++
    steps = Math.max(steps, Math.abs(rank(x, sign) - rank(y, sign)))
    const difference = Math.abs(numberOf(widen(x)) - numberOf(widen(y)))
    largest = Math.max(largest, Number.isNaN(difference) ? Infinity : difference)
  }
  return `${differing} of ${a.byteLength / width} values differ, ${distance(steps, largest)}`
}

function distance(steps, largest) {
  if (steps === 0) return 'in the sign of zero'
  const most = largest.toPrecision(2)
  return steps > MOST_STEPS ? `by ${most} at most` : `at most ${steps} ${steps === 1 ? 'step' : 'steps'} (${most})`
}

/** Place of a float among all of its type, from its bits: neighbours are one apart, both zeros are 0. */
function rank(bits, sign) {
  return bits >= sign ? sign - bits : bits
}

function numberOf(bits) {
  word.setUint32(0, bits)
  return word.getFloat32(0)
}

function viewOf(bytes) {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}
