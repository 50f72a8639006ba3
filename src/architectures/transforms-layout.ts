/** Words about where elements lie: stacks, joins, splits, transposes, rotary halves. No value changes. */
import { FormatError } from '../core/errors.js'
import { everyNth } from '../core/every-nth.js'
import { rowRange, transpose } from '../core/row-maps.js'
import { inRows, type RowProgram } from '../core/row-program.js'
import { elementCount, rowShape, sameShape, shapeText } from '../core/shape.js'
import { readUint, type Config } from './config.js'
import { expertCount, firstPosition, headCount, hiddenSize, kvHeadCount, optionalUint } from './dimensions.js'
import { concatenated, each, parts, recut, reshaped, rowsFrom, type TensorProgram, type Transform, type TransformContext } from './transform.js'

export const LAYOUT_TRANSFORMS = {
  /** Queries: rotary pairs side by side, as ggml's rope wants them, instead of half a head apart. */
  'unpermuteRope:heads': each(
    (tensor, { config }) => unpermuteRope(tensor, headCount(config), 'num_attention_heads', config),
    (tensor, { config }) => permuteRope(tensor, headCount(config), 'num_attention_heads', config),
  ),
  /** Keys: the same with the number of key and value heads. */
  'unpermuteRope:kvHeads': each(
    (tensor, { config }) => unpermuteRope(tensor, kvHeadCount(config), 'num_key_value_heads', config),
    (tensor, { config }) => permuteRope(tensor, kvHeadCount(config), 'num_key_value_heads', config),
  ),
  /** One tensor of one more dimension: the experts of a layer, in their order. */
  stackExperts: stack(expertCount),
  /** The same where two experts have one in common. */
  stackPairsOfExperts: stack((config) => Math.floor(expertCount(config) / 2)),
  /** The same for norms that each head has. */
  stackAltup: stack((config) => readUint(config, 'altup_num_inputs') - 1),
  stackHeads: stack(headCount),
  stackKvHeads: stack(kvHeadCount),
  /** The rows of all three, one after the other; as many of each. */
  joinThirds: { apply: (tensors) => [joined(tensors)], undo: (made) => made.flatMap((tensor) => equalParts(tensor, 3)) },
  /** Halves, thirds of the rows; of each matrix, where there is a stack of them. */
  halves: parts((tensor) => equalParts(tensor, 2), wholeOfParts),
  thirds: parts((tensor) => equalParts(tensor, 3), wholeOfParts),
  /** Rows 0, 2, 4 … and rows 1, 3, 5 …; of each matrix or vector, where there is a stack of them. */
  evenOdd: parts((tensor) => [everySecond(tensor, 0), everySecond(tensor, 1)], interleaved),
  /** Rows for columns; of each matrix, where there is a stack of them; biases stay. */
  transpose: each(transposed, transposed),
  /** Matrices of a stack that must have the hidden state in their rows, or in their columns: transposed where they have it in the other. */
  hiddenRows: each((tensor, { config }) => (liesAlong(-2, tensor, config) ? tensor : transposed(tensor)), turnedBack(-2)),
  hiddenColumns: each((tensor, { config }) => (liesAlong(-1, tensor, config) ? tensor : transposed(tensor)), turnedBack(-1)),
  /** One number per row: vectors that ggml broadcasts. */
  asColumn: each(
    (tensor) => reshaped(tensor, [...tensor.shape, 1]),
    (tensor) => reshaped(tensor, tensor.shape.slice(0, -1)),
  ),
  /** A norm as one row per group of the state. */
  byGroups: each(
    (tensor, { config }) => {
      const groups = optionalUint(config, 'n_groups', 'mamba_n_groups') ?? 1
      const elements = elementCount(tensor.shape)
      if (elements % groups !== 0) throw uneven(tensor, elements, groups)
      return reshaped(tensor, [groups, elements / groups])
    },
    (tensor) => reshaped(tensor, [elementCount(tensor.shape)]),
  ),
  /** Positions that are counted from the padding token's on: those before have no token. */
  afterPadding: each(
    (tensor, { config }) => {
      const first = firstPosition(config)
      return rowsFrom(tensor, first, Math.max(0, (tensor.shape[0] ?? 0) - first))
    },
    (tensor, _, before) => withZerosBefore(tensor, before?.shape[0] ?? 0),
  ),
  /** The rows of all experts of a layer as a stack of their matrices. */
  byExperts: each(
    (tensor, { config }) => {
      const [rows = 0, ...rest] = tensor.shape
      const experts = expertCount(config)
      if (rows % experts !== 0) throw uneven(tensor, rows, experts)
      return reshaped(tensor, [experts, rows / experts, ...rest])
    },
    (tensor) => {
      const [experts = 0, rows = 0, ...rest] = tensor.shape
      return reshaped(tensor, [experts * rows, ...rest])
    },
  ),
  /** Without dimensions of one index: kernels of convolutions, each of one channel. */
  squeeze: each(
    (tensor) =>
      reshaped(
        tensor,
        tensor.shape.filter((size) => size !== 1),
      ),
    (tensor, _, before) => {
      const [channels = 1, ...kernel] = tensor.shape
      return reshaped(tensor, before?.shape ?? (kernel.length === 0 ? [channels] : [channels, 1, ...kernel]))
    },
  ),
} as const satisfies Record<string, Transform>

