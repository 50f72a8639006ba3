/**
 * Applies the table of renames: all names that a tensor of an adapter's model may have in a checkpoint, nearest first.
 * Works on templates, names whose numbers are `#`: layers are alike, so each kind of tensor is looked at once.
 */
import { MODULE_RENAMES, type RenamedFamily } from './module-renames.js'

/** A name without its numbers. */
export interface Template {
  readonly text: string
  readonly numbers: readonly string[]
}

/** Renames that may act on one name. Most need one; towers inside of towers two. */
const MOST_RENAMES = 3
/** Names made of one; more come of hostile names only, which repeat a component of a row. */
const MOST_VARIANTS = 1000

/** Of a name; the longest seen has 14. */
const MOST_COMPONENTS = 40

interface Row {
  readonly from: readonly string[]
  readonly to: readonly string[]
}

/** `model.layers.3.mlp` -> `model.layers.#.mlp` and 3. */
export function templateOf(name: string): Template {
  const numbers: string[] = []
  const text = name
    .split('.')
    .map((part) => {
      if (!/^\d+$/.test(part)) return part
      numbers.push(part)
      return '#'
    })
    .join('.')
  return { text, numbers }
}

/** Puts the numbers back. */
export function nameOf(template: string, numbers: readonly string[]): string {
  let next = 0
  return template
    .split('.')
    .map((part) => (part === '#' ? (numbers[next++] ?? part) : part))
    .join('.')
}

/** Rows by the first component that they are for. */
type Rows = Map<string, Row[]>

/** The table for one model. */
export class Renames {
  private readonly toCheckpoint: Rows = new Map()
  private readonly toModule: Rows = new Map()

  /** @param types  model types of the base's config; undefined when it has none */
  constructor(types: ReadonlySet<string> | undefined, table: readonly RenamedFamily[] = MODULE_RENAMES) {
    for (const { only, renames } of table) {
      if (only?.some((type) => types?.has(type) === true) === false) continue
      for (const [module, checkpoint] of renames) {
        add(this.toCheckpoint, module.split('.'), checkpoint.split('.'))
        add(this.toModule, checkpoint.split('.'), module.split('.'))
      }
    }
  }

  /** Other names for a template: those of one rename, those of two, … Never there and back: the way back may be another family's. */
  variants(template: string): string[][] {
    const [there, back] = [closure(template, this.toCheckpoint), closure(template, this.toModule)]
    return Array.from({ length: Math.max(there.length, back.length) }, (_, i) => [...new Set([...(there[i] ?? []), ...(back[i] ?? [])])])
  }
}

function add(rows: Rows, from: readonly string[], to: readonly string[]): void {
  const first = from[0] ?? ''
  rows.set(first, [...(rows.get(first) ?? []), { from, to }])
}

/** Names by the number of renames that they need; at least one. */
function closure(template: string, rows: Rows): string[][] {
  const seen = new Set([template])
  const levels: string[][] = []
  for (let level = [template]; levels.length < MOST_RENAMES && seen.size < MOST_VARIANTS; levels.push(level)) {
    const found = level.slice(0, MOST_VARIANTS).flatMap((name) => renamed(name.split('.'), rows))
    level = [...new Set(found)].filter((name) => !seen.has(name))
    if (level.length === 0) break
    for (const name of level) seen.add(name)
  }
  return levels
}

function renamed(parts: readonly string[], rows: Rows): string[] {
  if (parts.length > MOST_COMPONENTS) return []
  return parts.flatMap((part, at) =>
    (rows.get(part) ?? []).flatMap(({ from, to }) =>
      from.every((one, i) => one === parts[at + i]) ? [[...parts.slice(0, at), ...to, ...parts.slice(at + from.length)].join('.')] : [],
    ),
  )
}
