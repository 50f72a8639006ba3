/** Where the modules of a pipeline's models lie: whole, in pieces, or as a part of a tensor. */
import type { TensorInfo } from '../../core/tensor-info.js'

/** Rows [first, first + count) of a tensor. */
export interface RowRange {
  readonly first: number
  readonly count: number
}

/** Tensors that hold a module, or a part of it. */
export interface ModulePiece {
  readonly weight: TensorInfo | undefined
  readonly bias: TensorInfo | undefined
  /** Only these rows of both are the module's. */
  readonly rows?: RowRange
  /** Only these rows of the module are in them. */
  readonly part?: RowRange
  /** The weight lies (inputs x outputs). */
  readonly isTransposed?: true
}

/** Where a module's tensors lie. */
export interface ModulePlace {
  /** Its path in the base's own naming; of a module in pieces, in the adapter's. */
  readonly path: string
  /** At least one; together they are all of the module. */
  readonly pieces: readonly ModulePiece[]
}