/**
 * Rows (heads, 2, half a head) become (heads, half a head, 2): meta's order of rotary pairs, which Hugging Face's
 * converter had changed. A bias is a column of rows, so the same map serves it.
 *
 * Law: conversion/llama.py `LlamaModel.permute`.
 */
export function unpermuteRope(tensor: TensorProgram, heads: number, key: string, config: Config): TensorProgram {
  const [rows = 1] = tensor.shape
  if (tensor.shape.length > 2 || elementCount(tensor.shape) === 0 || rows % (2 * heads) !== 0) {
    throw new FormatError(`${rows} rows do not split into ${heads} heads (${key} of ${config.file}) of two halves each.`, { tensor: tensor.source })
  }
  return { ...tensor, program: { op: 'permuteRows', input: tensor.program, shape: [heads, 2, rows / heads / 2], order: [0, 2, 1] } }
}

/** The same backwards. */
export function permuteRope(tensor: TensorProgram, heads: number, key: string, config: Config): TensorProgram {
  const [rows = 1] = tensor.shape
  unpermuteRope(tensor, heads, key, config) // refuses what does not split
  return { ...tensor, program: { op: 'permuteRows', input: tensor.program, shape: [heads, rows / heads / 2, 2], order: [0, 2, 1] } }
}

/** A word that stacks the members of a list. */
function stack(members: (config: Config) => number): Transform & { readonly members: (config: Config) => number } {
  return { apply: (tensors) => [stacked(tensors)], undo: ([made]) => (made === undefined ? [] : unstacked(made)), members }
}

function unstacked({ source, shape, program }: TensorProgram): TensorProgram[] {
  const [count = 0, ...own] = shape
  const rows = rowShape(shape).rows / count
  return Array.from({ length: count }, (_, i) => ({ source, shape: own, program: inRows(rowRange(program, i * rows, rows), rowShape(own)) }))
}

function stacked(tensors: readonly TensorProgram[]): TensorProgram {
  const first = alike(tensors, ({ shape }, { shape: other }) => sameShape(shape, other))
  const shape = [tensors.length, ...first.shape]
  const { cols } = rowShape(shape)
  const rows = elementCount(first.shape) / cols
  return { source: first.source, shape, program: { op: 'stack', parts: tensors.map(({ program }) => inRows(program, { rows, cols })) } }
}

function joined(tensors: readonly TensorProgram[]): TensorProgram {
  const first = alike(tensors, ({ shape }, { shape: other }) => sameShape(shape, other))
  const rows = tensors.reduce((sum, { shape }) => sum + (shape[0] ?? 0), 0)
  return { source: first.source, shape: [rows, ...first.shape.slice(1)], program: { op: 'stack', parts: tensors.map(({ program }) => program) } }
}

function liesAlong(axis: -1 | -2, { shape }: TensorProgram, config: Config): boolean {
  return shape.at(axis) === hiddenSize(config) && shape.at(-3 - axis) !== hiddenSize(config)
}

/** As the checkpoint had it; where that is not known, as the hub has it: the other way round. */
function turnedBack(axis: -1 | -2): (tensor: TensorProgram, context: TransformContext, before: TensorProgram | undefined) => TensorProgram {
  return (tensor, { config }, before) => (before !== undefined && liesAlong(axis, before, config) ? tensor : transposed(tensor))
}

