/**
 * Where bytes come from and go to. Everything above this file sees these interfaces only, so that files, memory,
 * URLs and zip members read alike, and a browser can host the same plan. Node's files are in src/sources and src/engine.
 */
import { FormatError } from './errors.js'
import type { StridedView } from './strided-view.js'

/**
 * Plain data from which any thread can open its own reader of the same bytes; it names no open handle. Files and memory
 * are roots; archive records and strided views are read from one, so that a tensor's bytes are always packed and in order. Size, time and
 * inode are those of the moment it was opened: who opens it again finds out whether the file changed meanwhile.
 */
export type ByteDescriptor = FileDescriptor | MemoryDescriptor | MemberDescriptor | StridedDescriptor

export interface FileDescriptor {
  readonly kind: 'file'
  readonly name: string
  readonly path: string
  readonly byteLength: number
  readonly modifiedMs: number
  readonly inode: number
}

export interface MemoryDescriptor {
  readonly kind: 'memory'
  readonly name: string
  readonly bytes: Uint8Array
  readonly byteLength: number
}

/** One record of a zip archive, as it reads after inflation. A deflated one cannot be read here and there: core/members.ts. */
export interface MemberDescriptor {
  readonly kind: 'member'
  /** The archive's, for messages. */
  readonly name: string
  /** Name of the record in the archive. */
  readonly part: string
  readonly container: FileDescriptor | MemoryDescriptor
  /** Where its bytes begin in the container. */
  readonly offset: number
  /** Bytes that it takes there. */
  readonly storedLength: number
  readonly deflated: boolean
  readonly byteLength: number
  /** Of the inflated bytes; whoever uses the record checks it once. */
  readonly crc32: number
}

/** The elements of a view (core/strided-view.ts), packed, row major, little-endian. */
export interface StridedDescriptor {
  readonly kind: 'strided'
  readonly name: string
  readonly storage: FileDescriptor | MemoryDescriptor | MemberDescriptor
  readonly view: StridedView
  readonly byteLength: number
}

/** Random access to bytes of a known length. */
export interface ByteSource {
  /** What messages call it: as the user named it, or relative to the folder the user named. */
  readonly name: string
  readonly byteLength: number
  readonly descriptor: ByteDescriptor
  /**
   * Fills `into` with the bytes from `position` on. The caller owns `into`.
   * @throws FormatError when the source ends before `into` is full
   */
  read(into: Uint8Array, position: number): Promise<void>
}

/** Opens a descriptor; given by the host. The caller closes what it opened when the host says so. */
export type OpenBytes = (descriptor: ByteDescriptor) => ByteSource

/** One entry of a folder that the user named. */
export interface FolderEntry {
  /** File name inside the folder, `/` between levels. */
  readonly name: string
  readonly byteLength: number
}

/** A folder of files (a model, an adapter), read only. Names are relative, `/` separated, and never leave the folder. */
export interface Folder {
  /** As the user named it; for messages. */
  readonly label: string
  /** Last part of its absolute path: the name that metadata is derived from. */
  readonly baseName: string
  /** Regular files of the folder (links resolved), of its subfolders only `additional_chat_templates/*`, in code-point order. */
  readonly entries: readonly FolderEntry[]
  has(name: string): boolean
  /** @throws FileSystemError when there is no such regular file */
  open(name: string): Promise<ByteSource>
}

/** What a descriptor's bytes come from in the end: a file, or memory. */
export function rootOf(descriptor: ByteDescriptor): FileDescriptor | MemoryDescriptor {
  if (descriptor.kind === 'strided') return rootOf(descriptor.storage)
  return descriptor.kind === 'member' ? descriptor.container : descriptor
}

/** Accepts bytes at known positions, each byte once, in any order; the host makes the whole atomic. */
export interface ByteSink {
  /**
   * Writes all of `bytes`: at once, or while other work is done, and then they must stay as they are until the promise is kept.
   * @throws FileSystemError, or rejects with it
   */
  write(bytes: Uint8Array, position: number): Promise<void> | undefined
  close(): void
}

/** A source over bytes in memory; the caller keeps ownership and must not change them. */
export function memorySource(name: string, bytes: Uint8Array): ByteSource {
  return boundedSource({ kind: 'memory', name, bytes, byteLength: bytes.byteLength }, async (into, position) =>
    into.set(bytes.subarray(position, position + into.byteLength)),
  )
}

/**
 * A source that refuses what lies outside of it.
 * @param read  called for at least one byte, all of them inside
 */
export function boundedSource(descriptor: ByteDescriptor, read: (into: Uint8Array, position: number) => Promise<void>): ByteSource {
  const { name, byteLength } = descriptor
  return {
    name,
    byteLength,
    descriptor,
    async read(into, position) {
      if (position < 0 || position + into.byteLength > byteLength) throw cutShort(name, position, into.byteLength, byteLength)
      if (into.byteLength > 0) await read(into, position)
    },
  }
}

/**
 * Reads a whole small file.
 * @param most  limit in bytes; larger files are refused before memory is taken
 */
export async function readAll(source: ByteSource, most: number): Promise<Uint8Array> {
  if (source.byteLength > most)
    throw new FormatError(`is ${source.byteLength} bytes, more than the ${most} that a file of this kind may have.`, { file: source.name })
  const bytes = new Uint8Array(source.byteLength)
  await source.read(bytes, 0)
  return bytes
}

/** The error of a source that ends too early. */
export function cutShort(name: string, position: number, wanted: number, byteLength: number): FormatError {
  return new FormatError(`${wanted} bytes wanted, ${Math.max(0, byteLength - position)} left: the file is cut short or changed while it was read.`, {
    file: name,
    offset: position,
  })
}

/** The bytes of a typed array, not copied. */
export function bytesOf(values: ArrayBufferView): Uint8Array {
  return new Uint8Array(values.buffer, values.byteOffset, values.byteLength)
}

/** Bytes as f32, not copied; they begin at a multiple of 4. */
export function floatsOf(bytes: Uint8Array): Float32Array {
  return new Float32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4)
}
