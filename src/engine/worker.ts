/** Entry of a worker thread: runs tiles until none is left; a failure goes to the main thread as plain data. */
import { parentPort, workerData } from 'node:worker_threads'
import { plainError } from '../core/errors.js'
import { openWorkshop } from './arithmetic.js'
import { runTiles } from './run-tiles.js'
import type { TileJob } from './tile-job.js'

try {
  const job = workerData as TileJob
  await runTiles(job, openWorkshop(job.bufferBytes))
} catch (error) {
  parentPort?.postMessage(plainError(error))
}
