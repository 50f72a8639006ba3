/** Executes a plan: side files, weights tile by tile, index, receipt, Modelfile; all or nothing. Decides nothing itself. */
import { createHash } from 'node:crypto'
import { closeSync, createReadStream, openSync, readSync, statSync } from 'node:fs'
import { resolve } from 'node:path'
import { CancelledError, VerificationError } from '../core/errors.js'
import { outputBytes, type Plan, type PlannedFile, type SideFile } from '../plan/plan.js'
import { AtomicOutput } from './atomic-output.js'
import { writeChecksums, writePieces } from './archive-parts.js'
import { checkOutputs, outputNames } from './check-outputs.js'
import { copyInto } from './copy-file.js'
import { fileSystemError } from '../core/file-errors.js'
import { runJob } from './pool.js'
import { threadCount, threadsWithin } from './memory.js'
import type { OnProgress } from './progress.js'
import { receiptText, tensorResults, type TensorResult, type ToolFacts } from './receipt.js'
import { createTileJob, jobProgress } from './tile-job.js'
import { prepareMembers } from './members.js'
import type { InflatedMembers } from './tile-reader.js'

const PROGRESS_INTERVAL_MS = 100
/** bf16 loses 4 % of deltas that are a twentieth of their weights, and 34 % of those that are a two-hundredth: from here on a user should know. */
const SHARE_WORTH_A_WARNING = 0.25

export interface ExecuteOptions {
  /** Replace outputs that are there already. Never inputs. */
  readonly force?: boolean
  /** Worker threads; one per core unless given. Never changes a byte. */
  readonly threads?: number
  /** Use fewer threads where more would take more memory than this, by the plan's own estimate. */
  readonly maxMemoryBytes?: number | undefined
  /** Read each finished file again and note its sha256. */
  readonly hash?: boolean
  readonly onProgress?: OnProgress
  readonly signal?: AbortSignal
}

export interface ExecuteResult {
  /** Absolute paths of everything written, in order of publication. */
  readonly files: readonly string[]
  readonly bytes: number
  readonly tensors: readonly TensorResult[]
  /** sha256 by file name, when asked for. */
  readonly hashes: ReadonlyMap<string, string>
  /** What the run found out that the user should worry about. */
  readonly warnings: readonly string[]
}

/**
 * Runs a plan.
 * @throws ToolkitError; then no output has its final name and no temporary file is left
 */
export async function execute(plan: Plan, tool: ToolFacts, options: ExecuteOptions = {}): Promise<ExecuteResult> {
  const { force = false, signal } = options
  if (signal?.aborted) throw new CancelledError()
  const outdated = checkOutputs(plan, force)
  const output = AtomicOutput.open(plan.root, outputNames(plan), outdated)
  try {
    const copied = { done: 0, total: copiedBytes(plan) }
    const createSideFiles = async (stage: SideFile['stage']): Promise<void> => {
      for (const file of plan.sideFiles) if (file.stage === stage) await createSideFile(file, output, copied, options)
    }
    await createSideFiles('before')
    const paths = plan.files.map((file) => output.create(file.name, file.header, file.byteLength))
    plan.files.forEach((file, i) => writePieces(file, paths[i] ?? ''))
    const inflated = await prepareMembers(plan, output, options)
    const results = await writeTensors(plan, paths, inflated, options)
    options.onProgress?.({ phase: 'finish', doneBytes: outputBytes(plan), totalBytes: outputBytes(plan), current: plan.target })
    plan.files.forEach((file, i) => verifyFile(file, paths[i] ?? ''))
    const hashes = options.hash === true ? await hashFiles(plan, paths, options) : new Map<string, string>()
    await createSideFiles('after')
    if (plan.receipt !== undefined) output.create(plan.receipt, encode(receiptText(plan, tool, results, hashes)))
    await createSideFiles('last')
    output.sync()
    if (signal?.aborted) throw new CancelledError()
    await output.publish()
    return {
      files: outputNames(plan).map((name) => resolve(plan.root, name)),
      bytes: outputBytes(plan),
      tensors: results,
      hashes,
      warnings: findings(plan, results),
    }
  } catch (error) {
    output.discard()
    throw error
  }
}

async function writeTensors(
  plan: Plan,
  paths: readonly string[],
  inflated: InflatedMembers,
  { threads, maxMemoryBytes, signal, onProgress }: ExecuteOptions,
): Promise<TensorResult[]> {
  const used = threadCount(plan, maxMemoryBytes === undefined ? threads : threadsWithin(plan, threads, maxMemoryBytes))
  const job = createTileJob(plan, paths, used, inflated)
  const totalBytes = plan.tensors.reduce((sum, { byteLength }) => sum + byteLength, 0)
  const report = (): void => {
    const { doneBytes, tensor } = jobProgress(job)
    onProgress?.({ phase: 'write', doneBytes, totalBytes, current: tensor })
  }
  const timer = setInterval(report, PROGRESS_INTERVAL_MS)
  try {
    await runJob(job, used, signal)
  } finally {
    clearInterval(timer)
  }
  report()
  plan.files.forEach((file, i) => writeChecksums(file, paths[i] ?? '', job))
  return tensorResults(plan, job)
}

