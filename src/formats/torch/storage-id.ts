/** Persistent ids of pickles: `("storage", type, key, location, count)`, in legacy files with a view of another storage behind. */
import { elementBytes, type Dtype } from '../../core/dtypes.js'
import type { FormatError } from '../../core/errors.js'
import { describe, isNode, type PickleValue } from './pickle-values.js'

/** Checked in itself; whether there is such a storage is for the container to find out. */
export interface StorageId {
  readonly key: string
  /** Undefined: untyped, counted in bytes. */
  readonly dtype: Dtype | undefined
  readonly byteLength: number
  /** The rest of the id: nothing in archives, the view in legacy files. */
  readonly rest: readonly PickleValue[]
}

const WANTED = '("storage", type, key, location, count) is wanted'

/** @param fail  makes an error that says where in the file */
export function readStorageId(id: readonly PickleValue[], fail: (what: string) => FormatError): StorageId {
  const [what, type, key, location, count, ...rest] = id
  if (what !== 'storage') throw fail(`has a persistent id of another kind; ${WANTED}.`)
  if (!isNode(type, 'global') || type.global.is !== 'storage')
    throw fail(`has ${isNode(type, 'global') ? type.name : describe(type)} as the type of a storage.`)
  if (typeof key !== 'string') throw fail(`has ${describe(key)} as the key of a storage; ${WANTED}.`)
  if (typeof location !== 'string') throw fail(`has ${describe(location)} as the location of a storage; ${WANTED}.`)
  if (typeof count !== 'bigint') throw fail(`has ${describe(count)} as the length of a storage; ${WANTED}.`)
  const { dtype } = type.global
  const size = dtype === undefined ? 1 : elementBytes(dtype)
  if (count < 0n || count > BigInt(Number.MAX_SAFE_INTEGER) / BigInt(size)) throw fail(`has a storage of ${count} elements.`)
  return { key, dtype, byteLength: Number(count) * size, rest }
}

/** Bytes of a number in a storage of this type. */
export function unitBytes(dtype: Dtype | undefined): number {
  return dtype === undefined ? 1 : elementBytes(dtype)
}
