/** Shows progress on stderr: a live line where a person watches, else a plain line every 10 %. */
import type { OnProgress, ProgressEvent } from '../engine/progress.js'
import { liveLine, plainLine, share } from './render-progress.js'

const PLAIN_STEP = 0.1
const LEAST_COLUMNS = 20
const SPINNER_COLUMNS = 3 // its sign, a blank, and the last column, where some terminals wrap

export interface ProgressDisplay {
  readonly onProgress: OnProgress
  /** Removes the live line. */
  stop(): void
}

/** For --quiet and --json. */
export const NO_PROGRESS: ProgressDisplay = { onProgress: () => {}, stop: () => {} }

/** Chooses by what stderr is. ora is loaded only where it is shown: it takes 0.15 s. */
export async function progressDisplay(): Promise<ProgressDisplay> {
  return isWatched(process.stderr, process.env) ? liveDisplay() : plainDisplay()
}

/**
 * Whether a live line can be drawn: on a terminal that moves its cursor and is not a CI's log (there ora stays silent),
 * and whose width is known. A terminal that nobody has sized says 0 columns (`docker run -t`, `script`); ora would
 * clear an infinite number of lines.
 */
export function isWatched(stream: { readonly isTTY?: boolean; readonly columns?: number }, environment: NodeJS.ProcessEnv): boolean {
  return stream.isTTY === true && (stream.columns ?? 0) >= LEAST_COLUMNS && environment['TERM'] !== 'dumb' && environment['CI'] === undefined
}

async function liveDisplay(): Promise<ProgressDisplay> {
  const { default: ora } = await import('ora')
  const spinner = ora({ text: 'reading', stream: process.stderr, discardStdin: false }).start()
  const elapsed = phaseClock()
  return {
    onProgress: (event) => {
      spinner.text = liveLine(event, elapsed(event), process.stderr.columns - SPINNER_COLUMNS)
    },
    stop: () => void spinner.stop(),
  }
}

function plainDisplay(): ProgressDisplay {
  let next = PLAIN_STEP
  let phase = ''
  return {
    onProgress: (event) => {
      if (event.phase === 'finish') return
      if (event.phase !== phase) next = PLAIN_STEP
      phase = event.phase
      if (share(event) + 1e-9 < next) return
      process.stderr.write(`${plainLine(event)}\n`)
      next = (Math.floor(share(event) / PLAIN_STEP + 1e-9) + 1) * PLAIN_STEP
    },
    stop: () => {},
  }
}

/** Milliseconds since a phase began: when the display was made, or when the phase before it was last heard of. */
export function phaseClock(now: () => number = () => performance.now()): (event: ProgressEvent) => number {
  let phase: string | undefined
  let [began, heard] = [now(), now()]
  return (event) => {
    if (phase !== undefined && event.phase !== phase) began = heard
    phase = event.phase
    heard = now()
    return heard - began
  }
}
