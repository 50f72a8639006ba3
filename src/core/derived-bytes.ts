/** Opens descriptors that are made of others: archive records and strided views, over files or memory that the host opens. */
import { boundedSource, cutShort, type ByteDescriptor, type ByteSource, type FileDescriptor, type MemberDescriptor, type MemoryDescriptor } from './bytes.js'
import { memberPieces, readMember } from './members.js'
import { readStridedAsync } from './strided-view.js'

const KEPT_BYTES = 1 << 26 // deflated records up to this size are kept inflated; larger ones are inflated as they are read on

/**
 * Opens any descriptor.
 * @param openRoot  opens files and memory
 */
export function openDerived(descriptor: ByteDescriptor, openRoot: (root: FileDescriptor | MemoryDescriptor) => ByteSource): ByteSource {
  switch (descriptor.kind) {
    case 'file':
    case 'memory':
      return openRoot(descriptor)
    case 'member':
      return descriptor.deflated ? inflatedSource(descriptor, openRoot(descriptor.container)) : storedSource(descriptor, openRoot(descriptor.container))
    case 'strided': {
      const { view } = descriptor
      const storage = openDerived(descriptor.storage, openRoot)
      return boundedSource(descriptor, (into, position) => readStridedAsync(view, into, position, (bytes, at) => storage.read(bytes, at)))
    }
  }
}

function storedSource(member: MemberDescriptor, container: ByteSource): ByteSource {
  return boundedSource(member, (into, position) => container.read(into, member.offset + position))
}

function inflatedSource(member: MemberDescriptor, container: ByteSource): ByteSource {
  if (member.byteLength > KEPT_BYTES) return streamedSource(member, container)
  let all: Promise<Uint8Array> | undefined
  return boundedSource(member, async (into, position) => {
    all ??= readMember(member, container, KEPT_BYTES)
    into.set((await all).subarray(position, position + into.byteLength))
  })
}

/** Reads on from where the last read ended; a read further back begins again. One read at a time. */
function streamedSource(member: MemberDescriptor, container: ByteSource): ByteSource {
  let pieces = memberPieces(member, container)
  let piece = new Uint8Array(0)
  let pieceStart = 0
  return boundedSource(member, async (into, position) => {
    if (position < pieceStart) {
      await pieces.return()
      pieces = memberPieces(member, container)
      piece = new Uint8Array(0)
      pieceStart = 0
    }
    for (let done = 0; done < into.byteLength;) {
      const from = position + done - pieceStart
      if (from < piece.byteLength) {
        const part = piece.subarray(from, from + into.byteLength - done)
        into.set(part, done)
        done += part.byteLength
        continue
      }
      pieceStart += piece.byteLength
      const next = await pieces.next()
      if (next.done === true) throw cutShort(member.name, position, into.byteLength, pieceStart)
      piece = new Uint8Array(next.value)
    }
  })
}