/** With rows of zeros before it, up to a number of them. */
function withZerosBefore(tensor: TensorProgram, wanted: number): TensorProgram {
  const [rows = 0, cols = 1] = tensor.shape
  if (rows >= wanted) return tensor
  const zeros: RowProgram = { op: 'fill', rows: wanted - rows, cols, value: 0 }
  return { source: tensor.source, shape: [wanted, cols], program: { op: 'stack', parts: [zeros, tensor.program] } }
}

function alike(tensors: readonly TensorProgram[], fits: (one: TensorProgram, other: TensorProgram) => boolean): TensorProgram {
  const [first, ...rest] = tensors
  if (first === undefined) throw new FormatError('is a list without members.')
  const odd = rest.find((other) => !fits(first, other) || elementCount(other.shape) === 0)
  if (odd === undefined && elementCount(first.shape) > 0) return first
  const { source, shape } = odd ?? first
  throw new FormatError(`has shape ${shapeText(shape)}, ${first.source} has ${shapeText(first.shape)}: they cannot become one tensor.`, { tensor: source })
}

/** Dimensions before the rows that are split: none for a matrix or a bias, the experts for a stack. */
function equalParts(tensor: TensorProgram, count: number): TensorProgram[] {
  const [outer, rows, rest] = stackOf(tensor, tensor.shape.length >= 3)
  if (rows % count !== 0) throw uneven(tensor, rows, count)
  const size = rows / count
  const axis = tensor.shape.length >= 3 ? 1 : 0
  const shape = tensor.shape.with(axis, size)
  if (outer === 1)
    return Array.from({ length: count }, (_, part) => rowsFrom(reshaped(tensor, [rows, ...shape.slice(axis + 1)]), part * size, size)).map((part) =>
      reshaped(part, shape),
    )
  return Array.from({ length: count }, (_, part) => recut(tensor, [outer, rows, rest], { starts: [0, part * size], sizes: [outer, size, rest] }, shape))
}

function wholeOfParts(made: readonly TensorProgram[]): TensorProgram {
  return concatenated(made, (made[0]?.shape.length ?? 0) >= 3 ? 1 : 0)
}

function everySecond(tensor: TensorProgram, first: number): TensorProgram {
  const dimensions = tensor.shape.length
  const axis = dimensions >= 2 ? 1 : 0 // (experts, rows, columns) and (experts, rows)
  const [outer, rows, rest] = stackOf(tensor, dimensions >= 2)
  if (rows % 2 !== 0) throw uneven(tensor, rows, 2)
  const shape = tensor.shape.with(axis, rows / 2)
  const program = everyNth(inRows(tensor.program, { rows: outer * rows, cols: rest }), 2, first)
  return { source: tensor.source, shape, program: inRows(program, rowShape(shape)) }
}

/** Rows of the one and the other by turns. */
function interleaved(made: readonly TensorProgram[]): TensorProgram {
  const [even, odd] = made as [TensorProgram, TensorProgram]
  const dimensions = even.shape.length
  const [outer, rows, rest] = stackOf(even, dimensions >= 2)
  const both: RowProgram = { op: 'stack', parts: [even.program, odd.program] }
  const tensor = { source: even.source, shape: even.shape, program: both }
  return recut(tensor, [2, outer, rows, rest], { order: [1, 2, 0, 3] }, even.shape.with(dimensions >= 2 ? 1 : 0, rows * 2))
}

function stackOf({ shape }: TensorProgram, isStack: boolean): [outer: number, rows: number, rest: number] {
  const [outer = 1, rows = 1] = isStack ? shape : [1, ...shape]
  return [outer, rows, elementCount(shape) / outer / rows]
}

/** Every matrix of a stack with rows for columns. */
export function transposed(tensor: TensorProgram): TensorProgram {
  const [cols = 1, rows = 1] = tensor.shape.toReversed()
  const outer = tensor.shape.slice(0, -2)
  if (tensor.shape.length < 2) return tensor
  const matrices: RowProgram[] = Array.from({ length: elementCount(outer) }, (_, i) => transpose(rowRange(tensor.program, i * rows, rows)))
  const [only] = matrices
  const program: RowProgram = matrices.length === 1 && only !== undefined ? only : { op: 'stack', parts: matrices }
  return { source: tensor.source, shape: [...outer, cols, rows], program }
}

function uneven(tensor: TensorProgram, rows: number, count: number): FormatError {
  return new FormatError(`has shape ${shapeText(tensor.shape)}: ${rows} rows are no multiple of ${count}.`, { tensor: tensor.source })
}
