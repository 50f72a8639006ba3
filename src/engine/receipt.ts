/**
 * The receipt: what went into an output and what came out, tensor by tensor. Holds no time, path, host or user name, so
 * that the same run gives the same receipt.
 */
import { createHash } from 'node:crypto'
import type { ByteDescriptor } from '../core/bytes.js'
import { lastPart } from '../core/paths.js'
import type { Plan, PlannedTensor } from '../plan/plan.js'
import { inputsOf } from '../plan/plan.js'
import { crc32OfTensor, readRecord, type TileJob } from './tile-job.js'

/** Names and versions that a receipt states; given by the caller, who knows them. */
export interface ToolFacts {
  readonly name: string
  readonly version: string
  /** Revisions of the reference tools (reference.json). */
  readonly reference: Readonly<Record<string, string>>
}

/** What a run found out about one output tensor. */
export interface TensorResult {
  readonly name: string
  /** `crc32:` + CRC-32 of the tensor's bytes as they lie in the file, in 8 hexadecimal digits. */
  readonly digest: string
  /** ‖ΔW‖ / ‖W‖ for tensors that adapters changed. */
  readonly deltaRatio?: number
  /** Elements that adapters changed, and those of them that are as before because f16 or bf16 cannot hold the difference. */
  readonly changed?: number
  readonly lost?: number
  /** NaN and infinite elements that were kept. */
  readonly nonFinite: number
}

const RATIO_DIGITS = 6

/** Sums up the tiles' records, in tile order, so that the figures do not depend on threads. */
export function tensorResults(plan: Plan, job: TileJob): TensorResult[] {
  return plan.tensors.map((tensor, i) => {
    let [delta, weight, nonFinite, changed, lost] = [0, 0, 0, 0, 0]
    for (let tile = job.firstTile[i] ?? 0; tile < (job.firstTile[i + 1] ?? 0); tile++) {
      const record = readRecord(job, tile)
      delta += record.deltaSquares
      weight += record.weightSquares
      nonFinite += record.nonFinite
      changed += record.changed
      lost += record.lost
    }
    const digest = `crc32:${crc32OfTensor(job, i).toString(16).padStart(8, '0')}`
    const counted = changed === 0 ? {} : { changed, lost }
    return { name: tensor.name, digest, ...(tensor.applied.length === 0 ? {} : { deltaRatio: ratio(delta, weight), ...counted }), nonFinite }
  })
}

/** The receipt's text: JSON, 2 spaces, one trailing newline. @param hashes sha256 of whole files, when --hash was given */
export function receiptText(plan: Plan, tool: ToolFacts, results: readonly TensorResult[], hashes: ReadonlyMap<string, string>): string {
  const receipt = {
    tool: { name: tool.name, version: tool.version, reference: tool.reference },
    kind: plan.kind,
    fingerprint: fingerprint(plan, tool),
    base: lastPart(plan.base),
    adapters: plan.adapters.map((adapter) => ({ ...adapter, label: lastPart(adapter.label) })),
    inputs: inputsOf(plan).map(({ name, byteLength }) => ({ name: lastPart(name), bytes: byteLength })),
    options: plan.options,
    outputs: plan.files.map(({ name, byteLength }) => ({ name, bytes: byteLength, ...(hashes.has(name) ? { sha256: hashes.get(name) } : {}) })),
    decisions: plan.decisions,
    warnings: plan.warnings,
    tensors: plan.tensors.map((tensor, i) => tensorEntry(tensor, results[i])),
  }
  return `${JSON.stringify(receipt, null, 2)}\n`
}

/** sha256 of the plan's canonical JSON: what goes in (sizes, programs, options), never where it lies. */
export function fingerprint(plan: Plan, tool: ToolFacts): string {
  const canonical = JSON.stringify(
    { tool: [tool.name, tool.version], options: plan.options, adapters: plan.adapters, files: plan.files, tensors: plan.tensors, sideFiles: plan.sideFiles },
    (key, value: unknown) => {
      if (value instanceof Uint8Array) return createHash('sha256').update(value).digest('hex')
      if (isDescriptor(value)) return { name: lastPart(value.name), byteLength: value.byteLength }
      return key === 'label' && typeof value === 'string' ? lastPart(value) : value
    },
  )
  return `sha256:${createHash('sha256').update(canonical).digest('hex')}`
}

function tensorEntry(tensor: PlannedTensor, result: TensorResult | undefined): object {
  const { name, type, shape, byteLength, from, applied } = tensor
  return {
    name,
    type,
    shape,
    bytes: byteLength,
    from,
    ...(applied.length === 0 ? {} : { adapters: applied, deltaRatio: result?.deltaRatio }),
    ...(result?.changed === undefined ? {} : { lostToRounding: (result.lost ?? 0) / result.changed }),
    ...(result !== undefined && result.nonFinite > 0 ? { nonFinite: result.nonFinite } : {}),
    digest: result?.digest,
  }
}

/** Six digits: the sums behind it depend on the tile's size in their last ones. */
function ratio(delta: number, weight: number): number {
  return delta === 0 ? 0 : Number((Math.sqrt(delta) / Math.sqrt(weight)).toPrecision(RATIO_DIGITS))
}

function isDescriptor(value: unknown): value is ByteDescriptor {
  return typeof value === 'object' && value !== null && 'byteLength' in value && 'kind' in value && (value.kind === 'file' || value.kind === 'memory')
}
