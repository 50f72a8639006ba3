/** A folder of files that live in memory, for tests of everything that reads a `Folder`. */
import { memorySource, type ByteSource, type Folder } from '../../src/core/bytes.js'
import { FileSystemError } from '../../src/core/errors.js'

/**
 * @param files     name (`/` between levels) -> UTF-8 text or bytes; the caller must not change the bytes afterwards
 * @param baseName  last part of the folder's path
 */
export function memoryFolder(files: Record<string, string | Uint8Array>, baseName = 'folder'): Folder {
  const contents = new Map(Object.entries(files).map(([name, content]) => [name, typeof content === 'string' ? new TextEncoder().encode(content) : content]))
  const entries = [...contents].map(([name, bytes]) => ({ name, byteLength: bytes.byteLength })).sort((a, b) => (a.name < b.name ? -1 : 1))
  return {
    label: baseName,
    baseName,
    entries,
    has: (name) => contents.has(name),
    async open(name): Promise<ByteSource> {
      const bytes = contents.get(name)
      if (bytes === undefined) throw new FileSystemError('there is no such file.', { file: name })
      return memorySource(name, bytes)
    },
  }
}
