/**
 * Archive records that a plan reads, made ready before the first tile: each is read once to hold it against its checksum;
 * a deflated one is inflated on the way into a temporary file next to the output, where tiles can read here and there.
 */
import { closeSync, openSync, statSync } from 'node:fs'
import { crc32 as fastCrc32 } from 'node:zlib'
import type { ByteDescriptor, ByteSource, FileDescriptor, MemberDescriptor, MemoryDescriptor } from '../core/bytes.js'
import { CancelledError, UnsupportedError } from '../core/errors.js'
import { memberPieces, readMember as readWhole } from '../core/members.js'
import { tensorsOf, type RowProgram } from '../core/row-program.js'
import type { TensorInfo } from '../core/tensor-info.js'
import type { Plan } from '../plan/plan.js'
import type { AtomicOutput } from './atomic-output.js'
import type { OnProgress } from './progress.js'
import { createTileReader, memberKey, type InflatedMembers, type TileReader } from './tile-reader.js'
import { writeAll } from './write-all.js'

interface Watch {
  readonly onProgress?: OnProgress | undefined
  readonly signal?: AbortSignal | undefined
}

/** Bytes of the temporary files that a plan needs for deflated records. */
export function inflatedBytes(plan: Plan): number {
  return membersOf(plan).reduce((sum, { deflated, byteLength }) => sum + (deflated ? byteLength : 0), 0)
}

/**
 * Checks every record that the plan reads, and inflates the deflated ones.
 * @returns the inflated files, for the readers of the tiles
 * @throws FormatError when a record is damaged; FileSystemError; CancelledError
 */
export async function prepareMembers(plan: Plan, output: AtomicOutput, { onProgress, signal }: Watch): Promise<InflatedMembers> {
  const members = membersOf(plan)
  const inflated = new Map<string, FileDescriptor>()
  const totalBytes = members.reduce((sum, { byteLength }) => sum + byteLength, 0)
  const reader = createTileReader()
  let doneBytes = 0
  try {
    for (const member of members) {
      const report = (byteLength: number): void => {
        doneBytes += byteLength
        if (signal?.aborted === true) throw new CancelledError()
        onProgress?.({ phase: 'check', doneBytes, totalBytes, current: member.name })
      }
      const path = member.deflated ? output.createScratch() : undefined
      await readMember(member, sourceOf(member.container, reader), path, report)
      if (path !== undefined) inflated.set(memberKey(member), describeFile(path, member))
    }
    reader.checkUnchanged()
  } finally {
    reader.close()
  }
  return inflated
}

/** Of records that are held in memory while a run is planned. */
const MOST_HELD_BYTES = 1_073_741_824

/**
 * The deflated records that programs read, in memory.
 * @throws FormatError when one is damaged, UnsupportedError when they are too large
 */
export async function inflatedInMemory(programs: readonly RowProgram[]): Promise<ReadonlyMap<string, MemoryDescriptor>> {
  const members = recordsOf(programs.flatMap(tensorsOf)).filter(({ deflated }) => deflated)
  const held = members.reduce((sum, { byteLength }) => sum + byteLength, 0)
  const [first] = members
  if (first !== undefined && held > MOST_HELD_BYTES)
    throw new UnsupportedError(
      `its records are deflated, and those that must be compared have ${held} bytes: save it again with torch.save, which deflates nothing.`,
      {
        file: first.name,
      },
    )
  const inflated = new Map<string, MemoryDescriptor>()
  const reader = createTileReader()
  try {
    for (const member of members) {
      const bytes = await readWhole(member, sourceOf(member.container, reader), MOST_HELD_BYTES)
      inflated.set(memberKey(member), { kind: 'memory', name: member.name, bytes, byteLength: bytes.byteLength })
    }
  } finally {
    reader.close()
  }
  return inflated
}

/** Every record that a plan reads, each once. */
function membersOf(plan: Plan): MemberDescriptor[] {
  return recordsOf(plan.tensors.flatMap(({ program }) => (program.kind === 'bytes' ? [program.tensor] : tensorsOf(program.rows))))
}

function recordsOf(tensors: readonly TensorInfo[]): MemberDescriptor[] {
  const found = new Map<string, MemberDescriptor>()
  for (const { source } of tensors) {
    const stored: ByteDescriptor = source.kind === 'strided' ? source.storage : source
    if (stored.kind === 'member') found.set(memberKey(stored), stored)
  }
  return [...found.values()]
}

async function readMember(member: MemberDescriptor, container: ByteSource, path: string | undefined, report: (byteLength: number) => void): Promise<void> {
  const handle = path === undefined ? undefined : openSync(path, 'r+')
  try {
    let position = 0
    for await (const piece of memberPieces(member, container, fastCrc32)) {
      if (handle !== undefined) writeAll(handle, piece, position, { name: `${member.name} (inflated ${member.part})`, done: 'written' })
      position += piece.byteLength
      report(piece.byteLength)
    }
  } finally {
    if (handle !== undefined) closeSync(handle)
  }
}

function describeFile(path: string, { name, byteLength }: MemberDescriptor): FileDescriptor {
  const { mtimeMs, ino } = statSync(path)
  return { kind: 'file', name, path, byteLength, modifiedMs: mtimeMs, inode: ino }
}

/** The reader of tiles as the asynchronous source that records are read from. */
function sourceOf(descriptor: MemberDescriptor['container'], reader: TileReader): ByteSource {
  return { name: descriptor.name, byteLength: descriptor.byteLength, descriptor, read: async (into, position) => reader.read(descriptor, into, position) }
}
