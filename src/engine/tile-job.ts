/**
 * The tiles of a plan as one numbered list that all workers share: a cursor says which is next, a record per tile keeps
 * what its worker found out. Shared memory, so that no messages are needed while data flows.
 */
import { crc32Combined } from '../core/crc32.js'
import type { PlannedFile, PlannedTensor, Plan } from '../plan/plan.js'
import { tileCount } from '../plan/tiles.js'
import { bufferBytes, largestOutput } from './memory.js'
import type { OutputFile } from './tile-outputs.js'
import type { InflatedMembers } from './tile-reader.js'

const RECORD_BYTES = 48 // f64: ΔW², W², not-finite count, changed and lost elements; u32: CRC-32, length
/** Tiles that are taken together are written together, which disks like; but with many turns all workers are busy to the end. */
const MOST_AT_ONCE = 4
const LEAST_TURNS = 32
const CONTROL_BYTES = 24 // cursor i32, stop i32, latest tile i32, padding, bytes done i64

/** What a worker needs to work, and nothing else; clonable to a thread. */
export interface TileJob {
  readonly tensors: readonly PlannedTensor[]
  readonly outputs: readonly OutputFile[]
  /** Number of the first tile of each tensor, and the total as last entry. */
  readonly firstTile: readonly number[]
  /** How many tiles a worker takes at once. */
  readonly atOnce: number
  readonly clampOverflow: boolean
  /** What the buffers of one worker take together, and the largest output of a tile (src/engine/memory.ts). */
  readonly bufferBytes: number
  readonly largestOutput: number
  /** Deflated records of archives, inflated. */
  readonly inflated: InflatedMembers
  readonly control: SharedArrayBuffer
  readonly records: SharedArrayBuffer
}

/** Lays out the job of a plan for so many threads. */
export function createTileJob(plan: Plan, paths: readonly string[], threads: number, inflated: InflatedMembers): TileJob {
  const firstTile = [0]
  for (const { program, tile } of plan.tensors) firstTile.push((firstTile.at(-1) ?? 0) + tileCount(program, tile))
  return {
    tensors: plan.tensors,
    outputs: plan.files.map((file: PlannedFile, i) => ({ path: paths[i] ?? '', name: file.name, byteLength: file.byteLength })),
    firstTile,
    atOnce: Math.max(1, Math.min(MOST_AT_ONCE, Math.floor((firstTile.at(-1) ?? 0) / (threads * LEAST_TURNS)))),
    clampOverflow: plan.clampOverflow,
    bufferBytes: bufferBytes(plan.tensors),
    largestOutput: largestOutput(plan.tensors),
    inflated,
    control: new SharedArrayBuffer(CONTROL_BYTES),
    records: new SharedArrayBuffer(Math.max(1, firstTile.at(-1) ?? 0) * RECORD_BYTES),
  }
}

export function totalTiles(job: TileJob): number {
  return job.firstTile.at(-1) ?? 0
}

/** Takes the next tiles, some that follow one another; none when none is left or the run was stopped. */
export function takeTiles(job: TileJob): { readonly first: number; readonly end: number } {
  if (isStopped(job)) return { first: 0, end: 0 }
  const control = new Int32Array(job.control, 0, 3)
  const first = Atomics.add(control, 0, job.atOnce)
  const end = Math.min(first + job.atOnce, totalTiles(job))
  if (first < end) Atomics.store(control, 2, first)
  return { first, end }
}

export function isStopped(job: TileJob): boolean {
  return Atomics.load(new Int32Array(job.control, 0, 3), 1) !== 0
}

/** Makes all workers stop before their next tile. */
export function stopTiles(job: TileJob): void {
  Atomics.store(new Int32Array(job.control, 0, 3), 1, 1)
}

/** Position in `job.tensors` of the tensor that a tile belongs to. */
export function tensorOfTile(job: TileJob, tile: number): number {
  let low = 0
  let high = job.tensors.length - 1
  while (low < high) {
    const middle = (low + high + 1) >> 1
    if ((job.firstTile[middle] ?? 0) <= tile) low = middle
    else high = middle - 1
  }
  return low
}

/** What was found out about one tile, or summed over the tiles of a tensor. */
export interface TileRecord {
  readonly deltaSquares: number
  readonly weightSquares: number
  readonly nonFinite: number
  /** Elements whose delta is not 0, and those of them that the output's type (f16, bf16) rounds away; 0 for other types. */
  readonly changed: number
  readonly lost: number
  /** Of the tile's output bytes. */
  readonly crc32: number
  /** Number of output bytes. */
  readonly byteLength: number
}

export function writeRecord(job: TileJob, tile: number, record: TileRecord): void {
  const view = new DataView(job.records, tile * RECORD_BYTES, RECORD_BYTES)
  view.setFloat64(0, record.deltaSquares, true)
  view.setFloat64(8, record.weightSquares, true)
  view.setFloat64(16, record.nonFinite, true)
  view.setFloat64(24, record.changed, true)
  view.setFloat64(32, record.lost, true)
  view.setUint32(40, record.crc32, true)
  view.setUint32(44, record.byteLength, true)
  Atomics.add(new BigInt64Array(job.control, 16, 1), 0, BigInt(record.byteLength))
}

export function readRecord(job: TileJob, tile: number): TileRecord {
  const view = new DataView(job.records, tile * RECORD_BYTES, RECORD_BYTES)
  return {
    deltaSquares: view.getFloat64(0, true),
    weightSquares: view.getFloat64(8, true),
    nonFinite: view.getFloat64(16, true),
    changed: view.getFloat64(24, true),
    lost: view.getFloat64(32, true),
    crc32: view.getUint32(40, true),
    byteLength: view.getUint32(44, true),
  }
}

/** CRC-32 of a tensor's bytes, all of whose tiles are written: they follow each other in the file as they do in the job. */
export function crc32OfTensor(job: TileJob, tensor: number): number {
  let crc = 0
  for (let tile = job.firstTile[tensor] ?? 0; tile < (job.firstTile[tensor + 1] ?? 0); tile++) {
    const record = readRecord(job, tile)
    crc = crc32Combined(crc, record.crc32, record.byteLength)
  }
  return crc
}

/** Output bytes that are written, and the tensor that was begun last. */
export function jobProgress(job: TileJob): { doneBytes: number; tensor: string } {
  const latest = Atomics.load(new Int32Array(job.control, 0, 3), 2)
  return { doneBytes: Number(Atomics.load(new BigInt64Array(job.control, 16, 1), 0)), tensor: job.tensors[tensorOfTile(job, latest)]?.name ?? '' }
}
