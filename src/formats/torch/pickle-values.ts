/**
 * What a pickle holds, as inert data: no value can do anything, and none is an object of a class that the file names.
 * Integers are bigint, floats are number; both come as wide as the file has them.
 */
import type { ByteDescriptor } from '../../core/bytes.js'
import type { Dtype } from '../../core/dtypes.js'
import { quoted } from '../../core/errors.js'
import type { StridedView } from '../../core/strided-view.js'
import type { AllowedGlobal } from './pickle-globals.js'

export type PickleValue = null | boolean | bigint | number | string | Uint8Array | PickleNode

export type PickleNode = ListNode | TupleNode | DictNode | SetNode | GlobalNode | StorageNode | TensorNode | InertNode

export interface ListNode {
  readonly kind: 'list'
  readonly items: PickleValue[]
}

export interface TupleNode {
  readonly kind: 'tuple'
  readonly items: readonly PickleValue[]
}

export interface DictNode {
  readonly kind: 'dict'
  /** Of OrderedDict, which may be given a state (`_metadata`) that nobody needs. */
  readonly ordered: boolean
  /** By what makes a key unique, in the order they were set. */
  readonly entries: Map<string, { readonly key: PickleValue; readonly value: PickleValue }>
}

export interface SetNode {
  readonly kind: 'set'
  readonly items: PickleValue[]
}

/** A class or function that the file names; always a row of the allow-list. */
export interface GlobalNode {
  readonly kind: 'global'
  readonly name: string
  readonly global: AllowedGlobal
}

/** The numbers of one or more tensors, where they lie. */
export interface StorageNode {
  readonly kind: 'storage'
  readonly key: string
  /** Undefined when the storage is untyped: the tensor says. */
  readonly dtype: Dtype | undefined
  readonly place: StoragePlace
  /** First byte, counted from the place. */
  readonly from: number
  readonly byteLength: number
  readonly bigEndian: boolean
}

/** Where a record begins. Legacy files say so only after the pickle that uses it. */
export interface StoragePlace {
  readonly source: Exclude<ByteDescriptor, { kind: 'strided' }>
  offset: number
}

export interface TensorNode {
  readonly kind: 'tensor'
  readonly dtype: Dtype
  readonly shape: readonly number[]
  readonly storage: StorageNode
  /** How it lies in its storage, counted from the storage's place. */
  readonly view: StridedView
  readonly isPacked: boolean
}

/** Something harmless that holds no tensor and that nobody needs (a numpy scalar, a device). */
export interface InertNode {
  readonly kind: 'inert'
}

export const INERT: InertNode = Object.freeze({ kind: 'inert' })

/** `a list`, for messages. */
export function describe(value: PickleValue | undefined): string {
  if (value === undefined) return 'nothing'
  if (value === null) return 'None'
  if (value instanceof Uint8Array) return 'bytes'
  if (typeof value !== 'object') return { boolean: 'a bool', bigint: 'an int', number: 'a float', string: 'a text' }[typeof value as 'boolean']
  return value.kind === 'inert' ? 'an object' : `a ${value.kind}`
}

export function isNode<K extends PickleNode['kind']>(value: PickleValue | undefined, kind: K): value is Extract<PickleNode, { kind: K }> {
  return typeof value === 'object' && value !== null && 'kind' in value && value.kind === kind
}

/**
 * The same text for keys that Python holds for equal (1, 1.0 and True), or undefined for values that cannot be keys.
 * @param count  of keys so far: what compares by identity here (tuples, constants) gets a text of its own
 */
function keyText(key: PickleValue, count: number): string | undefined {
  if (typeof key === 'string') return `text ${key}`
  if (typeof key === 'bigint') return `int ${key}`
  if (typeof key === 'boolean') return `int ${Number(key)}`
  if (typeof key === 'number') return Number.isInteger(key) ? `int ${BigInt(key)}` : `float ${key}`
  if (key === null) return 'None'
  if (key instanceof Uint8Array) return `bytes ${key.join()}`
  return key.kind === 'tuple' || key.kind === 'global' || key.kind === 'inert' ? `object ${count}` : undefined
}

/** Sets an item of a dict. @returns what is wrong with the key, if anything is */
export function setItem(dict: DictNode, key: PickleValue, value: PickleValue): string | undefined {
  const text = keyText(key, dict.entries.size)
  if (text === undefined) return `has ${describe(key)} as the key of a dict.`
  if (dict.entries.has(text)) return `gives a dict the same key twice${typeof key === 'string' ? `, ${quoted(key)}` : ''}.`
  dict.entries.set(text, { key, value })
  return undefined
}
