/**
 * What an adapter does to one tensor of the base, as plain data. Formats (src/adapters) make deltas and know no
 * arithmetic; variants (src/merge) turn them into row programs and know no files.
 */
import type { MixtureChoice } from './adapter-nodes.js'
import type { Activation } from './activations.js'
import type { Change, Lay } from './change.js'
import type { OtherDelta } from './delta-others.js'
import type { MatrixView } from './matrix-view.js'
import type { TensorInfo } from './tensor-info.js'
import type { CombinedDelta } from './combined-delta.js'
import type { Factor, LowRank } from './factor.js'

export type { LowRank }

/** One low-rank update `W += scale * (B · A)`, with B and A lying as the base has its rows and columns. */
export interface LoraDelta extends Change, LowRank {
  readonly variant: 'lora'
  /** Takes the product to where W has it, when it is the update of a tensor that W is made into. */
  readonly lay?: Lay
  /** B is the adapter's A, transposed, and A its B: the base has rows for columns. */
  readonly turned?: true
  /** Factor of each row of B (rows x 1), when there is one: VeRA's b. */
  readonly rowsOfB?: MatrixView
  /** Factor of each row of A (rank x 1): AdaLoRA's singular values, VeRA's d. */
  readonly rowsOfA?: MatrixView
}

/** `W += scale * value`: trained biases of LoRA, trained differences, kernels with a core. */
export interface SumDelta extends Change {
  readonly variant: 'sum'
  readonly value: Factor
}

/** `W += scale * (W ∘ by)`, one factor per row (rows x 1) or per column (1 x columns / span): LyCORIS' IA³. */
export interface ModulateDelta extends Change {
  readonly variant: 'modulate'
  readonly by: MatrixView
  /** For how many columns, one after the other, each factor of a column holds: a convolution's kernel. */
  readonly span: number
}

/** `W += scale * (W · left · right)`, the inputs of each output mixed, for every place of a kernel alike: LyCORIS' GLoRA. */
export interface ThroughDelta extends Change {
  readonly variant: 'through'
  /** (inputs x rank) */
  readonly left: MatrixView
  /** (rank x inputs) */
  readonly right: MatrixView
  /** Elements of the kernel that each input has, one after the other; 1 for linear layers. */
  readonly kernel: number
}

/** `W += scale * (left ∘ right)`, element by element. */
export interface LohaDelta extends Change {
  readonly variant: 'loha'
  readonly left: Factor
  readonly right: Factor
}

/** `W += scale * (left ⊗ right)`, for each `right` the rows after those of the one before. */
export interface LokrDelta extends Change {
  readonly variant: 'lokr'
  readonly left: Factor
  readonly right: readonly Factor[]
}

/** `W += W ∘ (B · A)`. */
export interface HiraDelta extends Change, LowRank {
  readonly variant: 'hira'
}

/** `W += (B · A) ∘ norms`, every rank first made of length `strength / rank` (A's row) and 1 (B's column). */
export interface DeloraDelta extends Change, LowRank {
  readonly variant: 'delora'
  /** (1 x 1) */
  readonly strength: MatrixView
  /** One per column (cols x 1). */
  readonly norms: MatrixView
}

/** `W += value`, where `value` is repeated along rows and columns; what is left of the last columns takes the first ones of `value`. */
export interface MissDelta extends Change {
  readonly variant: 'miss'
  /** (rows, or a part of them, x block) */
  readonly value: MatrixView
}

/** For each block of rows, with its own B (size x size): `W += W · diag(B, B, …) + (B, B, …)`. MiSS in its form "bat". */
export interface BatDelta extends Change {
  readonly variant: 'bat'
  readonly blocks: readonly MatrixView[]
}

/** A matrix put together of low-rank blocks: `W += scale * (blocks)`, rows of blocks, each with its columns of blocks. GraLoRA, BD-LoRA. */
export interface GridDelta extends Change {
  readonly variant: 'grid'
  readonly blocks: readonly (readonly LowRank[])[]
}

/** `W += scale * (values at positions)`, zero elsewhere: SHiRA, Super-Tuning. */
export interface SparseDelta extends Change {
  readonly variant: 'sparse'
  /** Integers, (2, n): rows and columns, or (n): row-major. */
  readonly positions: TensorInfo
  /** (n x 1) */
  readonly values: MatrixView
}

