/** Progress as text: one live line for a terminal, plain lines for a log. Pure; who owns the stream calls it. */
import type { ProgressEvent } from '../engine/progress.js'
import { formatBytes } from './values.js'

const BAR_CELLS = 24
const NAME_CHARACTERS = 32
const LEAST_NAME_CHARACTERS = 8
const VERBS: Readonly<Record<ProgressEvent['phase'], string>> = { copy: 'copying', check: 'checking', write: 'writing', hash: 'hashing', finish: 'finishing' }

/** Share of the phase that is done, 0 to 1. */
export function share({ doneBytes, totalBytes }: ProgressEvent): number {
  return totalBytes === 0 ? 1 : Math.min(1, doneBytes / totalBytes)
}

/** `writing ████░░ 62 % 1.43 GB/s 12 s left blk.3.attn_q.weight`. @param elapsedMs since the phase began @param columns that it may fill */
export function liveLine(event: ProgressEvent, elapsedMs: number, columns = 120): string {
  const done = share(event)
  const cells = Math.round(done * BAR_CELLS)
  const parts = [VERBS[event.phase], '█'.repeat(cells) + '░'.repeat(BAR_CELLS - cells), `${String(Math.floor(done * 100)).padStart(3)} %`]
  if (elapsedMs > 0 && event.doneBytes > 0) {
    parts.push(`${((event.doneBytes / elapsedMs) * 1e-6).toFixed(2)} GB/s`)
    if (done < 1) parts.push(`${duration((elapsedMs * (1 - done)) / done)} left`)
  }
  const line = parts.join(' ')
  const room = Math.min(NAME_CHARACTERS, columns - line.length - 1)
  return room < LEAST_NAME_CHARACTERS ? line.slice(0, columns) : `${line} ${shortName(event.current, room)}`
}

/** `writing 40 % (1.2 GB of 3.0 GB)`. */
export function plainLine(event: ProgressEvent): string {
  return `${VERBS[event.phase]} ${Math.floor(share(event) * 100)} % (${formatBytes(event.doneBytes)} of ${formatBytes(event.totalBytes)})`
}

/** 75,000 -> `1 min 15 s`. */
export function duration(ms: number): string {
  const seconds = Math.max(0, Math.round(ms / 1000))
  if (seconds < 60) return `${seconds} s`
  const minutes = Math.floor(seconds / 60)
  return minutes < 60 ? `${minutes} min ${seconds % 60} s` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`
}

function shortName(name: string, room: number): string {
  const clean = name.replace(/[^\x20-\x7e]/g, '?')
  return clean.length <= room ? clean : `…${clean.slice(1 - room)}`
}
