/** `path@weight` as users type it. */
import { printable, UsageError } from '../core/errors.js'
import type { AdapterOption } from '../host/options.js'

/** How the paths of `lora-merge` are typed. */
export const SYNOPSIS = 'lora-merge BASE ADAPTER[@WEIGHT]... OUT'

const WEIGHTED = /^(.+)@([+-]?(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?)$/is

/**
 * A trailing `@` and a decimal number is a weight, unless the path exists as it is written.
 * @param exists  asks the file system
 */
export function parseAdapter(typed: string, exists: (path: string) => boolean): AdapterOption {
  if (exists(typed)) return { path: typed }
  const [, path, weight] = WEIGHTED.exec(typed) ?? []
  if (path === undefined) return { path: typed }
  const value = Number(weight)
  if (!Number.isFinite(value)) throw new UsageError(`the weight of ${printable(path)} is ${weight}; a finite number is wanted.`)
  return { path, weight: value }
}

/** Base, adapters and output of `lora-merge BASE ADAPTER[@WEIGHT]... OUT`. @throws UsageError naming what is missing */
export function splitPaths(paths: readonly string[], exists: (path: string) => boolean): { base: string; adapters: AdapterOption[]; out: string } {
  const [base, ...rest] = paths
  const out = rest.at(-1)
  if (base === undefined || out === undefined) throw new UsageError(`BASE, ADAPTER and OUT are wanted: ${SYNOPSIS}`)
  if (rest.length === 1) throw new UsageError(`OUT is missing (${printable(base)} is the base, ${printable(out)} the adapter): ${SYNOPSIS}`)
  return { base, adapters: rest.slice(0, -1).map((typed) => parseAdapter(typed, exists)), out }
}
