/** Paths as text, where no file system is asked. */

/** Last part of a path of either kind of slash: what may stand in receipts, which name no place of a machine. */
export function lastPart(path: string): string {
  return (
    path
      .replace(/[\\/]+$/, '')
      .split(/[\\/]/)
      .at(-1) ?? path
  )
}
