/** How much memory a run will take: what the plan says before the first byte is read. */
import { availableParallelism } from 'node:os'
import { UsageError } from '../core/errors.js'
import { QUANT_TYPES, quantBytes } from '../core/quant-types.js'
import { programShape, type RowProgram } from '../core/row-program.js'
import { elementCount } from '../core/shape.js'
import { FACTOR_ELEMENTS, KEPT_OF_STACK_BYTES } from './factor-rows.js'
import { PANEL_ELEMENTS } from './operations-adapters.js'
import type { Plan, PlannedTensor } from '../plan/plan.js'
import { tileCount } from '../plan/tiles.js'
import { outputBuffers } from './tile-outputs.js'

// measured on Node 20 (docs/performance.md): the process with our modules, and what one more worker thread costs
const PROCESS_BYTES = 64_000_000
const WORKER_BYTES = 10_500_000
/** The ends of buffers that are rounded up. */
const KERNEL_BYTES = 65_536

/** Below this many output bytes the main thread works alone: starting a worker takes about 50 ms. */
const SMALL_JOB_BYTES = 4_194_304

/** How many threads a run gets. @param asked by the user, or undefined for one per core */
export function threadCount({ tensors }: Plan, asked: number | undefined): number {
  const bytes = tensors.reduce((sum, { byteLength }) => sum + byteLength, 0)
  if (asked === undefined && bytes < SMALL_JOB_BYTES) return 1
  const tiles = tensors.reduce((sum, { program, tile }) => sum + tileCount(program, tile), 0)
  return Math.max(1, Math.min(asked ?? availableParallelism(), tiles))
}

/** Peak resident bytes that are expected, whatever the model's size. @param asked threads; undefined: one per core */
export function expectedPeakBytes(plan: Plan, asked: number | undefined): number {
  const threads = threadCount(plan, asked)
  const buffers = bufferBytes(plan.tensors)
  const headers = plan.files.reduce(
    (sum, { header, pieces = [] }) => pieces.reduce((bytes, piece) => bytes + piece.bytes.byteLength, sum + header.byteLength),
    0,
  )
  return PROCESS_BYTES + headers * 3 + threads * buffers + (threads - 1) * WORKER_BYTES
}

/**
 * As many threads as fit into a limit.
 * @throws UsageError when not even one does
 */
export function threadsWithin(plan: Plan, asked: number | undefined, maxBytes: number): number {
  let threads = threadCount(plan, asked)
  while (threads > 1 && expectedPeakBytes(plan, threads) > maxBytes) threads--
  const needed = expectedPeakBytes(plan, threads)
  if (needed > maxBytes) throw new UsageError(`--max-memory is ${maxBytes} bytes; this run needs about ${needed} with one thread.`)
  return threads
}

/** What of a planned tensor its buffers depend on. */
export type Tiled = Pick<PlannedTensor, 'program' | 'tile'>

/** What the buffers of one worker take together, whichever tensor it works on. */
export function bufferBytes(tensors: readonly Tiled[]): number {
  return tensors.reduce((most, tensor) => Math.max(most, tileBytes(tensor)), 0) + outputBuffers(largestOutput(tensors)) + KERNEL_BYTES
}

/** Bytes of the largest output of a tile. */
export function largestOutput(tensors: readonly Tiled[]): number {
  const sizes = tensors.map(({ program, tile }) => (program.kind === 'bytes' ? tile : quantBytes(program.encode, tile * programShape(program.rows).cols)))
  return sizes.reduce((most, size) => Math.max(most, size), 0)
}

/** Buffers of one worker while it computes a tile of a tensor. */
function tileBytes({ program, tile }: Tiled): number {
  if (program.kind === 'bytes') return 0
  const { cols } = programShape(program.rows)
  const { blockElements } = QUANT_TYPES[program.encode]
  // with importance, a row of it and a sum of squares for each row or block
  const weights = program.importance === undefined ? 0 : (cols + tile * (1 + cols / Math.max(32, blockElements))) * 4
  return weights + tile * cols * 4 + scratchBytes(program.rows, tile)
}

