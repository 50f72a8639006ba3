/** Several adapters' low-rank updates of one tensor as one change that is not their sum. */
import type { Pruning } from './adapter-nodes.js'
import type { Change, Lay } from './change.js'
import type { WeightedFactors } from './factor.js'

/** `W += (one of all B) · (one of all A)`: factors are combined, not products. */
export interface FactorsDelta extends Change {
  readonly variant: 'factors'
  /** Of the same rank. */
  readonly parts: readonly [WeightedFactors, ...WeightedFactors[]]
  /** Undefined: each is the weighted sum of all. */
  readonly pruning?: Pruning
  /** As in a low-rank update: which elements are pruned goes by the adapters' own rows and columns. */
  readonly turned?: true
  readonly lay?: Lay
}

/** `W +=` the sum of products `ofB · B · ofA · A`, without all but its `rank` largest singular components. */
export interface TruncatedDelta extends Change {
  readonly variant: 'truncated'
  readonly parts: readonly [WeightedFactors, ...WeightedFactors[]]
  readonly lay?: Lay
}

export type CombinedDelta = FactorsDelta | TruncatedDelta
