/**
 * The one writer of files. All outputs of a run are written under temporary names in their own folder, made durable, and
 * only then renamed, in an order that never shows something that points at what is not there yet. A kill at any moment
 * leaves the old file or the new one, never a part.
 */
import { closeSync, existsSync, fsyncSync, ftruncateSync, mkdirSync, openSync, renameSync, rmSync, rmdirSync, statSync, writeSync } from 'node:fs'
import { basename, dirname, join, resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { FileSystemError, quoted } from '../core/errors.js'
import { errorCode, fileSystemError } from '../core/file-errors.js'
import { findStaleRuns, journalText, removeStaleRuns, temporaryName } from './stale-runs.js'

const RENAME_PATIENCE_MS = 2000 // virus scanners and indexers on Windows hold new files open for a moment
const BUSY = new Set(['EPERM', 'EBUSY', 'EACCES'])

interface Pending {
  readonly name: string
  readonly temporary: string
}

/** The outputs of one run in one folder. Use: open, create…, publish; or discard at any time before. */
export class AtomicOutput {
  private readonly folder: string
  private readonly pending: Pending[] = []
  private readonly madeFolders: string[] = []
  private readonly scratch: string[] = []
  private readonly onExit = (): void => this.discard()
  private readonly outdated: readonly string[]
  private journal: string | undefined
  private publishing = false

  private constructor(folder: string, outdated: readonly string[]) {
    this.folder = folder
    this.outdated = outdated
  }

  /**
   * Makes the folder where it is missing, removes what dead runs left, and starts the journal.
   * @param names     every output of the run, relative to the folder
   * @param outdated  files of an older output, to be removed when the new one is complete
   */
  static open(folder: string, names: readonly string[], outdated: readonly string[] = []): AtomicOutput {
    const output = new AtomicOutput(folder, outdated)
    try {
      output.makeFolder(folder)
      for (const [place, inPlace] of byFolder(folder, names)) removeStaleRuns(place, findStaleRuns(place, inPlace))
      const journal = { outputs: names, absent: names.filter((name) => !existsSync(resolve(folder, name))), outdated }
      process.once('exit', output.onExit)
      const path = join(folder, temporaryName())
      const handle = openSync(path, 'wx')
      output.journal = path
      output.write(handle, new TextEncoder().encode(journalText(journal)))
      if (existsSync(join(folder, basename(path).toUpperCase()))) requireDifferentInAnyCase(names)
    } catch (error) {
      output.discard()
      throw fileSystemError(error, folder, 'written to')
    }
    return output
  }

  /** Creates the temporary file of an output, of `byteLength` zero bytes after `head`. @returns its path */
  create(name: string, head: Uint8Array, byteLength = head.byteLength): string {
    try {
      const final = resolve(this.folder, name)
      this.makeFolder(dirname(final))
      const temporary = join(dirname(final), temporaryName(basename(final)))
      const handle = openSync(temporary, 'wx')
      this.pending.push({ name, temporary })
      this.write(handle, head, byteLength)
      return temporary
    } catch (error) {
      throw fileSystemError(error, name, 'written')
    }
  }

  /** Creates an empty temporary file beside the outputs that never becomes one. @returns its path */
  createScratch(): string {
    const path = join(this.folder, temporaryName())
    try {
      closeSync(openSync(path, 'wx'))
      this.scratch.push(path)
      return path
    } catch (error) {
      throw fileSystemError(error, this.folder, 'written to')
    }
  }

  /** Makes everything durable; after it only renames are left to do. */
  sync(): void {
    for (const { name, temporary } of this.pending) {
      try {
        syncPath(temporary, 'r+')
      } catch (error) {
        throw fileSystemError(error, name, 'written')
      }
    }
  }

  /** Gives all outputs their names, in the order they were created, and removes what is outdated, then the journal. */
  async publish(): Promise<void> {
    this.publishing = true
    this.removeScratch()
    const published = this.pending.map(({ name }) => name)
    for (const { name, temporary } of [...this.pending]) {
      try {
        await renamePatiently(temporary, resolve(this.folder, name))
      } catch (error) {
        this.publishing = false
        throw fileSystemError(error, name, 'renamed to its final name')
      }
      this.pending.shift()
    }
    const written = new Set(published.flatMap((name) => identity(resolve(this.folder, name))))
    for (const name of this.outdated) {
      const path = resolve(this.folder, name)
      // macOS and Windows: an old name in other letters may be the new file itself
      if (!identity(path).some((one) => written.has(one))) rmSync(path, { force: true })
    }
    if (this.journal !== undefined) rmSync(this.journal, { force: true })
    syncFolder(this.folder)
    process.removeListener('exit', this.onExit)
  }

  /** True from the first rename on: the run can no longer be undone, only finished. */
  get isPublishing(): boolean {
    return this.publishing
  }

  /** Removes every temporary file, and the folders that were made for them when they are empty. */
  discard(): void {
    process.removeListener('exit', this.onExit)
    this.removeScratch()
    for (const { temporary } of this.pending) removeFile(temporary)
    this.pending.length = 0
    if (this.journal !== undefined) removeFile(this.journal)
    for (const folder of this.madeFolders.reverse()) removeEmptyFolder(folder)
    this.madeFolders.length = 0
  }

  private removeScratch(): void {
    for (const path of this.scratch) removeFile(path)
    this.scratch.length = 0
  }

  private makeFolder(folder: string): void {
    const missing: string[] = []
    for (let one = folder; !existsSync(one) && dirname(one) !== one; one = dirname(one)) missing.push(one)
    for (const one of missing.reverse()) {
      mkdirSync(one)
      this.madeFolders.push(one)
    }
  }

  private write(handle: number, bytes: Uint8Array, byteLength = bytes.byteLength): void {
    try {
      for (let done = 0; done < bytes.byteLength;) done += writeSync(handle, bytes, done, bytes.byteLength - done, done)
      if (byteLength > bytes.byteLength) ftruncateSync(handle, byteLength)
    } finally {
      closeSync(handle)
    }
  }
}

/** Names of outputs (relative to `folder`, subfolders possible) by the folder that they lie in. */
export function byFolder(folder: string, names: readonly string[]): Map<string, string[]> {
  const places = new Map<string, string[]>([[folder, []]])
  for (const name of names) {
    const final = resolve(folder, name)
    const place = dirname(final) === resolve(folder) ? folder : dirname(final)
    places.set(place, [...(places.get(place) ?? []), basename(final)])
  }
  return places
}

async function renamePatiently(from: string, to: string): Promise<void> {
  for (const start = Date.now(); ;) {
    try {
      return renameSync(from, to)
    } catch (error) {
      if (process.platform !== 'win32' || !BUSY.has(errorCode(error) ?? '') || Date.now() - start > RENAME_PATIENCE_MS) throw error
      await sleep(50)
    }
  }
}

function syncPath(path: string, flags: 'r' | 'r+'): void {
  const handle = openSync(path, flags)
  try {
    fsyncSync(handle)
  } finally {
    closeSync(handle)
  }
}

// Windows refuses to open folders: there the rename alone has to do
function syncFolder(folder: string): void {
  try {
    syncPath(folder, 'r')
  } catch (error) {
    if (process.platform !== 'win32' && !['EISDIR', 'EINVAL', 'EACCES'].includes(errorCode(error) ?? '')) throw error
  }
}

/**
 * Two outputs whose names differ in the case of letters only would be one file, and the second would replace the first.
 * @throws FileSystemError
 */
export function requireDifferentInAnyCase(names: readonly string[]): void {
  const known = new Map<string, string>()
  for (const name of names) {
    const folded = name.normalize('NFC').toLowerCase()
    const other = known.get(folded)
    if (other !== undefined)
      throw new FileSystemError(`${quoted(other)} and ${quoted(name)} are one name on this file system, which ignores case: write to another.`, { file: name })
    known.set(folded, name)
  }
}

/** Device and inode of a file; nothing for what is not there. */
function identity(path: string): string[] {
  const found = statSync(path, { bigint: true, throwIfNoEntry: false })
  return found === undefined ? [] : [`${found.dev}:${found.ino}`]
}

function removeFile(path: string): void {
  try {
    rmSync(path, { force: true })
  } catch {
    // what cannot be removed now, the next run removes; the error that led here must not be hidden
  }
}

function removeEmptyFolder(folder: string): void {
  try {
    rmdirSync(folder)
  } catch {
    // not empty: someone else's files
  }
}
