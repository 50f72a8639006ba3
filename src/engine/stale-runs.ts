/**
 * What a killed run leaves behind, and how the next run knows it: temporary files carry the process id, and a journal says
 * which outputs were not there when the run began. So leftovers can be removed, and an output that the dead run itself
 * published is not mistaken for a file of the user's.
 */
import { readdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { randomBytes } from 'node:crypto'
import { errorCode } from '../core/file-errors.js'
import { isArray, parseJsonObject } from '../core/json.js'

const JOURNAL = 'lora-to-gguf'
const TEMPORARY = /^\.(.+)\.(\d{1,10})\.[0-9a-f]{8}\.tmp$/
const MOST_NAME_BYTES = 200 // file systems stop at 255 bytes; the additions take about 30

/** Names given out in this process: a file of our own process id that is not among them is of a dead run, as in a container, where all have the same id. */
const ours = new Set<string>()

/** A name for a temporary file that will become `name`, or for the run's journal. */
export function temporaryName(name: string = JOURNAL): string {
  const temporary = `.${stem(name)}.${process.pid}.${randomBytes(4).toString('hex')}.tmp`
  ours.add(temporary)
  return temporary
}

/** As much of a name as fits, in whole characters. */
function stem(name: string): string {
  const { read } = new TextEncoder().encodeInto(name, new Uint8Array(MOST_NAME_BYTES))
  return name.slice(0, read)
}

/** What dead runs left in a folder. */
export interface StaleRuns {
  /** Temporary files of dead runs that wrote any of the given outputs. */
  readonly temporaries: readonly string[]
  /** Outputs that a dead run published: not there when it began. */
  readonly published: ReadonlySet<string>
  /** Files of an older output that a dead run was about to remove. */
  readonly outdated: ReadonlySet<string>
}

/** What a run notes before it begins. Names are relative to the folder of the run. */
export interface Journal {
  /** Everything it writes. */
  readonly outputs: readonly string[]
  /** Those of them that are not there yet. */
  readonly absent: readonly string[]
  /** Files of an older output that it will remove. */
  readonly outdated: readonly string[]
}

/**
 * Looks for leftovers of dead runs.
 * @param outputs  names that the new run will write in this folder
 */
export function findStaleRuns(folder: string, outputs: readonly string[]): StaleRuns {
  const stale = listFolder(folder).flatMap((name) => {
    const [, base = '', pid = ''] = TEMPORARY.exec(name) ?? []
    return base !== '' && isDead(name, Number(pid)) ? [{ name, base, pid }] : []
  })
  const [published, outdated] = [new Set<string>(), new Set<string>()]
  const stems = new Set(outputs.map(stem))
  const deadRuns = new Set<string>()
  for (const { name, base, pid } of stale) {
    if (base !== JOURNAL) continue
    const journal = readJournal(join(folder, name))
    // one that cannot be read was being written when the run was killed: nothing was published then
    if (journal !== undefined && !journal.outputs.some((output) => outputs.includes(output))) continue
    deadRuns.add(pid)
    journal?.absent.forEach((output) => published.add(output))
    journal?.outdated.forEach((output) => outdated.add(output))
  }
  const temporaries = stale.filter(({ base, pid }) => deadRuns.has(pid) || stems.has(base)).map(({ name }) => name)
  return { temporaries, published, outdated }
}

/** Removes them; what cannot be removed stays. */
export function removeStaleRuns(folder: string, stale: StaleRuns): void {
  for (const name of stale.temporaries) rmSync(join(folder, name), { force: true })
}

/** Text of a journal. */
export function journalText(journal: Journal): string {
  return JSON.stringify(journal)
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

function readJournal(path: string): Journal | undefined {
  try {
    const root = parseJsonObject(readFileSync(path), path)
    const names = (key: string): string[] => {
      const value = root.get(key)
      return isArray(value) ? value.filter((name) => typeof name === 'string') : []
    }
    return { outputs: names('outputs'), absent: names('absent'), outdated: names('outdated') }
  } catch {
    return undefined
  }
}

function isDead(name: string, pid: number): boolean {
  if (pid === process.pid) return !ours.has(name)
  try {
    process.kill(pid, 0)
    return false
  } catch (error) {
    return errorCode(error) !== 'EPERM'
  }
}