/** `W += scale * (circulant blocks)`: C³A. */
export interface CirculantDelta extends Change {
  readonly variant: 'circulant'
  /** For each row of blocks one row, `size` values for each block. */
  readonly kernels: MatrixView
  readonly size: number
}

/** `W += scale * (B · A')`, A' holding `A[i] ∘ gamma[n] * lambda[i, n]` as row (i, n): RandLoRA. Turned: `A'ᵀ · Bᵀ`. */
export interface RandloraDelta extends Change {
  readonly variant: 'randlora'
  /** (longer side x rank · bases) */
  readonly B: MatrixView
  /** (rank x shorter side) */
  readonly A: MatrixView
  /** (rank x bases) */
  readonly lambda: MatrixView
  /** (bases x shorter side) */
  readonly gamma: MatrixView
  readonly turned: boolean
}

/** `W += scale * (B · A)`, both mixtures of vectors of a bank: A's rows are made of `inputs / length` of them, B's columns of `out / length`. VB-LoRA. */
export interface VbloraDelta extends Change {
  readonly variant: 'vblora'
  /** (vectors x length) */
  readonly bank: MatrixView
  /** Rank, then piece. */
  readonly A: MixtureChoice
  /** Piece, then rank. */
  readonly B: MixtureChoice
  readonly pieces: { readonly A: number; readonly B: number }
}

/** `W += scale * (B · (v · P) · A)`: TinyLoRA. */
export interface TinyloraDelta extends Change, LowRank {
  readonly variant: 'tinylora'
  /** (1 x n) */
  readonly v: MatrixView
  /** (n x rank²) */
  readonly P: MatrixView
}

/** `W += scale * (W ∘ times + plus + product)`, where product is another tensor times a vector: GLoRA. Vectors and single values hold for all of a row. */
export interface GloraDelta extends Change {
  readonly variant: 'glora'
  readonly times: Factor | undefined
  readonly plus: Factor | undefined
  /** Of a bias: the weight's name, and the vector (inputs x 1) that it is multiplied with. */
  readonly product?: { readonly weight: string; readonly by: Factor }
}

/** `W += scale * Q · (injection * R − rightᵀ · W)`: DEFT. With `qr`, Q and right are the orthonormal basis of P, else P and relu(P). */
export interface DeftDelta extends Change {
  readonly variant: 'deft'
  /** (out x rank) */
  readonly P: MatrixView
  /** (rank x in); none for PaRa. */
  readonly R: MatrixView | undefined
  readonly injection: number
  readonly basis: 'relu' | 'qr'
}

/** `W += scale * B · net(A · W)`, the net acting on each column: encoders, decoders, and the way round them. PEANuT. */
export interface PeanutDelta extends Change, LowRank {
  readonly variant: 'peanut'
  /** (rank x rank) each, as many of one as of the other. */
  readonly encoders: readonly MatrixView[]
  readonly decoders: readonly MatrixView[]
  readonly activation: Activation
}

/** A low-rank update of each matrix of a stack: fused experts. */
export interface ExpertsDelta extends Change {
  readonly variant: 'experts'
  readonly parts: readonly LowRank[]
  /** As of `lora`. */
  readonly lay?: Lay
}

/** A low-rank update of some rows (or columns) of W after the other; `zeros` of them get none. Parts of a fused matrix. */
export interface GroupedDelta extends Change {
  readonly variant: 'grouped'
  readonly along: 'rows' | 'columns'
  readonly parts: readonly (LowRank | { readonly zeros: number })[]
}

/** Updates that are added, in any number and from any adapter. */
export type AdditiveDelta =
  | (LoraDelta | SumDelta | LohaDelta | LokrDelta | HiraDelta | MissDelta | BatDelta | DeloraDelta | ExpertsDelta | GroupedDelta | GridDelta | CombinedDelta)
  | (SparseDelta | CirculantDelta | RandloraDelta | VbloraDelta | TinyloraDelta | GloraDelta | DeftDelta | PeanutDelta | ModulateDelta | ThroughDelta)
export type Delta = AdditiveDelta | OtherDelta
