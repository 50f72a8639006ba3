/**
 * What one worker does: take a tile, read, compute, encode, write it at its place, note what was found. Runs in a worker
 * thread, or in the main thread when the work is small.
 */
import { crc32 } from 'node:zlib'
import { floatsOf } from '../core/bytes.js'
import { quantBytes } from '../core/quant-types.js'
import { programShape, tensorsOf } from '../core/row-program.js'
import type { TensorInfo } from '../core/tensor-info.js'
import type { PlannedTensor } from '../plan/plan.js'
import { checkRange, countNonFinite, countNonFiniteHalves } from '../quantize/range.js'
import type { Workshop } from './arithmetic.js'
import { Evaluator } from './evaluate.js'
import { moveMxfp4 } from './move-blocks.js'
import { settleNonFinite } from './non-finite.js'
import { isStopped, takeTiles, tensorOfTile, writeRecord, type TileJob } from './tile-job.js'
import { TileOutputs } from './tile-outputs.js'
import { createTileReader, type TileReader } from './tile-reader.js'

/** The bits of 65504, the largest f16: a tile without anything larger needs no closer look, whatever its type. */
const EVERY_TYPE_HOLDS = 0x477f_e000

type RowsProgram = Extract<PlannedTensor['program'], { kind: 'rows' }>

/**
 * Works until no tile is left.
 * @param pause  called between tiles: lets the main thread's timers and signals run
 */
export async function runTiles(job: TileJob, workshop: Workshop, pause?: () => Promise<void>): Promise<void> {
  const worker = new TileWorker(job, workshop)
  try {
    for (let { first, end } = takeTiles(job); first < end; { first, end } = takeTiles(job)) {
      for (let tile = first; tile < end && !isStopped(job); tile++) {
        await worker.run(tile)
        if (pause !== undefined) await pause()
      }
    }
    await worker.finish()
  } finally {
    await worker.close()
  }
}

class TileWorker {
  private readonly job: TileJob
  private readonly workshop: Workshop
  private readonly reader: TileReader
  private readonly evaluator: Evaluator
  private readonly outputs: TileOutputs
  private current = -1

  constructor(job: TileJob, workshop: Workshop) {
    this.job = job
    this.workshop = workshop
    this.reader = createTileReader(job.inflated)
    this.evaluator = new Evaluator(this.reader, workshop)
    this.outputs = new TileOutputs(job.outputs, workshop.arena, job.largestOutput)
  }

  async run(tile: number): Promise<void> {
    const index = tensorOfTile(this.job, tile)
    const tensor = this.job.tensors[index]!
    if (index !== this.current) this.evaluator.forgetFactors()
    this.current = index
    const unit = (tile - this.job.firstTile[index]!) * tensor.tile
    const { program } = tensor
    this.evaluator.beginTile(program.kind === 'rows' ? program.encode : 'f32')
    const { position, byteLength } = outputOf(tensor, unit)
    const output = await this.outputs.take(tensor.file, tensor.offset + position, byteLength)
    const mark = this.workshop.arena.mark()
    const nonFinite =
      program.kind === 'bytes'
        ? this.copy(program.tensor, unit, output)
        : program.moves === true
          ? this.move(program, unit, output)
          : this.compute(program, tensor, unit, output)
    this.workshop.arena.release(mark)
    const { norms, losses } = this.evaluator
    const { changed, lost } = losses
    writeRecord(this.job, tile, { deltaSquares: norms.delta, weightSquares: norms.weight, nonFinite, changed, lost, crc32: crc32(output), byteLength })
  }

  /** Waits until all is written. @throws FormatError when an input changed during the run */
  async finish(): Promise<void> {
    await this.outputs.finish()
    this.reader.checkUnchanged()
  }

  async close(): Promise<void> {
    await this.outputs.close()
    this.reader.close()
  }

  /** These three put a tile into `output`. @returns how many of its elements are NaN or infinite */
  private copy(source: TensorInfo, from: number, output: Uint8Array): number {
    this.reader.read(source.source, output, source.offset + from)
    return countNonFiniteBytes(output, source)
  }

  /** Blocks of numbers are never NaN or infinite here: their scales would have to be, which GGUF's do not know. */
  private move(program: RowsProgram, first: number, output: Uint8Array): number {
    moveMxfp4(this.reader, program.rows, first, output)
    return 0
  }

  private compute(program: RowsProgram, tensor: PlannedTensor, first: number, output: Uint8Array): number {
    const { rows, cols } = programShape(program.rows)
    const values = floatsOf(this.workshop.arena.take(Math.min(tensor.tile, rows - first) * cols * 4))
    const largest = this.evaluator.rowsAndLargest(program.rows, first, values)
    const place = { file: this.job.outputs[tensor.file]?.name ?? '', tensor: tensor.name }
    const nonFinite = largest <= EVERY_TYPE_HOLDS ? 0 : checkRange(program.encode, values, place, first * cols, this.job.clampOverflow)
    this.encode(program, rows, first, values, output)
    const { encode } = program
    if (nonFinite > 0 && (encode === 'f32' || encode === 'f16' || encode === 'bf16')) settleNonFinite(encode, tensorsOf(program.rows)[0]?.dtype, values, output)
    return nonFinite
  }

  /** A stack of matrices has weights for each of them; a tile may reach from one into the next. */
  private encode({ encode: type, importance, rows: program }: RowsProgram, rows: number, first: number, values: Float32Array, output: Uint8Array): void {
    const { cols } = programShape(program)
    if (importance === undefined) return this.workshop.arithmetic.encode(type, values, output, cols)
    const rowsOfMatrix = (rows * cols) / importance.length
    for (let row = first; row < first + values.length / cols;) {
      const matrix = Math.floor(row / rowsOfMatrix)
      const end = Math.min(first + values.length / cols, (matrix + 1) * rowsOfMatrix)
      const [from, to] = [(row - first) * cols, (end - first) * cols]
      this.workshop.arithmetic.encode(
        type,
        values.subarray(from, to),
        output.subarray(quantBytes(type, from), quantBytes(type, to)),
        cols,
        importance.subarray(matrix * cols, (matrix + 1) * cols),
      )
      row = end
    }
  }
}

/** Where in its tensor the output of a tile lies. @param unit  its first row, or byte */
function outputOf({ program, tile }: PlannedTensor, unit: number): { position: number; byteLength: number } {
  if (program.kind === 'bytes') return { position: unit, byteLength: Math.min(tile, program.tensor.byteLength - unit) }
  const { rows, cols } = programShape(program.rows)
  return { position: quantBytes(program.encode, unit * cols), byteLength: quantBytes(program.encode, Math.min(tile, rows - unit) * cols) }
}

function countNonFiniteBytes(bytes: Uint8Array, { dtype }: TensorInfo): number {
  if (dtype === 'F16' || dtype === 'BF16') return countNonFiniteHalves(bytes, dtype)
  return dtype === 'F32' ? countNonFinite(floatsOf(bytes)) : 0
}
