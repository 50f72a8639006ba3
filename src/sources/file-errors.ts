/** What the operating system's error codes mean to someone who wants to read a file. */
import { FileSystemError, ToolkitError } from '../core/errors.js'

const MEANINGS: ReadonlyMap<string, string> = new Map([
  ['ENOENT', 'there is no such file or folder'],
  ['ENOTDIR', 'a part of the path is a file, not a folder'],
  ['EISDIR', 'it is a folder; a file is wanted'],
  ['EACCES', 'permission denied'],
  ['EPERM', 'not permitted'],
  ['ELOOP', 'its links lead in a circle'],
  ['ENAMETOOLONG', 'the name is too long for this file system'],
  ['EMFILE', 'too many files are open'],
  ['ENFILE', 'too many files are open on this machine'],
  ['EBUSY', 'it is in use by another program'],
  ['EIO', 'the disk reports an input/output error'],
  ['ERR_INVALID_ARG_VALUE', 'the path holds a NUL character'],
])

/** Any failure of the file system as one of ours; our own errors pass. */
export function readingError(error: unknown, file: string): ToolkitError {
  if (error instanceof ToolkitError) return error
  const code = errorCode(error)
  const meaning = code === undefined ? undefined : MEANINGS.get(code)
  const text = meaning === undefined ? (error instanceof Error ? error.message : String(error)) : `${meaning} (${code})`
  return new FileSystemError(`cannot be read: ${text}.`, { file }, { cause: error })
}

/** `ENOENT` and the like, or undefined. */
export function errorCode(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : undefined
}
