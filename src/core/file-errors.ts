/** What the operating system's error codes mean to a user. */
import { FileSystemError, ToolkitError } from './errors.js'

const MEANINGS: ReadonlyMap<string, string> = new Map([
  ['ENOSPC', 'no space left on the device (ENOSPC). Free some, or write elsewhere'],
  ['EDQUOT', 'the disk quota is used up (EDQUOT). Free some, or write elsewhere'],
  ['EFBIG', 'the file would be larger than this file system or limit allows (EFBIG)'],
  ['EACCES', 'permission denied (EACCES)'],
  ['EPERM', 'not permitted (EPERM)'],
  ['EROFS', 'the file system is read-only (EROFS)'],
  ['ENOENT', 'there is no such file or folder (ENOENT)'],
  ['ENOTDIR', 'a part of the path is a file, not a folder (ENOTDIR)'],
  ['EISDIR', 'it is a folder; a file is wanted (EISDIR)'],
  ['EEXIST', 'it is there already (EEXIST)'],
  ['ELOOP', 'its links lead in a circle (ELOOP)'],
  ['EBUSY', 'it is in use by another program (EBUSY)'],
  ['EMFILE', 'too many files are open (EMFILE)'],
  ['ENFILE', 'too many files are open on this machine (ENFILE)'],
  ['ENAMETOOLONG', 'the name is too long for this file system (ENAMETOOLONG)'],
  ['EIO', 'the disk reports an input/output error (EIO)'],
  ['ERR_INVALID_ARG_VALUE', 'the path holds a NUL character'],
])

/**
 * Any failure of the file system as one of ours; our own errors pass.
 * @param deed  what could not be done to the file: `read`, `written`, `created`, `renamed`
 */
export function fileSystemError(error: unknown, file: string, deed: string): ToolkitError {
  if (error instanceof ToolkitError) return error
  const code = errorCode(error)
  const meaning = (code === undefined ? undefined : MEANINGS.get(code)) ?? (error instanceof Error ? error.message : String(error))
  return new FileSystemError(`cannot be ${deed}: ${meaning}.`, { file }, { cause: error })
}

/** `ENOENT` and the like, or undefined. */
export function errorCode(error: unknown): string | undefined {
  return error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : undefined
}
