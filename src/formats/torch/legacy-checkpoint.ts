/**
 * The format of torch before 1.6, without a zip archive, still written with `_use_new_zipfile_serialization=False`.
 *
 *   five pickles: magic number, protocol 1001, facts of the machine, the object, list of storage keys
 *   then each storage, in the list's order: [i64 number of elements][elements]
 *
 * Law: torch `_legacy_load` (2.15), which takes memory before it reads and believes an empty list; here every storage that the
 * object uses is in the list once, as long as the object says, and the file ends with the last one.
 */
import type { ByteSource } from '../../core/bytes.js'
import { FormatError, quoted } from '../../core/errors.js'
import { describe, isNode, type PickleValue, type StorageNode } from './pickle-values.js'
import { readPickle, type FindStorage } from './pickle-machine.js'
import { readStorageId, unitBytes } from './storage-id.js'
import { bytesAt, viewOf } from './zip-directory.js'
import { MAX_PICKLE_BYTES, type PickledCheckpoint } from './zip-checkpoint.js'

const MAGIC = 0x1950a86a20f9469cfc6cn
const PROTOCOL = 1001n
const COUNT_BYTES = 8

const PENDING = -1 // a place that is not known yet

/** @throws FormatError, UnsupportedError */
export async function readLegacyCheckpoint(source: ByteSource): Promise<PickledCheckpoint> {
  const bytes = await bytesAt(source, 0, Math.min(source.byteLength, MAX_PICKLE_BYTES))
  let at = 0
  const next = (findStorage?: FindStorage): PickleValue => {
    const { value, end } = readPickle(bytes, at, { file: source.name, part: undefined, base: 0 }, findStorage)
    at = end
    return value
  }
  const wrong = (offset: number, what: string): FormatError => new FormatError(what, { file: source.name, offset })
  if (next() !== MAGIC) throw wrong(0, 'is a pickle, but no PyTorch checkpoint: nothing of it was run.')
  const protocolAt = at
  if (next() !== PROTOCOL) throw wrong(protocolAt, `is a checkpoint of another protocol than ${PROTOCOL}.`)
  const machineAt = at
  if (!isLittleEndian(next())) throw wrong(machineAt, 'was written on a big-endian machine: load it there and save it again.')
  const storages = new Map<string, StorageNode>()
  const root = next((id, fail) => findStorage(source, storages, id, fail))
  const keysAt = at
  const keys = next()
  if (!isNode(keys, 'list')) throw wrong(keysAt, 'has no list of storages.')
  await placeStorages(source, storages, keys.items, at)
  return { root, members: [] }
}

function isLittleEndian(facts: PickleValue): boolean {
  return isNode(facts, 'dict') && [...facts.entries.values()].every(({ key, value }) => key !== 'little_endian' || value === true)
}

function findStorage(source: ByteSource, storages: Map<string, StorageNode>, id: readonly PickleValue[], fail: (what: string) => FormatError): StorageNode {
  const { key, dtype, byteLength, rest } = readStorageId(id, fail)
  if (rest.length > 1) throw fail(`has a persistent id of ${5 + rest.length} parts; 5 or 6 are wanted.`)
  const { descriptor } = source
  if (descriptor.kind === 'strided') throw fail('is read from a view.')
  let storage = storages.get(key)
  if (storage === undefined) {
    storage = { kind: 'storage', key, dtype, place: { source: descriptor, offset: PENDING }, from: 0, byteLength, bigEndian: false }
    storages.set(key, storage)
  } else if (storage.dtype !== dtype || storage.byteLength !== byteLength) {
    throw fail(`has storage ${quoted(key)} with another type or length here than before.`)
  }
  const [view = null] = rest
  return view === null ? storage : viewedStorage(storage, view, fail)
}

/** Part of a storage, as torch before 0.4 had it: `(key of the view, first element, number of elements)`. */
function viewedStorage(storage: StorageNode, view: PickleValue, fail: (what: string) => FormatError): StorageNode {
  const [key, offset, count, ...rest] = isNode(view, 'tuple') ? view.items : []
  if (typeof key !== 'string' || typeof offset !== 'bigint' || typeof count !== 'bigint' || rest.length > 0) throw fail('has a view of a storage that is none.')
  const size = unitBytes(storage.dtype)
  const elements = BigInt(storage.byteLength / size)
  if (offset < 0n || count < 0n || offset + count > elements) throw fail(`has a view of elements ${offset} to ${offset + count} of a storage of ${elements}.`)
  return { ...storage, from: Number(offset) * size, byteLength: Number(count) * size }
}

/** Finds each storage that the list names, in its order, and that nothing else is there. */
async function placeStorages(source: ByteSource, storages: ReadonlyMap<string, StorageNode>, keys: readonly PickleValue[], start: number): Promise<void> {
  let at = start
  for (const key of keys) {
    const fail = (what: string): FormatError => new FormatError(what, { file: source.name, offset: at })
    const storage = typeof key === 'string' ? storages.get(key) : undefined
    if (storage === undefined) throw fail(`holds a storage ${typeof key === 'string' ? quoted(key) : describe(key)} that no tensor has.`)
    if (storage.place.offset !== PENDING) throw fail(`holds storage ${quoted(storage.key)} twice.`)
    if (at + COUNT_BYTES > source.byteLength) throw fail('ends before the storages that its tensors need: the file is cut short.')
    const count = viewOf(await bytesAt(source, at, COUNT_BYTES)).getBigInt64(0, true)
    const wanted = storage.byteLength / unitBytes(storage.dtype)
    if (count !== BigInt(wanted)) throw fail(`holds ${count} elements of storage ${quoted(storage.key)}; the tensors say ${wanted}.`)
    storage.place.offset = at + COUNT_BYTES
    at += COUNT_BYTES + storage.byteLength
    if (at > source.byteLength) throw fail(`ends inside storage ${quoted(storage.key)}: the file is cut short.`)
  }
  const missing = [...storages.values()].find(({ place }) => place.offset === PENDING)
  if (missing !== undefined) throw new FormatError(`does not hold storage ${quoted(missing.key)}, which a tensor needs.`, { file: source.name, offset: at })
  if (at !== source.byteLength) throw new FormatError(`has ${source.byteLength - at} bytes after its last storage.`, { file: source.name, offset: at })
}
