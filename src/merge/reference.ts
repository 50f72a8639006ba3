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

/** `into = into + term`, one rounding per element. */
export function add(into: Float32Array, term: Float32Array): void {
  for (let i = 0; i < into.length; i++) into[i] = Math.fround(into[i]! + term[i]!)
}
