/** Runs the tiles of a job on worker threads, or on the main thread when starting threads would take longer than the work. */
import { availableParallelism } from 'node:os'
import { setImmediate } from 'node:timers/promises'
import { Worker } from 'node:worker_threads'
import { CancelledError, InternalError, revivedError, type PlainError, type ToolkitError } from '../core/errors.js'
import { openWorkshop } from './arithmetic.js'
import { bufferBytes } from './memory.js'
import { runTiles } from './run-tiles.js'
import { stopTiles, totalTiles, type TileJob } from './tile-job.js'

/** Below this many output bytes the main thread does the work: starting a worker takes about 50 ms. */
const SMALL_JOB_BYTES = 4_194_304

// workers inherit node's flags, and refuse to start from a file under this one (a library used in `node --input-type=module -e`)
const WORKER_FLAGS = process.execArgv.some((flag) => flag.startsWith('--input-type')) ? { execArgv: [] } : {}

/** How many threads a job gets. @param asked by the user, or undefined for one per core */
export function threadCount(job: TileJob, outputBytes: number, asked: number | undefined): number {
  if (asked === undefined && outputBytes < SMALL_JOB_BYTES) return 1
  return Math.max(1, Math.min(asked ?? availableParallelism(), totalTiles(job)))
}

/**
 * Runs all tiles. Returns when every byte is written.
 * @throws whatever the first failing worker threw; CancelledError when `signal` fires
 */
export async function runJob(job: TileJob, threads: number, signal?: AbortSignal): Promise<void> {
  const stop = (): void => stopTiles(job)
  if (signal?.aborted) throw new CancelledError()
  signal?.addEventListener('abort', stop, { once: true })
  try {
    if (threads === 1) await runTiles(job, openWorkshop(bufferBytes(job.tensors)), () => setImmediate())
    else await runWorkers(job, threads)
  } finally {
    signal?.removeEventListener('abort', stop)
  }
  if (signal?.aborted) throw new CancelledError()
}

async function runWorkers(job: TileJob, threads: number): Promise<void> {
  const results = await Promise.allSettled(Array.from({ length: threads }, () => runWorker(job)))
  const failed = results.find((result) => result.status === 'rejected')
  if (failed !== undefined) throw failed.reason
}

function runWorker(job: TileJob): Promise<void> {
  return new Promise((resolve, reject) => {
    let failure: ToolkitError | undefined
    const worker = new Worker(new URL('./worker.js', import.meta.url), { workerData: job, ...WORKER_FLAGS })
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
