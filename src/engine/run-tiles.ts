/**
 * What one worker does: take a tile, read, compute, encode, write it at its place, note what was found. Runs in a worker
 * thread, or in the main thread when the work is small.
 */
import { crc32 } from 'node:zlib'
import { floatsOf, type ByteSink } from '../core/bytes.js'
import { QUANT_TYPES, quantBytes } from '../core/quant-types.js'
import { programShape, tensorsOf } from '../core/row-program.js'
import type { TensorInfo } from '../core/tensor-info.js'
import type { PlannedTensor } from '../plan/plan.js'
import { checkRange, countNonFinite, countNonFiniteHalves } from '../quantize/range.js'
import type { Workshop } from './arithmetic.js'
import { Evaluator } from './evaluate.js'
import { openFileSink } from './file-sink.js'
import { moveMxfp4 } from './move-blocks.js'
import { settleNonFinite } from './non-finite.js'
import { takeTile, tensorOfTile, writeRecord, type TileJob } from './tile-job.js'
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
    for (let tile = takeTile(job); tile >= 0; tile = takeTile(job)) {
      worker.run(tile)
      if (pause !== undefined) await pause()
    }
    worker.checkInputs()
  } finally {
    worker.close()
  }
}

class TileWorker {
  private readonly job: TileJob
  private readonly workshop: Workshop
  private readonly reader: TileReader
  private readonly evaluator: Evaluator
  private readonly sinks = new Map<number, ByteSink>()
  private current = -1

  constructor(job: TileJob, workshop: Workshop) {
    this.job = job
    this.workshop = workshop
    this.reader = createTileReader(job.inflated)
    this.evaluator = new Evaluator(this.reader, workshop)
  }

  run(tile: number): void {
    const index = tensorOfTile(this.job, tile)
    const tensor = this.job.tensors[index]!
    if (index !== this.current) this.evaluator.forgetFactors()
    this.current = index
    const unit = (tile - this.job.firstTile[index]!) * tensor.tile
    const { program } = tensor
    this.evaluator.beginTile(program.kind === 'rows' ? program.encode : 'f32')
    const mark = this.workshop.arena.mark()
    const { output, position, nonFinite } =
      program.kind === 'bytes'
        ? this.copy(program.tensor, tensor, unit)
        : program.moves === true
          ? this.move(program, tensor, unit)
          : this.compute(program, tensor, unit)
    this.sinkOf(tensor.file).write(output, tensor.offset + position)
    const { norms, losses } = this.evaluator
    const facts = { deltaSquares: norms.delta, weightSquares: norms.weight, nonFinite, ...losses }
    writeRecord(this.job, tile, { ...facts, crc32: crc32(output), byteLength: output.byteLength })
    this.workshop.arena.release(mark)
  }

  close(): void {
    for (const sink of this.sinks.values()) sink.close()
    this.sinks.clear()
    this.reader.close()
  }

  /** @throws FormatError when an input changed during the run */
  checkInputs(): void {
    this.reader.checkUnchanged()
  }

  private copy(source: TensorInfo, tensor: PlannedTensor, from: number): { output: Uint8Array; position: number; nonFinite: number } {
    const output = this.workshop.arena.take(Math.min(tensor.tile, source.byteLength - from))
    this.reader.read(source.source, output, source.offset + from)
    return { output, position: from, nonFinite: countNonFiniteBytes(output, source) }
  }

  /** Blocks of numbers are never NaN or infinite here: their scales would have to be, which GGUF's do not know. */
  private move(program: RowsProgram, tensor: PlannedTensor, first: number): { output: Uint8Array; position: number; nonFinite: number } {
    const { rows, cols } = programShape(program.rows)
    const output = this.workshop.arena.take(quantBytes(program.encode, Math.min(tensor.tile, rows - first) * cols))
    moveMxfp4(this.reader, program.rows, first, output)
    return { output, position: quantBytes(program.encode, first * cols), nonFinite: 0 }
  }

  private compute(program: RowsProgram, tensor: PlannedTensor, first: number): { output: Uint8Array; position: number; nonFinite: number } {
    const { rows, cols } = programShape(program.rows)
    const elements = Math.min(tensor.tile, rows - first) * cols
    const values = floatsOf(this.workshop.arena.take(elements * 4))
    const largest = this.evaluator.rowsAndLargest(program.rows, first, values)
    const place = { file: this.job.outputs[tensor.file]?.name ?? '', tensor: tensor.name }
    const nonFinite = largest <= EVERY_TYPE_HOLDS ? 0 : checkRange(program.encode, values, place, first * cols, this.job.clampOverflow)
    const output = this.workshop.arena.take(quantBytes(program.encode, elements))
    this.encode(program, rows, first, values, output)
    const { encode } = program
    if (nonFinite > 0 && (encode === 'f32' || encode === 'f16' || encode === 'bf16')) settleNonFinite(encode, tensorsOf(program.rows)[0]?.dtype, values, output)
    return { output, position: ((first * cols) / QUANT_TYPES[program.encode].blockElements) * QUANT_TYPES[program.encode].blockBytes, nonFinite }
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

  private sinkOf(file: number): ByteSink {
    const known = this.sinks.get(file)
    if (known !== undefined) return known
    const { path, name } = this.job.outputs[file]!
    const sink = openFileSink(path, name)
    this.sinks.set(file, sink)
    return sink
  }
}

function countNonFiniteBytes(bytes: Uint8Array, { dtype }: TensorInfo): number {
  if (dtype === 'F16' || dtype === 'BF16') return countNonFiniteHalves(bytes, dtype)
  return dtype === 'F32' ? countNonFinite(floatsOf(bytes)) : 0
}
