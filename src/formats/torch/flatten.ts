/**
 * The tensors of a checkpoint by name: keys of nested dicts and indices of lists, joined with dots. Everything else (step
 * counters, settings, random states) is passed over; a tensor never is.
 */
import type { StridedDescriptor } from '../../core/bytes.js'
import type { Dtype } from '../../core/dtypes.js'
import { FormatError, UnsupportedError } from '../../core/errors.js'
import { elementCount } from '../../core/shape.js'
import type { TensorInfo } from '../../core/tensor-info.js'
import { describe, isNode, type PickleNode, type PickleValue, type TensorNode } from './pickle-values.js'

const MOST_DEPTH = 64
const MOST_VISITS = 4_000_000 // items of containers, each as often as it is reached: a pickle can share one dict 10^30 times

/** A container that is being walked through. */
interface Level {
  readonly node: PickleNode
  readonly prefix: string
  readonly rest: Iterator<readonly [PickleValue | number, PickleValue]>
}

/**
 * @param file  for messages
 * @returns in the order of the pickle; a bare tensor has the name ``
 * @throws FormatError for roots that hold no tensors, cycles, endless sharing, and names that two tensors would have
 */
export function flattenCheckpoint(root: PickleValue, file: string): TensorInfo<Dtype>[] {
  if (isNode(root, 'tensor')) return [tensorInfo('', root)]
  if (!isNode(root, 'dict')) throw new FormatError(`holds ${describe(root)}; a dict of tensors is wanted.`, { file })
  const found = new Map<string, TensorInfo<Dtype>>()
  const levels: Level[] = [{ node: root, prefix: '', rest: itemsOf(root) }]
  const open = new Set<PickleNode>([root])
  let visits = 0
  for (let level = levels.at(-1); level !== undefined; level = levels.at(-1)) {
    const next = level.rest.next()
    if (next.done === true) {
      open.delete(level.node)
      levels.pop()
      continue
    }
    if (++visits > MOST_VISITS) throw new FormatError('shares its parts so often that it never ends: refused.', { file })
    const [key, value] = next.value
    if (typeof value !== 'object' || value === null || value instanceof Uint8Array) continue
    const isContainer = value.kind === 'dict' || value.kind === 'list' || value.kind === 'tuple' || value.kind === 'set'
    if (!isContainer && value.kind !== 'tensor') continue
    const name = joined(level, key, value, file)
    if (value.kind === 'tensor') {
      if (found.has(name)) throw new FormatError('is the name of two tensors.', { file, tensor: name })
      found.set(name, tensorInfo(name, value))
      continue
    }
    if (open.has(value)) throw new FormatError('contains itself: refused.', { file, tensor: name })
    if (levels.length >= MOST_DEPTH) throw new FormatError(`is nested deeper than ${MOST_DEPTH} levels: refused.`, { file })
    open.add(value)
    levels.push({ node: value, prefix: name, rest: itemsOf(value) })
  }
  return [...found.values()]
}

function* itemsOf(node: PickleNode): Generator<readonly [PickleValue | number, PickleValue]> {
  if (node.kind === 'dict') for (const { key, value } of node.entries.values()) yield [key, value]
  if (node.kind === 'list' || node.kind === 'tuple' || node.kind === 'set') for (const [i, item] of node.items.entries()) yield [i, item]
}

function joined({ node, prefix }: Level, key: PickleValue | number, value: PickleNode, file: string): string {
  const isName = typeof key === 'string' || typeof key === 'bigint' || typeof key === 'number'
  const text = typeof key === 'boolean' ? (key ? 'True' : 'False') : isName ? String(key) : undefined
  if (value.kind === 'tensor' && (text === undefined || node.kind === 'set'))
    throw new UnsupportedError(`holds a tensor ${node.kind === 'set' ? 'in a set' : `whose key is ${describe(key)}`}: it has no name.`, {
      file,
      tensor: prefix,
    })
  return prefix === '' ? (text ?? '?') : `${prefix}.${text ?? '?'}`
}

/** As bytes that are packed and in order: a range of the file or record, or a view of it. */
function tensorInfo(name: string, { dtype, shape, storage, view, isPacked }: TensorNode): TensorInfo<Dtype> {
  const byteLength = elementCount(shape) * view.elementBytes
  const { source } = storage.place
  const offset = storage.place.offset + view.offset
  if (isPacked) return { name, dtype, shape, source, offset, byteLength }
  const strided: StridedDescriptor = { kind: 'strided', name: source.name, storage: source, view: { ...view, offset }, byteLength }
  return { name, dtype, shape, source: strided, offset: 0, byteLength }
}
