/** What a word of the vocabulary is, and how most of them are made. */
import { FormatError } from '../core/errors.js'
import { rearranged, rowRange, type Cut } from '../core/row-maps.js'
import { inRows, type RowProgram } from '../core/row-program.js'
import { elementCount, rowShape, shapeText } from '../core/shape.js'
import type { Config } from './config.js'

/** A tensor on its way from the checkpoint to the file. */
export interface TensorProgram {
  /** As the checkpoint spells it, for messages. */
  readonly source: string
  /** Outermost dimension first. */
  readonly shape: readonly number[]
  readonly program: RowProgram
  /** All of it, where the plan had to know: biases that are left out when they are zero. */
  readonly values?: readonly number[]
}

export interface TransformContext {
  readonly config: Config
  /** Layer of the tensor; undefined for one that belongs to none. */
  readonly block: number | undefined
  /** Tokens that the tokenizer has; undefined where there is none. */
  readonly tokenCount: number | undefined
}

/**
 * The way back: what `apply` made -> what it was made of. `before` has the shapes that it was made of where they are
 * known; a GGUF file alone does not tell them, and where the checkpoint could have had several, the hub's is the one.
 */
export type Undo = (made: readonly TensorProgram[], context: TransformContext, before?: readonly TensorProgram[]) => readonly TensorProgram[]

export interface Transform {
  readonly apply: (tensors: readonly TensorProgram[], context: TransformContext) => readonly TensorProgram[]
  /** `changesValues`: elements stay where they are, but their values do not come back bit by bit. */
  readonly undo: Undo | 'changesValues'
  /** For words that make one tensor of a list: how many members it has. */
  readonly members?: (config: Config) => number
  /** Whether it must know the values while planning. */
  readonly needsValues?: boolean
}

type Change = (tensor: TensorProgram, context: TransformContext) => TensorProgram

/** A word that changes each tensor by itself. */
export function each(
  change: Change,
  undo: 'changesValues' | ((tensor: TensorProgram, context: TransformContext, before: TensorProgram | undefined) => TensorProgram),
): Transform {
  return {
    apply: (tensors, context) => tensors.map((tensor) => change(tensor, context)),
    undo: undo === 'changesValues' ? undo : (made, context, before) => made.map((tensor, i) => undo(tensor, context, before?.[i])),
  }
}

/** A word that makes several tensors of one, always as many. @param whole  the one of them */
export function parts(
  split: (tensor: TensorProgram, context: TransformContext) => readonly TensorProgram[],
  whole: (made: readonly TensorProgram[], context: TransformContext) => TensorProgram,
): Transform {
  return {
    apply: (tensors, context) => tensors.flatMap((tensor) => split(tensor, context)),
    undo: (made, context, before) => {
      const size = made.length / (before?.length ?? 1)
      return Array.from({ length: made.length / size }, (_, i) => whole(made.slice(i * size, (i + 1) * size), context))
    },
  }
}

/** A word that leaves some tensors out and the others as they are. */
export function only(isKept: (tensor: TensorProgram, context: TransformContext) => boolean): Transform {
  return { apply: (tensors, context) => tensors.filter((tensor) => isKept(tensor, context)), undo: (made) => made }
}

/** The tensor's elements, seen as an array `view`, cut and turned, as a tensor of another shape. */
export function recut(tensor: TensorProgram, view: readonly number[], cut: Cut, shape: readonly number[]): TensorProgram {
  return { source: tensor.source, shape, program: inRows(rearranged(tensor.program, view, cut), rowShape(shape)) }
}

/** The same elements in another shape. */
export function reshaped(tensor: TensorProgram, shape: readonly number[]): TensorProgram {
  return { source: tensor.source, shape, program: inRows(tensor.program, rowShape(shape)) }
}

/** Rows [first, first + rows) of the first dimension. */
export function rowsFrom(tensor: TensorProgram, first: number, rows: number): TensorProgram {
  const [all = 0, ...rest] = tensor.shape
  return recut(tensor, [all, elementCount(rest)], { starts: [first], sizes: [rows, elementCount(rest)] }, [rows, ...rest])
}

/** One tensor of several that differ in one dimension only: along it, the elements of the first, then of the second, … */
export function concatenated(tensors: readonly TensorProgram[], axis: number): TensorProgram {
  const [first = { source: '', shape: [], program: NOTHING }] = tensors
  const [outer, inner] = [elementCount(first.shape.slice(0, axis)), elementCount(first.shape.slice(axis + 1))]
  const all = tensors.map(({ shape, program }) => {
    const size = shape[axis] ?? 0
    return { size, program: inRows(program, { rows: outer * size, cols: inner }) }
  })
  const slices = Array.from({ length: outer }, (_, i) => all.map(({ size, program }) => rowRange(program, i * size, size)))
  const shape = first.shape.with(
    axis,
    all.reduce((sum, { size }) => sum + size, 0),
  )
  return { source: first.source, shape, program: inRows({ op: 'stack', parts: slices.flat() }, rowShape(shape)) }
}

const NOTHING: RowProgram = { op: 'fill', rows: 0, cols: 1, value: 0 }

/** @throws FormatError unless the first dimension is what the config says */
export function expectRows(tensor: TensorProgram, rows: number, why: string, { config }: TransformContext): void {
  if (tensor.shape[0] === rows && elementCount(tensor.shape) > 0) return
  throw new FormatError(`has shape ${shapeText(tensor.shape)}; ${rows} rows are wanted: ${why} (${config.file}).`, { tensor: tensor.source })
}