const SHOWN_COPY_BYTES = 67_108_864 // a copy that takes no time needs no progress

function copiedBytes({ sideFiles }: Plan): number {
  return sideFiles.reduce((sum, { content }) => sum + (content.kind === 'copy' ? content.source.byteLength : 0), 0)
}

async function createSideFile(
  { name, content }: SideFile,
  output: AtomicOutput,
  copied: { done: number; readonly total: number },
  { signal, onProgress }: ExecuteOptions,
): Promise<void> {
  if (content.kind === 'text') return void output.create(name, encode(content.text))
  const path = output.create(name, new Uint8Array(0), content.source.byteLength)
  await copyInto(path, content.source, (byteLength) => {
    if (signal?.aborted === true) throw new CancelledError()
    copied.done += byteLength
    if (copied.total >= SHOWN_COPY_BYTES) onProgress?.({ phase: 'copy', doneBytes: copied.done, totalBytes: copied.total, current: name })
  })
}

/** Opens a finished file again: its size and header must be what was planned. */
function verifyFile(file: PlannedFile, path: string): void {
  const { size } = statSync(path)
  if (size !== file.byteLength)
    throw new VerificationError(`has ${size} bytes after writing, ${file.byteLength} were planned. Is the disk failing?`, { file: file.name })
  const header = new Uint8Array(file.header.byteLength)
  const handle = openSync(path, 'r')
  try {
    for (let done = 0; done < header.byteLength;) {
      const count = readSync(handle, header, done, header.byteLength - done, done)
      if (count === 0) break
      done += count
    }
  } finally {
    closeSync(handle)
  }
  const fault = header.findIndex((byte, i) => byte !== file.header[i])
  if (fault >= 0) throw new VerificationError('reads back another byte than was written. Is the disk failing?', { file: file.name, offset: fault })
}

async function hashFiles(plan: Plan, paths: readonly string[], { onProgress, signal }: ExecuteOptions): Promise<Map<string, string>> {
  const hashes = new Map<string, string>()
  const totalBytes = plan.files.reduce((sum, { byteLength }) => sum + byteLength, 0)
  let doneBytes = 0
  for (const [i, file] of plan.files.entries()) {
    const hash = createHash('sha256')
    try {
      for await (const chunk of createReadStream(paths[i] ?? '', { highWaterMark: 1 << 20, ...(signal === undefined ? {} : { signal }) })) {
        hash.update(chunk as Uint8Array)
        doneBytes += (chunk as Uint8Array).byteLength
        onProgress?.({ phase: 'hash', doneBytes, totalBytes, current: file.name })
      }
    } catch (error) {
      throw signal?.aborted === true ? new CancelledError() : fileSystemError(error, file.name, 'read again')
    }
    hashes.set(file.name, hash.digest('hex'))
  }
  return hashes
}

/** What only the run could find out: kept NaNs, adapters that change nothing. */
function findings(plan: Plan, results: readonly TensorResult[]): string[] {
  const found: string[] = []
  const broken = results.filter(({ nonFinite }) => nonFinite > 0)
  const [first] = broken
  if (first !== undefined) {
    const count = broken.reduce((sum, { nonFinite }) => sum + nonFinite, 0)
    found.push(`${count} elements of ${broken.length} tensors are NaN or infinite in the base (first in ${first.name}); they were kept as they are`)
  }
  const changed = results.filter((_, i) => (plan.tensors[i]?.applied.length ?? 0) > 0)
  if (changed.length > 0 && changed.every(({ deltaRatio }) => deltaRatio === 0))
    found.push('the adapters change nothing: every delta is zero (an adapter that was never trained?)')
  return [...found, ...lostDeltas(plan, changed)]
}

/** Deltas so small that the output's type rounds them away: the merged model is in part the base. */
function lostDeltas(plan: Plan, results: readonly TensorResult[]): string[] {
  const [changed, lost] = [sumOf(results, 'changed'), sumOf(results, 'lost')]
  const share = lost / changed
  if (!(share >= SHARE_WORTH_A_WARNING)) return []
  const worst = results.reduce((most, one) => ((one.lost ?? 0) / (one.changed ?? 1) > (most.lost ?? 0) / (most.changed ?? 1) ? one : most))
  const types = [...new Set(plan.tensors.filter(({ applied }) => applied.length > 0).map(({ type }) => type.toLowerCase()))].join(' and ')
  const option = plan.kind === 'gguf' ? '--outtype f32' : '--dtype f32'
  return [
    `${types} is too coarse for ${percent(share)} of the elements that the adapters change: they are as in the base (most of all in ${worst.name}, ${percent((worst.lost ?? 0) / (worst.changed ?? 1))}); ${option} keeps all of them`,
  ]
}

function sumOf(results: readonly TensorResult[], field: 'changed' | 'lost'): number {
  return results.reduce((sum, result) => sum + (result[field] ?? 0), 0)
}

function percent(share: number): string {
  return `${(share * 100).toFixed(0)} %`
}

function encode(text: string): Uint8Array {
  return new TextEncoder().encode(text)
}
