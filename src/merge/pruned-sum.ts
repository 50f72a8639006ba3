/**
 * Sums of matrices that lose their smallest elements first, and with an election those that the majority is against.
 *
 * Law: PEFT 0.21.2 utils/merge_utils.py `magnitude_prune`, `ties`: f32 after every operation, matrices added one after the other.
 */
import type { Pruning } from '../core/adapter-nodes.js'
import { largestElements } from './largest-elements.js'

/** Sets all but the largest elements to zero, in place. */
export function prune(values: Float32Array, density: number): void {
  if (density >= 1) return
  const kept = largestElements(values, Math.floor(density * values.length))
  const before = values.slice()
  values.fill(0)
  for (const i of kept) values[i] = before[i]!
}

/** @param matrices  already pruned, of the same size as `into` @param weights  f32, one for each */
export function weightedSum(matrices: readonly Float32Array[], weights: readonly number[], { majoritySign }: Pruning, into: Float32Array): void {
  for (let i = 0; i < into.length; i++) {
    let [votes, sum, count] = [0, 0, 0]
    if (majoritySign !== undefined) for (const matrix of matrices) votes = Math.fround(votes + (majoritySign === 'total' ? matrix[i]! : Math.sign(matrix[i]!)))
    const majority = votes >= 0 ? 1 : -1
    matrices.forEach((matrix, n) => {
      const value = matrix[i]!
      if (majoritySign !== undefined && Math.sign(value) !== majority) return
      sum = Math.fround(sum + Math.fround(value * weights[n]!))
      count++
    })
    into[i] = majoritySign === undefined ? sum : sum / Math.max(1, count)
  }
}