function scratchBytes(program: RowProgram, rows: number): number {
  const { cols } = programShape(program)
  switch (program.op) {
    case 'read':
      return rows * cols * 2
    case 'values':
    case 'fill':
      return 0
    case 'gather':
      return rows * cols * 4
    case 'transpose':
      return keptBytes(program.input)
    case 'addConstant':
    case 'apply':
      return scratchBytes(program.input, rows)
    case 'lowRank':
      // A packed in strips, some rows of it on their way there, B as it is and in bands
      return lastingBytes(program, rows) + (Math.max(cols, FACTOR_ELEMENTS) * 1.5 + (2 * rows + 4) * program.A.rows) * 4
    case 'add':
      return (
        rows * cols * 4 * (program.deltas.length > 1 ? 2 : 1) +
        scratchBytes(program.base, rows) +
        program.deltas.reduce((sum, delta) => sum + scratchBytes(delta, rows), 0)
      )
    case 'codes':
      return (rows + program.codes.packRows) * Math.ceil(cols / program.codes.packCols) * program.codes.wordBytes + 4 * 2 ** program.codes.bits
    case 'blockwise': {
      const gridRows = Math.min(programShape(program.grid).rows, Math.ceil(rows / program.blockRows) + Math.ceil(rows / program.matrixRows) + 1)
      const grid = gridRows * programShape(program.grid).cols * 4 + scratchBytes(program.grid, gridRows)
      return cols * 4 + Math.max(scratchBytes(program.input, rows), grid)
    }
    case 'round':
      return rows * cols * 2 + scratchBytes(program.input, rows)
    case 'sliceRows':
    case 'permuteRows':
      return rows * cols * 4 + scratchBytes(program.input, rows)
    case 'view':
      return rows * cols * 4
    case 'product': {
      const rank = programShape(program.A).rows
      return rows * rank * 4 + scratchBytes(program.B, rows) + keptBytes(program.A)
    }
    case 'multiply': {
      const by = programShape(program.right)
      return scratchBytes(program.left, rows) + (by.rows === 1 ? keptBytes(program.right) : rows * by.cols * 4 + scratchBytes(program.right, rows))
    }
    case 'scale':
      return scratchBytes(program.input, rows)
    case 'kron':
      return keptBytes(program.left) + keptBytes(program.right)
    case 'reshape': {
      const inner = programShape(program.input).cols
      const innerRows = Math.ceil((rows * cols) / inner) + 1
      return innerRows * inner * 4 + scratchBytes(program.input, innerRows)
    }
    case 'stack':
      return stackBytes(program.parts, rows)
    case 'beside':
      return program.parts.reduce((sum, part) => sum + rows * programShape(part).cols * 4 + scratchBytes(part, rows), 0)
    case 'replaceRows':
      return scratchBytes(program.input, rows) + scratchBytes(program.values, 1)
    case 'rescaleRows':
      return rows * 4 + scratchBytes(program.input, rows) + scratchBytes(program.lengths, rows)
    case 'rescaleColumns': {
      const panel = Math.max(rows, Math.ceil(PANEL_ELEMENTS / cols))
      return panel * cols * 4 + cols * 12 + scratchBytes(program.input, panel) + keptBytes(program.lengths)
    }
    case 'become':
      return rows * cols * 8 + scratchBytes(program.base, rows) + scratchBytes(program.changed, rows)
    case 'rotateColumns': {
      const { rows: blockRows, cols: size } = programShape(program.blocks)
      return scratchBytes(program.input, rows) + keptBytes(program.blocks) + blockRows * size * 4 + rows * size * 8 + cols * 4
    }
    case 'rotateRows': {
      const { cols: size } = programShape(program.blocks)
      return 2 * size * (cols + 8) * 4 + scratchBytes(program.input, size) + keptBytes(program.blocks)
    }
    case 'cayley':
      return (rows + program.size) * (programShape(program.input).cols + program.size) * 4 + program.size ** 2 * 32 + scratchBytes(program.input, rows)
    case 'reflectColumns':
      return scratchBytes(program.input, rows) + keptBytes(program.vectors) * 3 + cols * 8
    case 'rotatePairs':
      return (
        (rows + 2 * program.group) * cols * 4 + scratchBytes(program.input, rows + 2 * program.group) + keptBytes(program.first) + keptBytes(program.second)
      )
    case 'circulant':
      return keptBytes(program.input)
    case 'mixture': {
      const { shape } = program.choice.by === 'logits' ? program.choice.logits : program.choice.ids
      return keptBytes(program.bank) + elementCount(shape) * 32
    }
    case 'scatter':
      return keptBytes(program.values) + elementCount(program.positions.shape) * 32 + program.rows * 8
    case 'transposedProduct': {
      const { rows: height } = programShape(program)
      return height * cols * 12 + keptBytes(program.left) + PANEL_ELEMENTS * 4 + scratchBytes(program.right, Math.ceil(PANEL_ELEMENTS / cols))
    }
    case 'prunedSum': {
      const all = programShape(program)
      // the sum, every part, and what ranking one takes
      return all.rows * cols * 4 * (program.parts.length + 3) + program.parts.reduce((most, { input }) => Math.max(most, scratchBytes(input, all.rows)), 0)
    }
    case 'truncatedProduct': {
      const size = programShape(program.A).rows
      const panel = PANEL_ELEMENTS * 12 + scratchBytes(program.B, Math.max(rows, Math.ceil(PANEL_ELEMENTS / size)))
      return keptBytes(program.A) + (program.rank * (cols + 8) + cols * 3 + rows * (size + program.rank)) * 4 + size ** 2 * 48 + panel
    }
    case 'orthonormal':
      return keptBytes(program.input) * 5
    case 'dropSmallest': {
      const all = programShape(program)
      const shorter = Math.min(all.rows, all.cols)
      const wide = all.rows < all.cols ? keptBytes(program.input) : PANEL_ELEMENTS * 4
      return shorter ** 2 * 16 + wide + program.count * (all.rows + cols) * 8 + scratchBytes(program.input, rows)
    }
  }
}

