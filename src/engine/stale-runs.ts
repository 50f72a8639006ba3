/**
 * What a killed run leaves behind, and how the next run knows it: temporary files carry the process id, and a journal says
 * which outputs were not there when the run began. So leftovers can be removed, and an output that the dead run itself
 * published is not mistaken for a file of the user's.
 */
import { readdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { randomBytes } from 'node:crypto'
import { isArray, parseJsonObject } from '../core/json.js'

const JOURNAL = 'lora-to-gguf'
const TEMPORARY = /^\.(.+)\.(\d{1,10})\.[0-9a-f]{8}\.tmp$/
const MOST_NAME_CHARACTERS = 180 // file systems stop at 255 bytes; the additions take about 30

/** A name for a temporary file that will become `name`, or for the run's journal. */
export function temporaryName(name: string = JOURNAL): string {
  return `.${name.slice(0, MOST_NAME_CHARACTERS)}.${process.pid}.${randomBytes(4).toString('hex')}.tmp`
}

/** What dead runs left in a folder. */
export interface StaleRuns {
  /** Temporary files of dead runs that wrote any of the given outputs. */
  readonly temporaries: readonly string[]
  /** Outputs that a dead run published: not there when it began. */
  readonly published: ReadonlySet<string>
}

/**
 * Looks for leftovers of dead runs.
 * @param outputs  names that the new run will write in this folder
 */
export function findStaleRuns(folder: string, outputs: readonly string[]): StaleRuns {
  const stale = listFolder(folder).flatMap((name) => {
    const [, base = '', pid = ''] = TEMPORARY.exec(name) ?? []
    return base !== '' && isDead(Number(pid)) ? [{ name, base, pid }] : []
  })
  const published = new Set<string>()
  const ours = new Set(outputs.map((name) => name.slice(0, MOST_NAME_CHARACTERS)))
  const deadRuns = new Set<string>()
  for (const { name, base, pid } of stale) {
    if (base !== JOURNAL) continue
    const absent = readJournal(join(folder, name))
    if (!absent.some((output) => outputs.includes(output))) continue
    deadRuns.add(pid)
    absent.forEach((output) => published.add(output))
  }
  const temporaries = stale.filter(({ base, pid }) => deadRuns.has(pid) || ours.has(base)).map(({ name }) => name)
  return { temporaries, published }
}

/** Removes them; what cannot be removed stays. */
export function removeStaleRuns(folder: string, stale: StaleRuns): void {
  for (const name of stale.temporaries) rmSync(join(folder, name), { force: true })
}

/** Text of a journal. @param absent outputs that are not there yet */
export function journalText(absent: readonly string[]): string {
  return JSON.stringify({ absent })
}

/** True for a name that only temporary files of ours have. */
export function isTemporary(name: string): boolean {
  return TEMPORARY.test(name)
}

function listFolder(folder: string): string[] {
  try {
    return readdirSync(folder)
  } catch {
    return []
  }
}

function readJournal(path: string): string[] {
  try {
    const absent = parseJsonObject(readFileSync(path), path).get('absent')
    return isArray(absent) ? absent.filter((name) => typeof name === 'string') : []
  } catch {
    return [] // killed while it was written: nothing was published then
  }
}

// in a container every run may have the same process id: one that is ours but not of this run is dead
function isDead(pid: number): boolean {
  if (pid === process.pid) return true
  try {
    process.kill(pid, 0)
    return false
  } catch (error) {
    return !(error instanceof Error && 'code' in error && error.code === 'EPERM')
  }
}
