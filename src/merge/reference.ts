/**
 * The plain-JS truth of merging: Math.fround after every operation, so that every machine gives these bytes.
 *
 * Law of the sum (docs/numerics.md), measured equal to llama-export-lora's result for f32, f16, bf16 and q8_0 bases.
 */

/**
 * `into = scale * (B · A)`.
 *
 * @param B      f32 (rows x rank)
 * @param A      f32 (rank x cols)
 * @param scale  f32: weight · alpha / rank, rounded once
 * @param into   f32 (rows x cols), overwritten
 * Accumulates each adapter by itself from zero, rank as the outer loop, so that neither tiles nor the order of adapters show.
 */
export function lowRank(B: Float32Array, A: Float32Array, scale: number, rank: number, cols: number, into: Float32Array): void {
  into.fill(0)
  const rows = into.length / cols
  for (let row = 0; row < rows; row++) {
    const start = row * cols
    for (let k = 0; k < rank; k++) {
      const b = B[row * rank + k]!
      const fromA = k * cols
      for (let col = 0; col < cols; col++) into[start + col] = Math.fround(into[start + col]! + Math.fround(b * A[fromA + col]!))
    }
  }
  for (let i = 0; i < into.length; i++) into[i] = Math.fround(into[i]! * scale)
}

/** The same, but each product is added before it is rounded: it is exact in f64. Sums of f64 are rounded to f32 at once, so that every machine gives these bytes. */
export function fusedLowRank(B: Float32Array, A: Float32Array, scale: number, rank: number, cols: number, into: Float32Array): void {
  into.fill(0)
  for (let row = 0; row < into.length / cols; row++) {
    const sums = into.subarray(row * cols, (row + 1) * cols)
    for (let k = 0; k < rank; k++) {
      const b = B[row * rank + k]!
      const fromA = k * cols
      for (let col = 0; col < cols; col++) sums[col] = sums[col]! + b * A[fromA + col]!
    }
  }
  for (let i = 0; i < into.length; i++) into[i] = Math.fround(into[i]! * scale)
}

/** `into = into + term`, one rounding per element. */
export function add(into: Float32Array, term: Float32Array): void {
  for (let i = 0; i < into.length; i++) into[i] = Math.fround(into[i]! + term[i]!)
}

/** `into = into * by`, where `by` holds one value per row (rows x 1), one per column (1 x cols), or one per element. */
export function multiply(into: Float32Array, by: Float32Array, cols: number, along: 'elements' | 'rows' | 'columns'): void {
  for (let i = 0; i < into.length; i++) {
    const at = along === 'elements' ? i : along === 'rows' ? Math.floor(i / cols) : i % cols
    into[i] = Math.fround(into[i]! * by[at]!)
  }
}

/** `into = factor * into`. */
export function scale(into: Float32Array, factor: number): void {
  for (let i = 0; i < into.length; i++) into[i] = Math.fround(into[i]! * factor)
}

/** Rows [first, …) of the Kronecker product of `left` and `right`, whose rows have `leftCols` and `rightCols` elements. */
export function kron(left: Float32Array, leftCols: number, right: Float32Array, rightCols: number, first: number, into: Float32Array): void {
  const cols = leftCols * rightCols
  const rightRows = right.length / rightCols
  for (let row = 0; row < into.length / cols; row++) {
    const outer = Math.floor((first + row) / rightRows) * leftCols
    const inner = ((first + row) % rightRows) * rightCols
    for (let j = 0; j < leftCols; j++) {
      const to = row * cols + j * rightCols
      for (let l = 0; l < rightCols; l++) into[to + l] = Math.fround(left[outer + j]! * right[inner + l]!)
    }
  }
}

/** Makes each row as long as `lengths` says: squares are added in f64 from left to right, the root is rounded once, then fround(length / norm) is the factor; zeros stay zeros. */
export function rescaleRows(into: Float32Array, lengths: Float32Array, cols: number, least = 0, plus = 0): void {
  for (let row = 0; row < lengths.length; row++) {
    let squares = 0
    for (let i = row * cols; i < (row + 1) * cols; i++) squares += into[i]! * into[i]!
    const factor = lengthFactor(lengths[row]!, squares, least, plus)
    for (let i = row * cols; i < (row + 1) * cols; i++) into[i] = Math.fround(into[i]! * factor)
  }
}

/** Adds the squares of some rows to the sums of their columns, or of each `span` of them, row by row: the rows of a matrix in order give the same sums however they are cut. */
export function addColumnSquares(rows: Float32Array, sums: Float64Array, span = 1): void {
  for (let i = 0, sum = 0; i < rows.length; sum = (sum + 1) % sums.length) for (const end = i + span; i < end; i++) sums[sum]! += rows[i]! * rows[i]!
}

/** The factor of each column, from the sums of squares of each `into.length / sums.length` columns, as {@link rescaleRows} has it for rows. */
export function columnFactors(sums: Float64Array, lengths: Float32Array, into: Float32Array, least = 0, plus = 0): void {
  const span = into.length / sums.length
  sums.forEach((squares, i) => into.fill(lengthFactor(lengths[i]!, squares, least, plus), i * span, (i + 1) * span))
}

function lengthFactor(length: number, squares: number, least: number, plus: number): number {
  return squares === 0 ? 0 : Math.fround(length / Math.fround(Math.max(Math.sqrt(squares), least) + plus))
}
