/**
 * Mixtures of vectors of a bank (VB-LoRA): which rows, and how much of each. In f64, rounded to f32 once.
 *
 * Law: PEFT tuners/vblora/layer.py `_get_low_rank_matrix`, tuners/vblora/model.py for files that hold weights.
 */

/** Rows of the bank and how much of each: `top` of them for each row of the mixture. */
export interface Shares {
  readonly ids: Uint32Array
  readonly weights: Float64Array
  readonly top: number
}

/**
 * The softmax of the `top` largest logits of each row. Of equal ones the first counts (which one torch takes is not defined).
 * @param logits  (n x choices); -Infinity is never chosen before a number
 */
export function sharesOfLogits(logits: Float32Array, choices: number, top: number): Shares {
  const rows = logits.length / choices
  const shares: Shares = { ids: new Uint32Array(rows * top), weights: new Float64Array(rows * top), top }
  for (let row = 0; row < rows; row++) {
    const own = logits.subarray(row * choices, (row + 1) * choices)
    const best = Array.from(own.keys())
      .sort((a, b) => own[b]! - own[a]! || a - b)
      .slice(0, top)
    const largest = own[best[0]!]!
    const parts = best.map((id) => Math.exp(own[id]! - largest))
    const sum = parts.reduce((total, part) => total + part, 0)
    shares.ids.set(best, row * top)
    shares.weights.set(
      parts.map((part) => part / sum),
      row * top,
    )
  }
  return shares
}

/** Stored weights: one less than ids for each row, for together they make 1. */
export function sharesOfWeights(weights: Float32Array, ids: Float64Array, top: number): Shares {
  const shares: Shares = { ids: Uint32Array.from(ids), weights: new Float64Array(ids.length), top }
  for (let row = 0; row < ids.length / top; row++) {
    const own = weights.subarray(row * (top - 1), (row + 1) * (top - 1))
    shares.weights.set(own, row * top)
    shares.weights[row * top + top - 1] = own.reduce((rest, weight) => rest - weight, 1)
  }
  return shares
}

/** Rows [first, …) of the mixture. @param cols  elements of a row of the bank */
export function mixRows({ ids, weights, top }: Shares, bank: Float32Array, cols: number, first: number, into: Float32Array): void {
  for (let row = 0; row < into.length / cols; row++) {
    const start = (first + row) * top
    for (let col = 0; col < cols; col++) {
      let sum = 0
      for (let i = start; i < start + top; i++) sum += weights[i]! * bank[ids[i]! * cols + col]!
      into[row * cols + col] = sum
    }
  }
}
