/**
 * Synchronous positioned reads for one worker: each worker opens its own handles from the plan's descriptors and reads
 * straight into its buffers. Notices a file that changed since it was planned.
 */
import { closeSync, fstatSync, openSync, readSync } from 'node:fs'
import { cutShort, type ByteDescriptor, type FileDescriptor, type MemberDescriptor, type MemoryDescriptor } from '../core/bytes.js'
import { FormatError, InternalError } from '../core/errors.js'
import { fileSystemError } from '../core/file-errors.js'
import { readStrided } from '../core/strided-view.js'
import { openDirectFile, type DirectFile } from './direct-file.js'

/** Reads bytes of the plan's inputs. Close it when the run ends. */
export interface TileReader {
  /** Fills `into` from `position` on. @throws FormatError when the file is shorter or changed */
  read(source: ByteDescriptor, into: Uint8Array, position: number): void
  /** Checks once more that no file changed since it was planned. @throws FormatError */
  checkUnchanged(): void
  close(): void
}

/** Deflated archive records, inflated into files of their own, or into memory: by {@link memberKey}. */
export type InflatedMembers = ReadonlyMap<string, FileDescriptor | MemoryDescriptor>

/** Names a record of an archive, whoever opened it. */
export function memberKey({ container, offset }: MemberDescriptor): string {
  return `${container.kind === 'file' ? container.path : container.name}@${offset}`
}

interface OpenFile {
  readonly handle: number
  readonly source: FileDescriptor
  /** For large files that are not cached, where the system has it. */
  direct: DirectFile | undefined
}

export function createTileReader(inflated: InflatedMembers = new Map()): TileReader {
  const handles = new Map<string, OpenFile>()

  function fileOf(source: FileDescriptor): OpenFile {
    const known = handles.get(source.path)
    if (known !== undefined) return known
    let handle: number
    try {
      handle = openSync(source.path, 'r')
    } catch (error) {
      throw fileSystemError(error, source.name, 'opened')
    }
    const file: OpenFile = { handle, source, direct: undefined }
    handles.set(source.path, file)
    checkUnchanged(handle, source)
    file.direct = openDirectFile(source.path, source.byteLength, handle)
    return file
  }

  function read(source: ByteDescriptor, into: Uint8Array, position: number): void {
    if (position + into.byteLength > source.byteLength) throw cutShort(source.name, position, into.byteLength, source.byteLength)
    switch (source.kind) {
      case 'memory':
        return into.set(source.bytes.subarray(position, position + into.byteLength))
      case 'member':
        return source.deflated ? read(inflatedMember(source), into, position) : read(source.container, into, source.offset + position)
      case 'strided':
        return readStrided(source.view, into, position, (bytes, at) => read(source.storage, bytes, at))
      case 'file':
        return readFile(source, into, position)
    }
  }

  function readFile(source: FileDescriptor, into: Uint8Array, position: number): void {
    const { handle, direct } = fileOf(source)
    for (let done = 0; done < into.byteLength;) {
      const count = readPart(handle, direct, source.name, into, done, position + done)
      if (count === 0) throw cutShort(source.name, position, into.byteLength, position + done)
      done += count
    }
  }

  function inflatedMember(member: MemberDescriptor): FileDescriptor | MemoryDescriptor {
    const found = inflated.get(memberKey(member))
    if (found === undefined) throw new InternalError(`record ${member.part} was not inflated before it is read`, { file: member.name })
    return found
  }

  return {
    read,
    checkUnchanged() {
      for (const { handle, source } of handles.values()) checkUnchanged(handle, source)
    },
    close() {
      for (const { handle, direct } of handles.values()) {
        closeSync(handle)
        direct?.close()
      }
      handles.clear()
    },
  }
}

function readPart(handle: number, direct: DirectFile | undefined, name: string, into: Uint8Array, from: number, position: number): number {
  try {
    return direct?.read(into.subarray(from), position) ?? readSync(handle, into, from, into.byteLength - from, position)
  } catch (error) {
    throw fileSystemError(error, name, 'read')
  }
}

function checkUnchanged(handle: number, source: FileDescriptor): void {
  const now = fstatSync(handle)
  if (now.size !== source.byteLength || now.mtimeMs !== source.modifiedMs || now.ino !== source.inode) {
    throw new FormatError('changed while it was read; nothing was written. Run again when no one writes to it.', { file: source.name })
  }
}
