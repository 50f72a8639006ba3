/** What a word of the vocabulary is, and how most of them are made. */
import { FormatError } from '../core/errors.js'
import { rearranged, type Cut } from '../core/row-maps.js'
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

export interface Transform {
  readonly apply: (tensors: readonly TensorProgram[], context: TransformContext) => readonly TensorProgram[]
  /** For words that make one tensor of a list: how many members it has. */
  readonly members?: (config: Config) => number
  /** Whether it must know the values while planning. */
  readonly needsValues?: boolean
}

/** A word that changes each tensor by itself. */
export function each(change: (tensor: TensorProgram, context: TransformContext) => TensorProgram): Transform {
  return { apply: (tensors, context) => tensors.map((tensor) => change(tensor, context)) }
}

/** A word that makes several tensors of one. */
export function parts(split: (tensor: TensorProgram, context: TransformContext) => readonly TensorProgram[]): Transform {
  return { apply: (tensors, context) => tensors.flatMap((tensor) => split(tensor, context)) }
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

/** @throws FormatError unless the first dimension is what the config says */
export function expectRows(tensor: TensorProgram, rows: number, why: string, { config }: TransformContext): void {
  if (tensor.shape[0] === rows && elementCount(tensor.shape) > 0) return
  throw new FormatError(`has shape ${shapeText(tensor.shape)}; ${rows} rows are wanted: ${why} (${config.file}).`, { tensor: tensor.source })
}
