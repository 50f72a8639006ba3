/**
 * Files and folders of this machine as ByteSources and Folders: the one place where reading touches the disk.
 *
 * No file stays open between reads (a model may have hundreds of shards); each read opens the file again and compares
 * it with what was seen first, so that bytes of two versions never mix. Only regular files are read: /dev/zero has no
 * end and a fifo never answers. Links are followed: the files of the Hugging Face cache are links to ../../blobs.
 */
import { constants, statSync, type Stats } from 'node:fs'
import { open, readdir, stat, type FileHandle } from 'node:fs/promises'
import { basename, join, resolve } from 'node:path'
import { boundedSource, cutShort, memorySource, type ByteSource, type FileDescriptor, type Folder, type FolderEntry, type OpenBytes } from '../core/bytes.js'
import { openDerived } from '../core/derived-bytes.js'
import { FileSystemError, FormatError } from '../core/errors.js'
import { compareNames } from '../formats/safetensors/name-order.js'
import { relativeName } from '../formats/safetensors/relative-name.js'
import { fileSystemError } from '../core/file-errors.js'

/** Subfolders whose files belong to a model's own files: transformers keeps named chat templates there. */
const LISTED_FOLDERS = ['additional_chat_templates']
const SHOWN_PATH_CHARACTERS = 100 // messages cut names at 120; the end of a path, which holds the file's name, must survive

/**
 * Opens a regular file, after resolving links.
 * @param name  what messages call it; default: the path as given
 * @throws FileSystemError when it is missing, may not be read, or is no regular file
 */
export async function openFile(path: string, name = shownPath(path)): Promise<ByteSource> {
  try {
    const found = await stat(path)
    requireRegular(found, name)
    const descriptor: FileDescriptor = { kind: 'file', name, path: resolve(path), byteLength: found.size, modifiedMs: found.mtimeMs, inode: found.ino }
    await withHandle(descriptor, () => Promise.resolve()) // permission is asked now, not after an hour of work
    return fileSource(descriptor)
  } catch (error) {
    throw fileSystemError(error, name, 'read')
  }
}

/** Opens what a descriptor describes. The file is looked at when it is first read. */
export const openDescriptor: OpenBytes = (descriptor) =>
  openDerived(descriptor, (root) => (root.kind === 'memory' ? memorySource(root.name, root.bytes) : fileSource(root)))

/** A folder of this machine. */
export interface LocalFolder extends Folder {
  readonly path: string
  /** Names of its direct subfolders. */
  readonly folders: readonly string[]
  /** Names of links that lead nowhere, or in a circle. */
  readonly brokenLinks: readonly string[]
}

/**
 * Lists a folder. Broken links, devices and subfolders (but for the files of LISTED_FOLDERS) are not among its entries; `open` says why.
 * @throws FileSystemError when it is missing, may not be read, or is no folder
 */
export async function openFolder(path: string): Promise<LocalFolder> {
  const label = shownPath(path)
  const { entries, folders, brokenLinks } = await listFiles(path, label)
  const names = new Set(entries.map(({ name }) => name))
  return {
    label,
    baseName: basename(resolve(path)),
    path: resolve(path),
    entries,
    folders,
    brokenLinks,
    has: (name) => names.has(name) || (name.includes('/') && isRegularFile(path, name)),
    async open(name) {
      // what stands in the folder is in it, however it is spelled; other names must not lead out
      const inside = names.has(name) ? { name } : relativeName(name)
      if ('fault' in inside) throw new FileSystemError(inside.fault, { file: label })
      return openFile(join(path, inside.name), shownPath(`${label.replace(/[/\\]+$/, '')}/${inside.name}`))
    },
  }
}

/** Whether a path is a file, a folder, or something else. @throws FileSystemError when it is missing */
export async function pathKind(path: string): Promise<'file' | 'folder' | 'other'> {
  try {
    const found = await stat(path)
    return found.isFile() ? 'file' : found.isDirectory() ? 'folder' : 'other'
  } catch (error) {
    throw fileSystemError(error, shownPath(path), 'read')
  }
}

/** A path for messages: as given, or its end. */
export function shownPath(path: string): string {
  return path.length <= SHOWN_PATH_CHARACTERS ? path : `…${path.slice(1 - SHOWN_PATH_CHARACTERS)}`
}

async function listFiles(path: string, label: string): Promise<Pick<LocalFolder, 'entries' | 'folders' | 'brokenLinks'>> {
  const entries: FolderEntry[] = []
  const folders: string[] = []
  const brokenLinks: string[] = []
  try {
    for (const name of await readdir(path)) {
      const found = await stat(join(path, name)).catch(() => undefined)
      if (found === undefined) brokenLinks.push(name)
      else if (found.isFile()) entries.push({ name, byteLength: found.size })
      else if (found.isDirectory()) folders.push(name)
    }
    for (const folder of LISTED_FOLDERS.filter((name) => folders.includes(name))) {
      for (const name of await readdir(join(path, folder))) {
        const found = await stat(join(path, folder, name)).catch(() => undefined)
        if (found?.isFile() === true) entries.push({ name: `${folder}/${name}`, byteLength: found.size })
      }
    }
  } catch (error) {
    throw fileSystemError(error, label, 'read')
  }
  return { entries: entries.sort((a, b) => compareNames(a.name, b.name)), folders: folders.sort(compareNames), brokenLinks: brokenLinks.sort(compareNames) }
}

function isRegularFile(folder: string, name: string): boolean {
  const inside = relativeName(name)
  return 'name' in inside && (statSync(join(folder, inside.name), { throwIfNoEntry: false })?.isFile() ?? false)
}

function fileSource(descriptor: FileDescriptor): ByteSource {
  return boundedSource(descriptor, (into, position) => withHandle(descriptor, (handle) => fill(handle, descriptor, into, position)))
}

async function withHandle(descriptor: FileDescriptor, use: (handle: FileHandle) => Promise<void>): Promise<void> {
  try {
    // O_NONBLOCK: should a fifo have taken the file's place, opening it must not wait for a writer (undefined on Windows)
    const handle = await open(descriptor.path, constants.O_RDONLY | (constants.O_NONBLOCK ?? 0))
    try {
      requireUnchanged(await handle.stat(), descriptor)
      await use(handle)
    } finally {
      await handle.close()
    }
  } catch (error) {
    throw fileSystemError(error, descriptor.name, 'read')
  }
}

async function fill(handle: FileHandle, { name }: FileDescriptor, into: Uint8Array, position: number): Promise<void> {
  for (let done = 0; done < into.byteLength;) {
    const { bytesRead } = await handle.read(into, done, into.byteLength - done, position + done)
    if (bytesRead === 0) throw cutShort(name, position, into.byteLength, position + done)
    done += bytesRead
  }
}

function requireRegular(found: Stats, file: string): void {
  if (found.isFile()) return
  const kind = found.isDirectory() ? 'a folder' : found.isFIFO() ? 'a pipe' : found.isSocket() ? 'a socket' : 'a device'
  throw new FileSystemError(`is ${kind}; a regular file is wanted.`, { file })
}

function requireUnchanged(found: Stats, { name, byteLength, modifiedMs, inode }: FileDescriptor): void {
  requireRegular(found, name)
  if (found.size === byteLength && found.mtimeMs === modifiedMs && found.ino === inode) return
  throw new FormatError('changed while it was read. Run again when no one writes to it.', { file: name })
}
