/**
 * Low-rank products by kernel. Factors are packed for its inner loop: A once per tensor, in strips of 8 columns, [strip][k][8], and B for each tile, in
 * bands of 4 rows, [band][k][4]; what is missing in the last strip or band is zero.
 */
/* oxlint-disable typescript/no-non-null-assertion -- numeric loops */
import type { Arena } from './arena.js'
import type { KernelExports } from './exports.js'
import { copyBack, place } from './placing.js'

const STRIP_COLUMNS = 8
const BAND_ROWS = 4

/** Factors of a product: B (rows x rank), A packed. */
export interface PackedProduct {
  readonly B: Float32Array
  readonly A: Float32Array
  readonly scale: number
  readonly rank: number
  readonly cols: number
}

/** Elements of A (rank x cols) when it is packed. */
export function packedElements(rank: number, cols: number): number {
  return rank * Math.ceil(cols / STRIP_COLUMNS) * STRIP_COLUMNS
}

/** Packs some rows of A, from row `first` on. */
export function packRows(run: KernelExports, arena: Arena, rows: Float32Array, first: number, rank: number, cols: number, into: Float32Array): void {
  const mark = arena.mark()
  const [from, to] = [place(arena, rows), place(arena, into)]
  if (from === undefined || to === undefined) for (let i = 0; i < rows.length; i++) into[packedIndex(first * cols + i, rank, cols)] = rows[i]!
  else {
    run.packA(from.byteOffset, first, rows.length / cols, rank, cols, to.byteOffset)
    copyBack(to, into)
  }
  arena.release(mark)
}

function packedIndex(i: number, rank: number, cols: number): number {
  const [k, col] = [Math.floor(i / cols), i % cols]
  return (Math.floor(col / STRIP_COLUMNS) * rank + k) * STRIP_COLUMNS + (col % STRIP_COLUMNS)
}

/** A as it was before it was packed: for the twin, where a kernel finds no room. */
export function unpacked(packed: Float32Array, rank: number, cols: number): Float32Array {
  const A = new Float32Array(rank * cols)
  for (let i = 0; i < A.length; i++) A[i] = packed[packedIndex(i, rank, cols)]!
  return A
}

/**
 * Brings packed factors and a matrix of their product's shape to where `kernel` can work on them.
 * @returns false when there was no room, and nothing was done
 */
export function withPacked(
  run: KernelExports,
  arena: Arena,
  { B, A, rank, cols }: PackedProduct,
  matrix: Float32Array,
  kernel: (B: number, A: number, rows: number, matrix: number) => void,
): boolean {
  const rows = matrix.length / cols
  const bandElements = Math.ceil(rows / BAND_ROWS) * BAND_ROWS * rank
  const mark = arena.mark()
  try {
    const [placed, rowsOfB, strips] = [place(arena, matrix), place(arena, B), place(arena, A)]
    if (placed === undefined || rowsOfB === undefined || strips === undefined || !arena.hasRoom(bandElements * 4)) return false
    const bands = arena.take(bandElements * 4).byteOffset
    run.packB(rowsOfB.byteOffset, rows, rank, bands)
    kernel(bands, strips.byteOffset, rows, placed.byteOffset)
    copyBack(placed, matrix)
    return true
  } finally {
    arena.release(mark)
  }
}
