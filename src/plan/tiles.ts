/**
 * How many rows are computed at once. Fixed by shape and program alone, so that receipts and bytes do not depend on
 * threads or memory.
 */
import { programShape, rowGranularity } from '../core/row-program.js'
import type { TensorProgram } from './plan.js'

/** Elements of one tile: 1 MiB of f32. 64 KiB to 4 MiB were measured; 512 KiB to 1 MiB is fastest (docs/performance.md). */
export const TILE_ELEMENTS = 262_144

/** Bytes of one tile of a byte program. */
export const TILE_BYTES = 1_048_576

/** Products are made of as many rows at a time (src/kernels/assembly/low-rank.ts); fewer cost as much. */
const PRODUCT_ROWS = 4

/** Rows (row program) or bytes (byte program) of one tile. */
export function tileSize(program: TensorProgram, tileElements = TILE_ELEMENTS): number {
  if (program.kind === 'bytes') return Math.min(TILE_BYTES, tileElements * 4)
  const { cols } = programShape(program.rows)
  const fitting = Math.max(1, Math.floor(tileElements / Math.max(1, cols)))
  const rows = fitting < PRODUCT_ROWS ? fitting : fitting - (fitting % PRODUCT_ROWS)
  const group = rowGranularity(program.rows)
  // a larger group is cut: its rows lie in few runs, and whole it would take the memory of several tiles
  if (group * cols > tileElements) return rows
  return Math.max(group, rows - (rows % group))
}

/** Number of tiles of a tensor: of its rows, or of its bytes. A tensor without elements has none. */
export function tileCount(program: TensorProgram, tile: number): number {
  const units = program.kind === 'bytes' ? program.tensor.byteLength : tileUnits(program)
  return Math.ceil(units / tile)
}

function tileUnits(program: Extract<TensorProgram, { kind: 'rows' }>): number {
  const { rows, cols } = programShape(program.rows)
  return cols === 0 ? 0 : rows
}
