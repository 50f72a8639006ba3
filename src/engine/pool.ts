/**
 * Runs the tiles of a job on the main thread and on as many worker threads as there are more. The main thread has begun when the others have only
 * started, and needs no heap of its own; between tiles it lets signals and progress through.
 */
import { setImmediate } from 'node:timers/promises'
import { Worker } from 'node:worker_threads'
import { CancelledError, InternalError, revivedError, type PlainError, type ToolkitError } from '../core/errors.js'
import { openWorkshop } from './arithmetic.js'
import { runTiles } from './run-tiles.js'
import { stopTiles, type TileJob } from './tile-job.js'

/** Workers make little garbage; V8's usual nursery of 48 MB would be most of their memory. */
const WORKER_YOUNG_MB = 2

// workers inherit node's flags, and refuse to start from a file under this one (a library used in `node --input-type=module -e`)
const WORKER_FLAGS = process.execArgv.some((flag) => flag.startsWith('--input-type')) ? { execArgv: [] } : {}

/**
 * Runs all tiles. Returns when every byte is written.
 * @throws whatever the first failing worker threw; CancelledError when `signal` fires
 */
export async function runJob(job: TileJob, threads: number, signal?: AbortSignal): Promise<void> {
  const stop = (): void => stopTiles(job)
  if (signal?.aborted) throw new CancelledError()
  signal?.addEventListener('abort', stop, { once: true })
  try {
    await runThreads(job, threads)
  } finally {
    signal?.removeEventListener('abort', stop)
  }
  if (signal?.aborted) throw new CancelledError()
}

async function runThreads(job: TileJob, threads: number): Promise<void> {
  const workers = Array.from({ length: threads - 1 }, () => runWorker(job))
  const results = await Promise.allSettled([...workers, runHere(job)])
  const failed = results.find((result) => result.status === 'rejected')
  if (failed !== undefined) throw failed.reason
}

/** Behind the first tile, and then as often as anyone could see, the main thread lets signals and progress through. */
const BREATH_MS = 10

async function runHere(job: TileJob): Promise<void> {
  let last = -Infinity
  const breathe = async (): Promise<void> => {
    if (performance.now() - last < BREATH_MS) return
    await setImmediate()
    last = performance.now()
  }
  try {
    await runTiles(job, openWorkshop(job.bufferBytes), breathe)
  } catch (error) {
    stopTiles(job)
    throw error
  }
}

function runWorker(job: TileJob): Promise<void> {
  return new Promise((resolve, reject) => {
    let failure: ToolkitError | undefined
    const worker = new Worker(new URL('./worker.js', import.meta.url), {
      workerData: job,
      resourceLimits: { maxYoungGenerationSizeMb: WORKER_YOUNG_MB },
      ...WORKER_FLAGS,
    })
    worker.once('message', (error: PlainError) => {
      failure = revivedError(error)
      stopTiles(job)
    })
    worker.once('error', (error) => {
      failure = new InternalError(`a worker died: ${error.message}`)
      stopTiles(job)
    })
    worker.once('exit', (code) => {
      if (failure === undefined && code === 0) return resolve()
      stopTiles(job)
      reject(failure ?? new InternalError(`a worker ended with code ${code}; out of memory?`))
    })
  })
}
