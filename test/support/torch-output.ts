/** Tensors of a PyTorch file as plain bytes, every record held against its checksum: what tests compare outputs with. */
import { checkMember } from '../../src/core/members.js'
import { readCheckpoint } from '../../src/formats/torch/checkpoint.js'
import { openDescriptor, openFile } from '../../src/sources/files.js'
import type { PlainTensor } from './plain-tensors.js'

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
