/**
 * The tiles of a plan as one numbered list that all workers share: a cursor says which is next, a record per tile keeps
 * what its worker found out. Shared memory, so that no messages are needed while data flows.
 */
import type { PlannedFile, PlannedTensor, Plan } from '../plan/plan.js'
import { tileCount } from '../plan/tiles.js'
import type { InflatedMembers } from './tile-reader.js'

const RECORD_BYTES = 48 // f64: ΔW², W², not-finite count, changed and lost elements; u32: CRC-32, length
const CONTROL_BYTES = 24 // cursor i32, stop i32, latest tile i32, padding, bytes done i64

/** What a worker needs to work, and nothing else; clonable to a thread. */
export interface TileJob {
  readonly tensors: readonly PlannedTensor[]
  /** Where each file of the plan is being written, and its name for messages. */
  readonly outputs: readonly { readonly path: string; readonly name: string }[]
  /** Number of the first tile of each tensor, and the total as last entry. */
  readonly firstTile: readonly number[]
  readonly clampOverflow: boolean
  /** Deflated records of archives, inflated. */
  readonly inflated: InflatedMembers
  readonly control: SharedArrayBuffer
  readonly records: SharedArrayBuffer
}

/** Lays out the job of a plan. */
export function createTileJob(plan: Plan, paths: readonly string[], inflated: InflatedMembers = new Map()): TileJob {
  const firstTile = [0]
  for (const { program, tile } of plan.tensors) firstTile.push((firstTile.at(-1) ?? 0) + tileCount(program, tile))
  return {
    tensors: plan.tensors,
    outputs: plan.files.map((file: PlannedFile, i) => ({ path: paths[i] ?? '', name: file.name })),
    firstTile,
    clampOverflow: plan.clampOverflow,
    inflated,
    control: new SharedArrayBuffer(CONTROL_BYTES),
    records: new SharedArrayBuffer(Math.max(1, firstTile.at(-1) ?? 0) * RECORD_BYTES),
  }
}

export function totalTiles(job: TileJob): number {
  return job.firstTile.at(-1) ?? 0
}

/** Takes the next tile, or -1 when none is left or the run was stopped. */
export function takeTile(job: TileJob): number {
  const control = new Int32Array(job.control, 0, 3)
  if (Atomics.load(control, 1) !== 0) return -1
  const tile = Atomics.add(control, 0, 1)
  if (tile >= totalTiles(job)) return -1
  Atomics.store(control, 2, tile)
  return tile
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
  new Float64Array(job.records, tile * RECORD_BYTES, 5).set([record.deltaSquares, record.weightSquares, record.nonFinite, record.changed, record.lost])
  new Uint32Array(job.records, tile * RECORD_BYTES + 40, 2).set([record.crc32, record.byteLength])
  Atomics.add(new BigInt64Array(job.control, 16, 1), 0, BigInt(record.byteLength))
}

export function readRecord(job: TileJob, tile: number): TileRecord {
  const [deltaSquares = 0, weightSquares = 0, nonFinite = 0, changed = 0, lost = 0] = new Float64Array(job.records, tile * RECORD_BYTES, 5)
  const [crc32 = 0, byteLength = 0] = new Uint32Array(job.records, tile * RECORD_BYTES + 40, 2)
  return { deltaSquares, weightSquares, nonFinite, changed, lost, crc32, byteLength }
}

/** Output bytes that are written, and the tensor that was begun last. */
export function jobProgress(job: TileJob): { doneBytes: number; tensor: string } {
  const latest = Atomics.load(new Int32Array(job.control, 0, 3), 2)
  return { doneBytes: Number(Atomics.load(new BigInt64Array(job.control, 16, 1), 0)), tensor: job.tensors[tensorOfTile(job, latest)]?.name ?? '' }
}
