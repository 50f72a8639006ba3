/**
 * Sums of matrices that lose their smallest elements first, and with an election those that the majority is against.
 *
 * Law: PEFT 0.21.2 utils/merge_utils.py `magnitude_prune`, `ties`: f32 after every operation, matrices added one after the other.
 */
import type { MajoritySign, Pruning } from '../core/adapter-nodes.js'
import { rankLargest, type Ranking } from './largest-elements.js'

/**
 * Sets all but the largest elements to zero, in place.
 * @param ranking  as long as the values; overwritten
 */
export function prune(values: Float32Array, density: number, ranking: Ranking): void {
  if (density >= 1) return
  const kept = Math.floor(density * values.length)
  rankLargest(values, kept, ranking)
  for (let i = kept; i < values.length; i++) values[ranking.ids[i]!] = 0
}

/** @param matrices  already pruned, of the same size as `into` @param weights  f32, one for each */
export function weightedSum(matrices: readonly Float32Array[], weights: readonly number[], { majoritySign }: Pruning, into: Float32Array): void {
  for (let i = 0; i < into.length; i++) {
    const majority = majoritySign === undefined ? 0 : electedSign(matrices, i, majoritySign)
    let [sum, count] = [0, 0]
    for (let n = 0; n < matrices.length; n++) {
      const value = matrices[n]![i]!
      if (majority !== 0 && Math.sign(value) !== majority) continue
      sum = Math.fround(sum + Math.fround(value * weights[n]!))
      count++
    }
    into[i] = majority === 0 ? sum : sum / Math.max(1, count)
  }
}

/** 1 or -1: what the elements at one place are together, or most of them. */
function electedSign(matrices: readonly Float32Array[], i: number, by: MajoritySign): number {
  let votes = 0
  for (let n = 0; n < matrices.length; n++) {
    const value = matrices[n]![i]!
    votes = Math.fround(votes + (by === 'total' ? value : Math.sign(value)))
  }
  return votes >= 0 ? 1 : -1
}
