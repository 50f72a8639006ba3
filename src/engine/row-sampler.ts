/** Rows of programs, computed while a run is being planned: what the stored values decide. Reads what it is asked for, writes nothing. */
import type { MemoryDescriptor } from '../core/bytes.js'
import { programShape, type RowProgram } from '../core/row-program.js'
import { openWorkshop } from './arithmetic.js'
import { Evaluator } from './evaluate.js'
import { bufferBytes, type Tiled } from './memory.js'
import { inflatedInMemory } from './members.js'
import { createTileReader, type TileReader } from './tile-reader.js'

/** Of a piece that is computed at once. */
const PIECE_ELEMENTS = 65_536

/** Computes rows of some programs; valid while {@link withRows} runs. */
export interface RowSampler {
  /** The rows one after the other, in f32. @param rows  ascending */
  rows(program: RowProgram, rows: readonly number[]): Float32Array
}

/**
 * Lends what computes rows of these programs.
 * @throws what reading and computing throw; UnsupportedError for a deflated archive record that is too large to be held
 */
export async function withRows<T>(programs: readonly RowProgram[], use: (sampler: RowSampler) => T): Promise<T> {
  const inflated: ReadonlyMap<string, MemoryDescriptor> = await inflatedInMemory(programs)
  const tiles = programs.map((program): Tiled => ({ program: { kind: 'rows', rows: program, encode: 'f32' }, tile: pieceRows(program) }))
  const reader: TileReader = createTileReader(inflated)
  try {
    const evaluator = new Evaluator(reader, openWorkshop(bufferBytes(tiles)))
    const result = use({ rows: (program, rows) => sampled(evaluator, program, rows) })
    reader.checkUnchanged()
    return result
  } finally {
    reader.close()
  }
}

function pieceRows(program: RowProgram): number {
  return Math.max(1, Math.floor(PIECE_ELEMENTS / Math.max(1, programShape(program).cols)))
}

/** Rows that follow each other are computed together. */
function sampled(evaluator: Evaluator, program: RowProgram, rows: readonly number[]): Float32Array {
  const { cols } = programShape(program)
  const most = pieceRows(program)
  const values = new Float32Array(rows.length * cols)
  evaluator.forgetFactors()
  for (let done = 0; done < rows.length;) {
    const first = rows[done] ?? 0
    let count = 1
    while (count < most && rows[done + count] === first + count) count++
    evaluator.rows(program, first, values.subarray(done * cols, (done + count) * cols))
    done += count
  }
  return values
}
