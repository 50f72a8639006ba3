/**
 * Where the elements of a tensor lie in its storage. Everything is counted in integers of any size until it is proven to
 * lie inside, so that no size, stride or offset can wrap around.
 *
 * Law: torch `set_storage`: offset + Σ (size − 1)·stride < elements of the storage. Stricter here: at most 64
 * dimensions, no negative strides, and no view that is a thousand times its storage.
 */
import { DTYPES, type Dtype } from '../../core/dtypes.js'
import type { FormatError } from '../../core/errors.js'
import { describe, isNode, type PickleValue, type StorageNode, type TensorNode } from './pickle-values.js'

const MOST_DIMENSIONS = 64
const MOST_EXPANSION = 8n // copies of each stored element that a view may show, on average
const EXPANSION_SLACK_BYTES = 1n << 20n // for tiny storages: a scalar that was expanded to a bias

/** Flags of a tensor that change signs without changing its storage. */
export interface LazySigns {
  readonly neg: boolean
  readonly conj: boolean
}

interface Unchecked {
  readonly offset: PickleValue | undefined
  readonly size: PickleValue | undefined
  readonly stride: PickleValue | undefined
}

/** @param fail  makes an error that says where in the file */
export function tensorNode(storage: StorageNode, dtype: Dtype, unchecked: Unchecked, signs: LazySigns, fail: (what: string) => FormatError): TensorNode {
  const elementBytes = DTYPES[dtype].bits / 8
  const offset = unchecked.offset
  const size = integers(unchecked.size, 'size', fail)
  const stride = integers(unchecked.stride, 'stride', fail)
  if (typeof offset !== 'bigint' || offset < 0n) throw fail(`has a tensor at offset ${typeof offset === 'bigint' ? offset : describe(offset)} of its storage.`)
  if (size.length !== stride.length) throw fail(`has a tensor of ${size.length} dimensions with ${stride.length} strides.`)
  const elements = size.reduce((product, one) => product * one, 1n)
  const last = size.reduce((sum, one, i) => sum + (one - 1n) * (stride[i] ?? 0n), offset)
  const stored = BigInt(Math.floor(storage.byteLength / elementBytes))
  if (elements > 0n && last >= stored) throw fail(`has a tensor that reaches to element ${last} of a storage of ${stored}.`)
  if (elements * BigInt(elementBytes) > BigInt(storage.byteLength) * MOST_EXPANSION + EXPANSION_SLACK_BYTES)
    throw fail(`expands a storage of ${storage.byteLength} bytes to a tensor of ${elements} elements: save the tensor itself, by contiguous().`)
  const isEmpty = elements === 0n
  // of an empty tensor only the shape matters: its offset and strides may be anything
  const shape = size.map((one) => exact(one, fail))
  const strides = isEmpty ? shape.map(() => 0) : stride.map((one, i) => (shape[i] === 1 ? 0 : exact(one, fail)))
  const view = {
    offset: storage.from + (isEmpty ? 0 : exact(offset, fail) * elementBytes),
    elementBytes,
    shape,
    strides,
    reversedBytes: storage.bigEndian ? numberBytes(dtype) : 1,
    flippedBytes: flippedBytes(dtype, signs, fail),
  }
  const isPacked = isEmpty || (view.reversedBytes === 1 && view.flippedBytes.length === 0 && isRowMajor(shape, strides))
  return { kind: 'tensor', dtype, shape, storage, view, isPacked }
}

function integers(value: PickleValue | undefined, what: string, fail: (what: string) => FormatError): bigint[] {
  if (!isNode(value, 'tuple')) throw fail(`has a tensor whose ${what} is ${describe(value)}; a tuple is wanted.`)
  if (value.items.length > MOST_DIMENSIONS) throw fail(`has a tensor of ${value.items.length} dimensions; at most ${MOST_DIMENSIONS} are read.`)
  return value.items.map((item) => {
    if (typeof item !== 'bigint') throw fail(`has a tensor whose ${what} holds ${describe(item)}; integers are wanted.`)
    if (item < 0n) throw fail(`has a tensor whose ${what} holds ${item}.`)
    return item
  })
}

function exact(value: bigint, fail: (what: string) => FormatError): number {
  if (value > BigInt(Number.MAX_SAFE_INTEGER)) throw fail(`has a tensor with the number ${value}, which is too large.`)
  return Number(value)
}

function isRowMajor(shape: readonly number[], strides: readonly number[]): boolean {
  let packed = 1
  for (let i = shape.length - 1; i >= 0; i--) {
    if (shape[i] !== 1 && strides[i] !== packed) return false
    packed *= shape[i] ?? 1
  }
  return true
}

/** A complex number is two numbers. */
function numberBytes(dtype: Dtype): number {
  return DTYPES[dtype].bits / (DTYPES[dtype].kind === 'complex' ? 16 : 8)
}

function flippedBytes(dtype: Dtype, { neg, conj }: LazySigns, fail: (what: string) => FormatError): number[] {
  const { kind, bits } = DTYPES[dtype]
  if (kind === 'complex') {
    const [real, imaginary] = [bits / 16 - 1, bits / 8 - 1]
    return [...(neg ? [real] : []), ...(neg !== conj ? [imaginary] : [])]
  }
  if (!neg) return [] // conj of a real number is the number
  if (kind !== 'float' || bits < 16) throw fail(`has a tensor of ${dtype} that is negated by a flag: not supported.`)
  return [bits / 8 - 1]
}
