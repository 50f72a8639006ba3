/** PyTorch checkpoints made byte by byte, good and bad, for tests of their reader. */
import { crc32, deflateRawSync } from 'node:zlib'

export interface ZipRecord {
  readonly name: string
  readonly data: Uint8Array
  readonly deflated?: boolean
  /** Said instead of the true one. */
  readonly crc?: number
}

/** A zip archive, whose records follow each other. */
export function zipFile(records: readonly ZipRecord[]): Uint8Array {
  const bodies: Buffer[] = []
  const rows: Buffer[] = []
  let offset = 0
  for (const { name, data, deflated = false, crc = crc32(data) } of records) {
    const stored = deflated ? deflateRawSync(data) : data
    const common = Buffer.alloc(26)
    common.writeUInt16LE(20, 0)
    common.writeUInt16LE(deflated ? 8 : 0, 4)
    common.writeUInt32LE(crc, 10)
    common.writeUInt32LE(stored.byteLength, 14)
    common.writeUInt32LE(data.byteLength, 18)
    common.writeUInt16LE(Buffer.byteLength(name), 22)
    const body = Buffer.concat([Buffer.from('PK\x03\x04', 'latin1'), common, Buffer.from(name), stored])
    const place = Buffer.alloc(14)
    place.writeUInt32LE(offset, 10)
    rows.push(Buffer.concat([Buffer.from('PK\x01\x02\x14\0', 'latin1'), common, place, Buffer.from(name)]))
    bodies.push(body)
    offset += body.byteLength
  }
  const end = Buffer.alloc(22)
  end.write('PK\x05\x06', 'latin1')
  end.writeUInt16LE(records.length, 8)
  end.writeUInt16LE(records.length, 10)
  end.writeUInt32LE(Buffer.concat(rows).byteLength, 12)
  end.writeUInt32LE(offset, 16)
  return new Uint8Array(Buffer.concat([...bodies, ...rows, end]))
}

/** A tensor of a checkpoint. */
export interface PickledTensor {
  /** Keys of nested dicts, joined with `/`. */
  readonly name: string
  readonly shape: readonly number[]
  /** Of its storage. */
  readonly key: string
  readonly strides?: readonly number[]
  readonly offset?: number
  /** Class of the storage: FloatStorage unless given. */
  readonly storage?: string
  /** Elements of the storage; those of the shape unless given. */
  readonly count?: number
}

interface Make {
  readonly deflated?: boolean
  readonly byteOrder?: 'little' | 'big'
  /** The folder in the archive. */
  readonly top?: string
}

/** What torch.save writes of a dict of tensors. @param storages  bytes by key */
export function torchFile(
  tensors: readonly PickledTensor[],
  storages: Readonly<Record<string, Uint8Array>>,
  { deflated = false, byteOrder = 'little', top = 'archive' }: Make = {},
): Uint8Array {
  return zipFile([
    { name: `${top}/data.pkl`, data: pickle(dict(tensors)), deflated },
    { name: `${top}/byteorder`, data: Buffer.from(byteOrder) },
    ...Object.entries(storages).map(([key, data]) => ({ name: `${top}/data/${key}`, data, deflated })),
    { name: `${top}/version`, data: Buffer.from('3\n') },
  ])
}

/** The same as torch before 1.6 wrote it. @param storages  bytes and number of elements by key, in file order */
export function legacyFile(tensors: readonly PickledTensor[], storages: Readonly<Record<string, { bytes: Uint8Array; count: number }>>): Uint8Array {
  const keys = Object.keys(storages)
  const data = Object.values(storages).flatMap(({ bytes, count }) => {
    const length = Buffer.alloc(8)
    length.writeBigInt64LE(BigInt(count))
    return [length, bytes]
  })
  const magic = Buffer.from('8a0a6cfc9c46f9206aa85019', 'hex')
  const facts = Buffer.concat([Buffer.from('}'), pickledText('little_endian'), Buffer.from('\x88s', 'latin1')])
  const list = Buffer.concat([Buffer.from('](', 'latin1'), ...keys.map(pickledText), Buffer.from('e')])
  return new Uint8Array(Buffer.concat([pickle(magic), pickle(integer(1001)), pickle(facts), pickle(dict(tensors, true)), pickle(list), ...data]))
}

/** A pickle of protocol 2 around opcodes. */
export function pickle(body: Uint8Array): Buffer {
  return Buffer.concat([Buffer.from('\x80\x02', 'latin1'), body, Buffer.from('.')])
}

export function global(module: string, name: string): Buffer {
  return Buffer.from(`c${module}\n${name}\n`)
}

export function pickledText(text: string): Buffer {
  const length = Buffer.alloc(4)
  length.writeUInt32LE(Buffer.byteLength(text))
  return Buffer.concat([Buffer.from('X'), length, Buffer.from(text)])
}

export function integer(value: number): Buffer {
  const bytes = Buffer.alloc(10)
  bytes.write('\x8a\x08', 'latin1')
  bytes.writeBigInt64LE(BigInt(value), 2)
  return bytes
}

export function tuple(items: readonly Uint8Array[]): Buffer {
  return Buffer.concat([Buffer.from('('), ...items, Buffer.from('t')])
}

/** A dict of tensors; names with `/` become dicts in it. */
export function dict(tensors: readonly PickledTensor[], legacy = false): Buffer {
  const groups = new Map<string, PickledTensor[]>()
  const items: Buffer[] = []
  for (const tensor of tensors) {
    const [first = '', ...rest] = tensor.name.split('/')
    if (rest.length === 0) items.push(pickledText(first), pickledTensor(tensor, legacy))
    else groups.set(first, [...(groups.get(first) ?? []), { ...tensor, name: rest.join('/') }])
  }
  for (const [key, inner] of groups) items.push(pickledText(key), dict(inner, legacy))
  return Buffer.concat([Buffer.from('}('), ...items, Buffer.from('u')])
}

export function pickledTensor({ shape, strides = rowMajor(shape), offset = 0, key, storage = 'FloatStorage', count }: PickledTensor, legacy = false): Buffer {
  const elements = count ?? shape.reduce((product, one) => product * one, 1)
  const view = legacy ? [Buffer.from('N')] : []
  const id = tuple([pickledText('storage'), global('torch', storage), pickledText(key), pickledText('cpu'), integer(elements), ...view])
  const hooks = Buffer.concat([global('collections', 'OrderedDict'), Buffer.from(')R')])
  const args = [
    Buffer.concat([id, Buffer.from('Q')]),
    integer(offset),
    tuple(shape.map(integer)),
    tuple(strides.map(integer)),
    Buffer.from('\x89', 'latin1'),
    hooks,
  ]
  return Buffer.concat([global('torch._utils', '_rebuild_tensor_v2'), tuple(args), Buffer.from('R')])
}

function rowMajor(shape: readonly number[]): number[] {
  return shape.map((_, i) => shape.slice(i + 1).reduce((product, one) => product * one, 1))
}
