/** How much memory a run will take: what the plan says before the first byte is read. */
import { availableParallelism } from 'node:os'
import { QUANT_TYPES } from '../core/quant-types.js'
import { programShape, type RowProgram } from '../core/row-program.js'
import type { Plan, PlannedTensor } from '../plan/plan.js'

// measured on Node 20 (docs/performance.md): the process with our modules, and what one more worker thread costs
const PROCESS_BYTES = 72_000_000
const WORKER_BYTES = 14_000_000
/** A packed panel of a factor, and the ends of buffers that are rounded up. */
const KERNEL_BYTES = 262_144

/** Peak resident bytes that are expected, whatever the model's size. @param threads as asked for; undefined: one per core */
export function expectedPeakBytes(plan: Plan, threads: number | undefined): number {
  const workers = Math.max(1, threads ?? availableParallelism())
  const buffers = bufferBytes(plan.tensors)
  const headers = plan.files.reduce((sum, { header }) => sum + header.byteLength, 0)
  return PROCESS_BYTES + headers * 3 + workers * (WORKER_BYTES + buffers)
}

/** What the buffers of one worker take together, whichever tensor it works on. */
export function bufferBytes(tensors: readonly PlannedTensor[]): number {
  return tensors.reduce((most, tensor) => Math.max(most, tileBytes(tensor)), 0) + KERNEL_BYTES
}

/** Buffers of one worker while it computes a tile of a tensor. */
function tileBytes({ program, tile }: PlannedTensor): number {
  if (program.kind === 'bytes') return tile
  const { cols } = programShape(program.rows)
  const { blockBytes, blockElements } = QUANT_TYPES[program.encode]
  return tile * cols * (4 + blockBytes / blockElements) + scratchBytes(program.rows, tile)
}

function scratchBytes(program: RowProgram, rows: number): number {
  const { cols } = programShape(program)
  switch (program.op) {
    case 'read':
      return rows * cols * 2
    case 'values':
      return 0
    case 'lowRank':
      return (program.A.rows * cols + rows * program.A.rows) * 4 + program.A.rows * cols * 2 // A is widened from its halves once
    case 'add':
      return (
        rows * cols * 4 * (program.deltas.length > 1 ? 2 : 1) +
        scratchBytes(program.base, rows) +
        program.deltas.reduce((sum, delta) => sum + scratchBytes(delta, rows), 0)
      )
    case 'round':
      return rows * cols * 2 + scratchBytes(program.input, rows)
    case 'permuteRows':
      return rows * cols * 4 + scratchBytes(program.input, rows)
  }
}