/** Parts are computed one after the other; what is kept is that of the last ones (src/engine/evaluate.ts). */
function stackBytes(parts: readonly RowProgram[], rows: number): number {
  const lasting = lastingOfParts(parts, rows)
  const passing = parts.map((part, i) => scratchBytes(part, partRows(part, rows)) - (lasting[i] ?? 0))
  return Math.max(...passing) + keptOfStack(parts, rows, lasting)
}

function lastingOfParts(parts: readonly RowProgram[], rows: number): number[] {
  return parts.map((part) => lastingBytes(part, partRows(part, rows)))
}

/** Parts of one tile, and those before it as far as they are kept. */
function keptOfStack(parts: readonly RowProgram[], rows: number, kept = lastingOfParts(parts, rows)): number {
  const sum = kept.reduce((all, bytes) => all + bytes, 0)
  const inOneTile = 1 + Math.ceil(rows / Math.min(...parts.map((part) => programShape(part).rows)))
  return Math.min(sum, KEPT_OF_STACK_BYTES + 2 * inOneTile * Math.max(...kept))
}

function partRows(part: RowProgram, rows: number): number {
  return Math.min(rows, programShape(part).rows)
}

/** What of its scratch a program keeps: packed factors; all of it, where that is not looked into. */
function lastingBytes(program: RowProgram, rows: number): number {
  switch (program.op) {
    case 'read':
    case 'gather':
    case 'fill':
      return 0
    case 'lowRank':
      return program.A.rows * (program.A.cols + 8) * 4
    case 'sliceRows':
    case 'permuteRows':
      return lastingBytes(program.input, rows)
    case 'add':
      return [program.base, ...program.deltas].reduce((sum, part) => sum + lastingBytes(part, rows), 0)
    case 'stack':
      return keptOfStack(program.parts, rows)
    default:
      return scratchBytes(program, rows)
  }
}

/** A small program that is computed as a whole and kept. */
function keptBytes(program: RowProgram): number {
  const { rows, cols } = programShape(program)
  return rows * cols * 4 + scratchBytes(program, rows)
}
