/** PyTorch files of plain tensors: written for tests, and read with every record held against its checksum. */
import { writeFileSync } from 'node:fs'
import { checkMember } from '../../src/core/members.js'
import { readCheckpoint } from '../../src/formats/torch/checkpoint.js'
import { openDescriptor, openFile } from '../../src/sources/files.js'
import type { PlainTensor } from './plain-tensors.js'
import { torchFile } from './torch-file.js'

const STORAGES: Readonly<Record<string, string>> = { F32: 'FloatStorage', F16: 'HalfStorage', BF16: 'BFloat16Storage', I64: 'LongStorage', BOOL: 'BoolStorage' }

/** @param under  key of a dict that the tensors lie in: `model` @returns the path */
export function writeTorchFile(path: string, tensors: Readonly<Record<string, PlainTensor>>, under?: string): string {
  const all = Object.entries(tensors)
  const pickled = all.map(([name, { dtype, shape }], i) => ({
    name: under === undefined ? name : `${under}/${name}`,
    shape,
    key: String(i),
    storage: STORAGES[dtype] ?? 'FloatStorage',
  }))
  writeFileSync(path, torchFile(pickled, Object.fromEntries(all.map(([, { bytes }], i) => [String(i), bytes]))))
  return path
}

export async function readTorchFile(path: string): Promise<Map<string, PlainTensor>> {
  const source = await openFile(path)
  const { tensors, members } = await readCheckpoint(source)
  for (const member of members) await checkMember(member, source)
  const read = new Map<string, PlainTensor>()
  for (const { name, dtype, shape, source: place, offset, byteLength } of tensors) {
    const bytes = new Uint8Array(byteLength)
    await openDescriptor(place).read(bytes, offset)
    read.set(name, { dtype, shape, bytes })
  }
  return read
}
