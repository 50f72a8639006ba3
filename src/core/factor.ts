/** The matrices that deltas are made of, as plain data: stored whole, or as products that are never written out. */
import type { MatrixView } from './matrix-view.js'

/** A low-rank matrix `B · A`: (rows x rank) and (rank x cols). */
export interface LowRank {
  readonly B: MatrixView
  readonly A: MatrixView
}

/** A core (r x r x kernel), with a factor on either side: `sum over i, j of outᵢ ⊗ inⱼ ⊗ coreᵢⱼ`, a matrix of (outputs x inputs · kernel). */
export interface Tucker {
  /** The core's matrices (r x kernel), one for each i. */
  readonly core: readonly MatrixView[]
  /** (r x outputs) */
  readonly out: MatrixView
  /** (r x inputs) */
  readonly inputs: MatrixView
}

/** A matrix: stored whole, or as the product that it is. */
export type Factor = MatrixView | LowRank | Tucker

/** A matrix of other rows and columns with the same elements (convolutions), or the base's transposed (Conv1D). */
export interface SeenAs {
  readonly rows: number
  readonly cols: number
  readonly transposed: boolean
}

/** Factors of one adapter, and the f32 that each is multiplied with. */
export interface WeightedFactors extends LowRank {
  readonly ofB: number
  readonly ofA: number
}
