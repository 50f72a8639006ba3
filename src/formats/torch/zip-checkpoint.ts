/**
 * The archive that torch.save writes: `NAME/data.pkl` (a pickle), `NAME/data/KEY` (a storage each), `NAME/byteorder`,
 * `NAME/version`. NAME is any path; torch takes the file's.
 */
import type { ByteSource, MemberDescriptor } from '../../core/bytes.js'
import { FormatError, nameList, quoted, UnsupportedError } from '../../core/errors.js'
import { readMember } from '../../core/members.js'
import { readPickle } from './pickle-machine.js'
import type { PickleValue, StorageNode } from './pickle-values.js'
import { readStorageId } from './storage-id.js'
import { readZipArchive } from './zip-archive.js'

/** Largest pickle that is read: a checkpoint of 91,000 tensors makes 14 MB. */
export const MAX_PICKLE_BYTES = 32_000_000

const MOST_BYTEORDER_BYTES = 16

/** What a container gave. */
export interface PickledCheckpoint {
  readonly root: PickleValue
  /** Every record of an archive, for checksums; empty where there are none. */
  readonly members: readonly MemberDescriptor[]
}

/** @throws FormatError, UnsupportedError */
export async function readZipCheckpoint(source: ByteSource): Promise<PickledCheckpoint> {
  const records = await readZipArchive(source)
  const top = topFolder(source, [...records.keys()])
  const pickle = records.get(`${top}data.pkl`)
  if (pickle === undefined) throw notACheckpoint(source, [...records.keys()])
  const bigEndian = await isBigEndian(source, records.get(`${top}byteorder`))
  const bytes = await readMember(pickle, source, MAX_PICKLE_BYTES)
  const storages = new Map<string, StorageNode>()
  const findStorage = (id: readonly PickleValue[], fail: (what: string) => FormatError): StorageNode => {
    const { key, dtype, byteLength, rest } = readStorageId(id, fail)
    if (rest.length > 0) throw fail(`has a persistent id of ${5 + rest.length} parts; 5 are wanted.`)
    const known = storages.get(key)
    if (known !== undefined) {
      if (known.dtype === dtype && known.byteLength === byteLength) return known
      throw fail(
        `has storage ${quoted(key)} as ${byteLength} bytes of ${dtype ?? 'no type'} here, as ${known.byteLength} of ${known.dtype ?? 'no type'} before.`,
      )
    }
    const record = records.get(`${top}data/${key}`)
    if (record === undefined) throw fail(`needs storage ${quoted(key)}, which is not in the archive: the file is incomplete.`)
    if (record.byteLength !== byteLength) throw fail(`says that storage ${quoted(key)} has ${byteLength} bytes; its record has ${record.byteLength}.`)
    const storage: StorageNode = { kind: 'storage', key, dtype, place: { source: record, offset: 0 }, from: 0, byteLength, bigEndian }
    storages.set(key, storage)
    return storage
  }
  const { value, end } = readPickle(bytes, 0, { file: source.name, part: 'data.pkl', base: 0 }, findStorage)
  if (end !== bytes.byteLength) throw new FormatError('goes on after its STOP: refused, nothing was run.', { file: source.name, offset: end, part: 'data.pkl' })
  return { root: value, members: [...records.values()] }
}

/** The one folder that holds everything, with its slash. */
function topFolder(source: ByteSource, names: readonly string[]): string {
  const pickles = names.filter((name) => /(?:^|\/)data\.pkl$/i.test(name))
  const [pickle] = pickles
  if (pickle === undefined) throw notACheckpoint(source, names)
  if (pickles.length > 1) throw new FormatError(`holds ${nameList(pickles)}: which one is meant?`, { file: source.name })
  const top = pickle.slice(0, -'data.pkl'.length)
  if (top === '') throw new FormatError('holds data.pkl without a folder around it, which no torch.save writes.', { file: source.name })
  if (names.some((name) => name.startsWith(`${top}code/`) || name === `${top}constants.pkl`))
    throw new UnsupportedError('is a TorchScript archive: load it with torch.jit.load and save its state_dict() with torch.save.', { file: source.name })
  const outside = names.filter((name) => !name.startsWith(top))
  if (outside.length > 0)
    throw new FormatError(`holds ${nameList(outside)} outside of ${quoted(top)}: it was not written by torch.save.`, { file: source.name })
  return top
}

function notACheckpoint(source: ByteSource, names: readonly string[]): FormatError {
  const kind = names.some((name) => name.endsWith('.npy'))
    ? 'a numpy archive (.npz)'
    : names.some((name) => name.endsWith('.h5'))
      ? 'a Keras archive'
      : 'a zip archive'
  const found = names.length === 0 ? 'it is empty' : `it holds ${nameList(names, 3)}`
  return new FormatError(`is ${kind} without NAME/data.pkl, no PyTorch checkpoint: ${found}.`, { file: source.name })
}

async function isBigEndian(source: ByteSource, record: MemberDescriptor | undefined): Promise<boolean> {
  if (record === undefined) return false // torch before 2.1 wrote none, on little-endian machines
  const order = new TextDecoder().decode(await readMember(record, source, MOST_BYTEORDER_BYTES))
  if (order !== 'little' && order !== 'big')
    throw new FormatError(`has the byte order ${quoted(order)}; little or big is wanted.`, { file: source.name, offset: record.offset })
  return order === 'big'
}
