/**
 * Low-rank products by kernel, whatever the size of the factors. A is packed for the inner loop panel by panel, again for each tile: that costs
 * a twentieth of the product, and a packed copy of a large A would cost memory.
 */
import type { Arena } from './arena.js'
import type { KernelExports } from './exports.js'
import { copyBack, place } from './placing.js'

interface Product {
  /** rows x rank */
  readonly B: Float32Array
  /** rank x cols */
  readonly A: Float32Array
  readonly scale: number
  readonly rank: number
  readonly cols: number
  /** rows x cols */
  readonly into: Float32Array
}

/** The kernel's place for rows of B holds four of this rank. */
const MAX_RANK = 1024
/** A panel of A stays in the second cache while all rows of the tile pass by. */
const PANEL_BYTES = 131_072
const STRIP_COLUMNS = 8

/** @returns false when it was not done: a rank beyond all, or no room */
export function multiplyFactors(run: KernelExports, arena: Arena, { B, A, scale, rank, cols, into }: Product): boolean {
  if (rank > MAX_RANK || rank < 1 || cols < 1) return false
  const rows = into.length / cols
  const panelColumns = Math.max(STRIP_COLUMNS, Math.floor(PANEL_BYTES / (rank * 4 * STRIP_COLUMNS)) * STRIP_COLUMNS)
  const mark = arena.mark()
  try {
    const placed = place(arena, into)
    const rowsOfB = place(arena, B)
    const columns = place(arena, A)
    if (placed === undefined || rowsOfB === undefined || columns === undefined) return false
    const panelBytes = Math.min(panelColumns, Math.ceil(cols / STRIP_COLUMNS) * STRIP_COLUMNS) * rank * 4
    if (!arena.hasRoom(panelBytes)) return false
    const packed = arena.take(panelBytes).byteOffset
    for (let first = 0; first < cols; first += panelColumns) {
      const count = Math.min(panelColumns, cols - first)
      run.packColumns(columns.byteOffset, rank, cols, first, count, packed)
      run.lowRank(rowsOfB.byteOffset, packed, scale, rank, rows, cols, first, count, placed.byteOffset)
    }
    copyBack(placed, into)
    return true
  } finally {
    arena.release(mark)
  }
}
