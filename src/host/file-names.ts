/** Names that a file cannot have everywhere. */
import { quoted, UsageError } from '../core/errors.js'

const WINDOWS_DEVICE = /^(?:con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³]|conin\$|conout\$)(?:\.|$)/i
// oxlint-disable-next-line no-control-regex -- control characters are what is looked for
const WINDOWS_FORBIDDEN = /[<>:"|?*\u0000-\u001f]|[. ]$/

/**
 * Checks the name of an output file.
 * @param platform  of the file system; Windows reserves names and characters
 * @returns the name
 * @throws UsageError
 */
export function checkFileName(name: string, platform: NodeJS.Platform = process.platform): string {
  if (name === '' || name === '.' || name === '..') throw new UsageError(`${quoted(name)} is no file name.`)
  if (name.includes('\0')) throw new UsageError(`the file name ${quoted(name)} holds a NUL character.`)
  if (platform !== 'win32') return name
  if (WINDOWS_DEVICE.test(name)) throw new UsageError(`${quoted(name)} is the name of a device on Windows; choose another.`)
  const template = name.replace(/\{[a-zA-Z]*\}/g, '')
  if (WINDOWS_FORBIDDEN.test(template)) throw new UsageError(`the file name ${quoted(name)} has a character that Windows does not allow.`)
  return name
}
