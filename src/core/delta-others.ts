/**
 * Deltas that are no sum: what becomes of the tensor that they find. They have no weights, and stand alone.
 */
import type { CayleyForm, ColumnOrder } from './adapter-nodes.js'
import type { Change } from './change.js'
import type { LowRank } from './factor.js'
import type { MatrixView } from './matrix-view.js'
import type { TensorInfo } from './tensor-info.js'

/** `W + scale * (B · A)`, then every feature made as long as its magnitude. */
export interface DoraDelta extends Change, LowRank {
  readonly variant: 'dora'
  /** One per feature. */
  readonly magnitude: TensorInfo
  /** Whether features are rows of the base's matrix, as `features` rows of all its elements, or its columns (Conv1D, embeddings). */
  readonly along: 'rows' | 'columns'
  readonly features: number
}

/**
 * After all sums, every row, or every `span` columns one after the other, made as long as a magnitude: DoRA of updates that are no
 * low-rank product. `plus` is added to a length before it divides.
 */
export interface MagnitudeDelta extends Change {
  readonly variant: 'magnitude'
  /** (rows x 1), or (1 x columns / span) */
  readonly magnitudes: MatrixView
  readonly along: 'rows' | 'columns'
  readonly span: number
  readonly plus: number
}

/** `W ∘ by`, one factor per row (rows x 1) or per column (1 x cols): IA³. */
export interface RescaleDelta extends Change {
  readonly variant: 'rescale'
  readonly by: MatrixView
  /** For how many rows and columns each factor holds; one unless given (kernels of convolutions). */
  readonly spread?: { readonly rows: number; readonly cols: number }
}

/** `W · R₀ᵀ · R₁ᵀ …`, then a factor for each row (or column): rotations of columns. OFT, BOFT. */
export interface RotateDelta extends Change {
  readonly variant: 'rotate'
  readonly rotations: readonly Rotation[]
  /** (rows x 1), or (1 x columns) */
  readonly factors?: MatrixView
}

/** `R · W`, blocks that each rotate as many rows, then a factor for each row: OFT of outputs. */
export interface RotateRowsDelta extends Change {
  readonly variant: 'rotateRows'
  readonly rotation: Omit<Rotation, 'columns'>
  /** (rows x 1) */
  readonly factors?: MatrixView
}

/** Orthogonal blocks, one for each piece of a row, or one for all. */
export interface Rotation {
  /** One block in each row: core/row-program.ts `cayley`. */
  readonly blocks: MatrixView
  readonly size: number
  readonly form: CayleyForm
  readonly columns?: ColumnOrder
  /** The largest Frobenius norm of many blocks together. */
  readonly together?: { readonly limit: number; readonly blocks: MatrixView }
}

/** `W · (I − 2 u₀u₀ᵀ) · (I − 2 u₁u₁ᵀ) …`: HRA. */
export interface ReflectDelta extends Change {
  readonly variant: 'reflect'
  /** (mirrors x cols), not normalised. */
  readonly vectors: MatrixView
  readonly orthogonal: boolean
}

/** Pairs of rows, rotated and scaled: RoAd. Angles and lengths of both terms, (n x m) each, row-major one for each row of W, or one for both of a pair. */
export interface RoadDelta extends Change {
  readonly variant: 'road'
  readonly group: number
  readonly first: { readonly angles: MatrixView; readonly lengths: MatrixView }
  readonly second: { readonly angles: MatrixView; readonly lengths: MatrixView }
  readonly shared: boolean
}

/** The tensor without its smallest singular components, before anything is added: KaSA. */
export interface TruncateDelta extends Change {
  readonly variant: 'truncate'
}

/** The tensor itself, trained as a whole; it may have more rows than the base's. */
export interface ReplaceDelta extends Change {
  readonly variant: 'replace'
  readonly tensor: TensorInfo
}

/** Some rows, trained as a whole. */
export interface TokensDelta extends Change {
  readonly variant: 'tokens'
  /** Each once. */
  readonly ids: readonly number[]
  readonly values: TensorInfo
}

export type OtherDelta =
  | (DoraDelta | MagnitudeDelta | RescaleDelta | RotateDelta | RotateRowsDelta | ReflectDelta | RoadDelta)
  | (TruncateDelta | ReplaceDelta | TokensDelta)
