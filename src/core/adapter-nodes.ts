/**
 * Nodes of row programs that only adapters need, beyond low-rank products: rotations, mirrors, circulant blocks, mixtures, single elements.
 * row-program.ts has the others, and their shapes.
 */
import type { RowProgram } from './row-program.js'
import type { TensorInfo } from './tensor-info.js'

export type AdapterNode =
  /**
   * Every piece p of a row, as long as a block is wide, becomes `block · p`; `blocks` holds one square block for each piece, one under the other, or
   * one for all. The columns of a row are first put in another order, and back after that: as `order` permutes an array of `shape`.
   */
  | { readonly op: 'rotateColumns'; readonly input: RowProgram; readonly blocks: RowProgram; readonly columns?: ColumnOrder }
  /** Every `size` rows of `input` become `block · rows`: `blocks` (as many rows as the input, size columns) holds one square block for each. */
  | { readonly op: 'rotateRows'; readonly input: RowProgram; readonly blocks: RowProgram }
  /**
   * Orthogonal blocks (size x size, one under the other) from skew-symmetric ones: exact, (I − Q)(I + Q)⁻¹, or a series.
   * `input` has one block in a row: its upper triangle (`skew`), or a matrix whose skew part (`full`), or whose difference with its transpose, twice
   * that (`difference`), is meant. Together: all are shrunk alike when the Frobenius norm of `blocks`, as differences, is larger than `limit`.
   */
  | {
      readonly op: 'cayley'
      readonly input: RowProgram
      readonly size: number
      readonly form: CayleyForm
      readonly together?: { readonly limit: number; readonly blocks: RowProgram }
    }
  /** `input` mirrored at the hyperplane of each row of `vectors` (n x cols) in turn; made orthogonal to those before it first, when asked for. */
  | { readonly op: 'reflectColumns'; readonly input: RowProgram; readonly vectors: RowProgram; readonly orthogonal: boolean }
  /** Rows in groups, the first half of each paired with the second: row i becomes `first(i) · i ∓ second(i) · partner`, the halves as rope has them. */
  | { readonly op: 'rotatePairs'; readonly input: RowProgram; readonly first: RowProgram; readonly second: RowProgram; readonly group: number }
  /** Circulant blocks (size x size) for each `size` columns of a row of `input`: element (i, j) of a block is value (j − i) mod size. */
  | { readonly op: 'circulant'; readonly input: RowProgram; readonly size: number }
  /** Each row a mixture of rows of `bank`, as `choice` says; as many rows as that has. */
  | { readonly op: 'mixture'; readonly bank: RowProgram; readonly choice: MixtureChoice }
  /** Zeros, but for some elements: `values` (n x 1), where `positions` says: (2, n) rows and columns, or (n) in row-major order. Twice at one place adds. */
  | { readonly op: 'scatter'; readonly rows: number; readonly cols: number; readonly positions: TensorInfo; readonly values: RowProgram }
  /** `leftᵀ · right`, by one pass over both, row by row. */
  | { readonly op: 'transposedProduct'; readonly left: RowProgram; readonly right: RowProgram }
  /** Orthonormal columns that span those of `input` (rows x few): the Q of its QR decomposition, with LAPACK's signs. */
  | { readonly op: 'orthonormal'; readonly input: RowProgram }
  /** `input` without its `count` smallest singular components. Needs the whole matrix. */
  | { readonly op: 'dropSmallest'; readonly input: RowProgram; readonly count: number }
  /** Matrices of the same shape, added with weights after all but some of their elements became zero. Needs all of each. */
  | ({ readonly op: 'prunedSum'; readonly parts: readonly [WeightedInput, ...WeightedInput[]] } & Pruning)
  /** `B · A` without all but its `rank` largest singular components. Needs all of both, never their product. */
  | { readonly op: 'truncatedProduct'; readonly B: RowProgram; readonly A: RowProgram; readonly rank: number }

/** A matrix, and the f32 that it is multiplied with. */
export interface WeightedInput {
  readonly input: RowProgram
  readonly weight: number
}

/** What is left of each matrix before they are added. */
export interface Pruning {
  /** Share of its elements that each matrix keeps, the largest: floor(density · elements). 1 keeps all. */
  readonly density: number
  /**
   * With it, elements are elected before they are added: of each place those whose sign is that of the majority count, and the sum is divided by their
   * number. `total`: the majority by sum, before weights; `frequency`: by number. None is a vote for the positive ones.
   */
  readonly majoritySign?: MajoritySign
}

export type MajoritySign = 'total' | 'frequency'

/** An array of columns, transposed. */
export interface ColumnOrder {
  readonly shape: readonly number[]
  readonly order: readonly number[]
}

export interface CayleyForm {
  readonly holds: 'skew' | 'full' | 'difference'
  /** Undefined: exact. */
  readonly series?: {
    /** As PEFT counts them; I is the first. */
    readonly terms: number
    /** Whether the last power counts once (PEFT from 0.18 on), not twice. */
    readonly halvesLast: boolean
  }
  /** The largest Frobenius norm of a block; larger ones are shortened to it. */
  readonly limit?: number
  /** The inverse, which is the transpose, is meant. */
  readonly inverse?: boolean
}

/** How much of which rows: by the softmax of the `top` largest of a row of logits, or as stored, where the last weight is what the others leave to 1. */
export type MixtureChoice =
  | { readonly by: 'logits'; readonly logits: TensorInfo; readonly top: number }
  | { readonly by: 'weights'; readonly weights: TensorInfo; readonly ids: TensorInfo }
