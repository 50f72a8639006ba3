/** What every change of a tensor says of itself, whatever it does. */
import type { SeenAs } from './factor.js'
import type { RowProgram } from './row-program.js'

/** What every delta says of itself. */
export interface Change {
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
  /** How the formula sees the base's matrix, where that is not as its rows and columns. */
  readonly seenAs?: SeenAs
  /** Only these rows of the update are the target's: the module was trained as one, and the base keeps its parts in several tensors. */
  readonly part?: { readonly first: number; readonly count: number }
}

/** A map of elements: rows of an architecture's table, backwards. The one thing of a delta that is no plain data. */
export type Lay = (product: RowProgram) => RowProgram
