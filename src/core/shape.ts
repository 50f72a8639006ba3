/**
 * Shapes as arrays of dimensions, outermost first (torch's order; GGUF writes them reversed).
 *
 * Rows: all dimensions but the last, flattened. A tensor of one dimension counts as one COLUMN of n rows, so that a
 * bias can be permuted, cut and tiled by the very row maps of its weight, and no tile is longer than a weight's row.
 */

/** Rows and columns that row programs see. */
export interface RowShape {
  readonly rows: number
  readonly cols: number
}

/** Number of elements; exact up to 2^53, else Infinity or imprecise (readers refuse those before). */
export function elementCount(shape: readonly number[]): number {
  return shape.reduce((product, dimension) => product * dimension, 1)
}

/** The rows and columns of a shape: `[] -> 1x1`, `[n] -> n x 1`, `[a, b, c] -> ab x c`. */
export function rowShape(shape: readonly number[]): RowShape {
  if (shape.length < 2) return { rows: shape[0] ?? 1, cols: 1 }
  return { rows: elementCount(shape.slice(0, -1)), cols: shape.at(-1) ?? 1 }
}

/** `[4, 2]` for messages. */
export function shapeText(shape: readonly number[]): string {
  return `[${shape.join(', ')}]`
}

export function sameShape(a: readonly number[], b: readonly number[]): boolean {
  return a.length === b.length && a.every((dimension, i) => dimension === b[i])
}
