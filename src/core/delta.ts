/**
 * What an adapter does to one tensor of the base, as plain data. Formats (src/adapters) make deltas and know no
 * arithmetic; variants (src/merge) turn them into row programs and know no files.
 */
import type { MatrixView } from './row-program.js'
import type { TensorInfo } from './tensor-info.js'

/** What every delta says of itself. */
interface Change {
  /** Name of the base tensor it changes, as the base spells it. */
  readonly target: string
  /** Name of the module in the adapter, for receipts and messages. */
  readonly module: string
  /** 0 where there is none. */
  readonly rank: number
  /** lora_alpha / rank and its kin; without the user's weight. f64. 1 where there is none. */
  readonly scale: number
  /** The change is of these rows (first dimension) of the target only. */
  readonly rows?: { readonly first: number; readonly count: number }
  /** A base that shares this tensor between embedding and output goes on sharing it: both ends were trained so. */
  readonly keepsTie?: boolean
}

/** A low-rank matrix `B · A`: (rows x rank) and (rank x cols). */
export interface LowRank {
  readonly B: MatrixView
  readonly A: MatrixView
}

/** One low-rank update `W += scale * (B · A)`, with B and A lying as the base has its rows and columns. */
export interface LoraDelta extends Change, LowRank {
  readonly variant: 'lora'
  /** Takes the rows of the product to the order of W's, one after the other: `permuteRows` in core/row-program.ts. */
  readonly rowOrders?: readonly { readonly shape: readonly number[]; readonly order: readonly number[] }[]
  /** Factor of each row of B (rows x 1), when there is one: VeRA's b. */
  readonly rowsOfB?: MatrixView
  /** Factor of each row of A (rank x 1): AdaLoRA's singular values, VeRA's d. */
  readonly rowsOfA?: MatrixView
}

/** `W += scale * value`: trained biases of LoRA. */
export interface SumDelta extends Change {
  readonly variant: 'sum'
  readonly value: MatrixView
}

/** `W += scale * (left ∘ right)`, element by element. */
export interface LohaDelta extends Change {
  readonly variant: 'loha'
  readonly left: LowRank
  readonly right: LowRank
}

/** `W += scale * (left ⊗ right)`. */
export interface LokrDelta extends Change {
  readonly variant: 'lokr'
  readonly left: LowRank | MatrixView
  readonly right: LowRank | MatrixView
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

/** `W += value`, where `value` is repeated along the columns. */
export interface MissDelta extends Change {
  readonly variant: 'miss'
  /** (rows x block) */
  readonly value: MatrixView
}

/** `W + scale * (B · A)`, then every feature made as long as its magnitude. */
export interface DoraDelta extends Change, LowRank {
  readonly variant: 'dora'
  /** One per feature. */
  readonly magnitude: TensorInfo
  /** Whether features are rows of the base's matrix, as `features` rows of all its elements, or its columns (Conv1D, embeddings). */
  readonly along: 'rows' | 'columns'
  readonly features: number
}

/** A low-rank update of each matrix of a stack: fused experts. */
export interface ExpertsDelta extends Change {
  readonly variant: 'experts'
  readonly parts: readonly LowRank[]
}

/** A low-rank update of some rows (or columns) of W after the other; `zeros` of them get none. Parts of a fused matrix. */
export interface GroupedDelta extends Change {
  readonly variant: 'grouped'
  readonly along: 'rows' | 'columns'
  readonly parts: readonly (LowRank | { readonly zeros: number })[]
}

/** `W += (Σ ofB · B) · (Σ ofA · A)`: several adapters, whose factors are added. */
export interface LinearDelta extends Change {
  readonly variant: 'linear'
  /** Of the same rank. */
  readonly parts: readonly [WeightedFactors, ...WeightedFactors[]]
}

/** Factors of one adapter, and the f32 that each is multiplied with. */
export interface WeightedFactors extends LowRank {
  readonly ofB: number
  readonly ofA: number
}

/** `W ∘ by`, one factor per row (rows x 1) or per column (1 x cols): IA³. */
export interface RescaleDelta extends Change {
  readonly variant: 'rescale'
  readonly by: MatrixView
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

/** Updates that are added, in any number and from any adapter. */
export type AdditiveDelta = LoraDelta | SumDelta | LohaDelta | LokrDelta | HiraDelta | MissDelta | DeloraDelta | ExpertsDelta | GroupedDelta | LinearDelta
export type Delta = AdditiveDelta | DoraDelta | RescaleDelta | ReplaceDelta | TokensDelta

/** An opened adapter: every tensor of its files is in one of the deltas. */
export interface Adapter {
  /** As the user named it. */
  readonly label: string
  /** What kind of adapter, for people: `PEFT LoRA`. */
  readonly kind: string
  readonly deltas: readonly Delta[]
  /** Tensors that deltas change and that the base lacks, because it shares them: name -> the base's tensor. */
  readonly untied?: ReadonlyMap<string, string>
  /** Small tensors that were read while planning, with the sha256 of their bytes. */
  readonly read?: readonly { readonly tensor: string; readonly sha256: string }[]
  /** Its modules have GGUF names: a GGUF takes it without knowing others. */
  readonly hasGgufNames?: boolean
  /** Names of files whose bytes decide the adapter's identity (weights, then config). */
  readonly files: readonly string[]
  /** Things a user should know, one sentence each. */
  readonly notes: readonly string[]
  /** Things a user should worry about, one sentence each. */
  readonly warnings?: readonly string[]
}
