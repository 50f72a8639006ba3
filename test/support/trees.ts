/** Everything below a folder, to compare before and after. */
import { createHash } from 'node:crypto'
import { lstatSync, readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { join } from 'node:path'

/** Relative name -> what it is: sha256 of a file, target of a link, `folder`. */
export function filesOf(folder: string): ReadonlyMap<string, string> {
  const names = readdirSync(folder, { recursive: true }).map(String).toSorted()
  return new Map(
    names.map((name) => {
      const path = join(folder, name)
      const found = lstatSync(path)
      if (found.isSymbolicLink()) return [name, `-> ${readlinkSync(path)}`]
      return [name, found.isDirectory() ? 'folder' : createHash('sha256').update(readFileSync(path)).digest('hex')]
    }),
  )
}
