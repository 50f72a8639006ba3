/** Shows progress on stderr: a live line where a person watches, else a plain line every 10 %. */
import type { OnProgress, ProgressEvent } from '../engine/progress.js'
import { liveLine, plainLine, share } from './render-progress.js'

const PLAIN_STEP = 0.1

export interface ProgressDisplay {
  readonly onProgress: OnProgress
  /** Removes the live line. */
  stop(): void
}

/** For --quiet and --json. */
export const NO_PROGRESS: ProgressDisplay = { onProgress: () => {}, stop: () => {} }

/** Chooses by what stderr is. ora is loaded only where it is shown: it takes 0.15 s. */
export async function progressDisplay(): Promise<ProgressDisplay> {
  return process.stderr.isTTY ? liveDisplay() : plainDisplay()
}

async function liveDisplay(): Promise<ProgressDisplay> {
  const { default: ora } = await import('ora')
  const spinner = ora({ text: 'reading', stream: process.stderr, discardStdin: false }).start()
  const elapsed = phaseClock()
  return {
    onProgress: (event) => {
      spinner.text = liveLine(event, elapsed(event))
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

function phaseClock(): (event: ProgressEvent) => number {
  let phase = ''
  let began = 0
  return (event) => {
    if (event.phase !== phase) began = performance.now()
    phase = event.phase
    return performance.now() - began
  }
}
