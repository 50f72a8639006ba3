/**
 * Names of files inside a folder, as an untrusted index gives them. Decided by the text alone: the files of the Hugging
 * Face cache are links to ../../blobs, so that asking where a name really leads would refuse every cached model.
 *
 * Law: rule JS01 (docs/formats.md), which holds on every platform, so that a model means the same everywhere.
 */
import { quoted } from '../../core/errors.js'

const MAX_COMPONENT_BYTES = 255 // what ext4, APFS and NTFS allow

/** The name without `.` components, or the sentence that says why it cannot be a file inside a folder. */
export function relativeName(name: string): { readonly name: string } | { readonly fault: string } {
  const fault = (why: string): { fault: string } => ({ fault: `${quoted(name)} is not the name of a file in the folder: ${why}.` })
  if (name === '') return fault('it is empty')
  if (hasControlCharacter(name)) return fault('it holds a control character')
  if (name.includes('\\')) return fault('it holds a backslash; "/" separates folders')
  if (name.includes(':')) return fault('it holds a colon, as drives, URLs and streams do')
  if (name.startsWith('/')) return fault('it is absolute')
  if (name.startsWith('~')) return fault('it starts with "~"')
  const parts = name.split('/')
  if (parts.includes('..')) return fault('".." leads out of a folder')
  if (parts.includes('')) return fault('a part of it is empty')
  if (parts.at(-1) === '.') return fault('it is a folder')
  const kept = parts.filter((part) => part !== '.')
  if (kept.some((part) => new TextEncoder().encode(part).length > MAX_COMPONENT_BYTES)) return fault(`a part of it is longer than ${MAX_COMPONENT_BYTES} bytes`)
  return { name: kept.join('/') }
}

function hasControlCharacter(name: string): boolean {
  for (let i = 0; i < name.length; i++) {
    const code = name.charCodeAt(i)
    if (code < 0x20 || code === 0x7f) return true
  }
  return false
}
