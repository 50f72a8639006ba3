/** Words about where elements lie: stacks, joins, splits, transposes, rotary halves. No value changes. */
import { FormatError } from '../core/errors.js'
import { rowRange, transpose } from '../core/row-maps.js'
import { inRows, type RowProgram } from '../core/row-program.js'
import { elementCount, rowShape, sameShape, shapeText } from '../core/shape.js'
import { readUint, type Config } from './config.js'
import { expertCount, firstPosition, headCount, hiddenSize, kvHeadCount, optionalUint } from './dimensions.js'
import { each, parts, recut, reshaped, rowsFrom, type TensorProgram, type Transform } from './transform.js'

export const LAYOUT_TRANSFORMS = {
  /** Queries: rotary pairs side by side, as ggml's rope wants them, instead of half a head apart. */
  'unpermuteRope:heads': each((tensor, { config }) => unpermuteRope(tensor, headCount(config), 'num_attention_heads', config)),
  /** Keys: the same with the number of key and value heads. */
  'unpermuteRope:kvHeads': each((tensor, { config }) => unpermuteRope(tensor, kvHeadCount(config), 'num_key_value_heads', config)),
  /** One tensor of one more dimension: the experts of a layer, in their order. */
  stackExperts: { apply: (tensors) => [stacked(tensors)], members: expertCount },
  /** The same for norms that each head has. */
  stackAltup: { apply: (tensors) => [stacked(tensors)], members: (config) => readUint(config, 'altup_num_inputs') - 1 },
  stackHeads: { apply: (tensors) => [stacked(tensors)], members: headCount },
  stackKvHeads: { apply: (tensors) => [stacked(tensors)], members: kvHeadCount },
  /** The rows of all, one after the other. */
  join: { apply: (tensors) => [joined(tensors)] },
  /** Halves, thirds of the rows; of each matrix, where there is a stack of them. */
  halves: parts((tensor) => equalParts(tensor, 2)),
  thirds: parts((tensor) => equalParts(tensor, 3)),
  /** Rows 0, 2, 4 … and rows 1, 3, 5 …; of each matrix or vector, where there is a stack of them. */
  evenOdd: parts((tensor) => [everySecond(tensor, 0), everySecond(tensor, 1)]),
  /** Rows for columns; of each matrix, where there is a stack of them; biases stay. */
  transpose: each(transposed),
  /** Matrices of a stack that must have the hidden state in their rows, or in their columns: transposed where they have it in the other. */
  hiddenRows: each((tensor, { config }) =>
    tensor.shape.at(-2) === hiddenSize(config) && tensor.shape.at(-1) !== hiddenSize(config) ? tensor : transposed(tensor),
  ),
  hiddenColumns: each((tensor, { config }) =>
    tensor.shape.at(-1) === hiddenSize(config) && tensor.shape.at(-2) !== hiddenSize(config) ? tensor : transposed(tensor),
  ),
  /** One number per row: vectors that ggml broadcasts. */
  asColumn: each((tensor) => reshaped(tensor, [...tensor.shape, 1])),
  /** A norm as one row per group of the state. */
  byGroups: each((tensor, { config }) => {
    const groups = optionalUint(config, 'n_groups', 'mamba_n_groups') ?? 1
    const elements = elementCount(tensor.shape)
    if (elements % groups !== 0) throw uneven(tensor, elements, groups)
    return reshaped(tensor, [groups, elements / groups])
  }),
  /** Positions that are counted from the padding token's on: those before have no token. */
  afterPadding: each((tensor, { config }) => {
    const first = firstPosition(config)
    return rowsFrom(tensor, first, Math.max(0, (tensor.shape[0] ?? 0) - first))
  }),
  /** The rows of all experts of a layer as a stack of their matrices. */
  byExperts: each((tensor, { config }) => {
    const [rows = 0, ...rest] = tensor.shape
    const experts = expertCount(config)
    if (rows % experts !== 0) throw uneven(tensor, rows, experts)
    return reshaped(tensor, [experts, rows / experts, ...rest])
  }),
  /** Without dimensions of one index. */
  squeeze: each((tensor) =>
    reshaped(
      tensor,
      tensor.shape.filter((size) => size !== 1),
    ),
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

function stacked(tensors: readonly TensorProgram[]): TensorProgram {
  const first = alike(tensors, ({ shape }, { shape: other }) => sameShape(shape, other))
  const shape = [tensors.length, ...first.shape]
  const { cols } = rowShape(shape)
  const rows = elementCount(first.shape) / cols
  return { source: first.source, shape, program: { op: 'stack', parts: tensors.map(({ program }) => inRows(program, { rows, cols })) } }
}

function joined(tensors: readonly TensorProgram[]): TensorProgram {
  const first = alike(tensors, ({ shape }, { shape: other }) => sameShape(shape.slice(1), other.slice(1)))
  const rows = tensors.reduce((sum, { shape }) => sum + (shape[0] ?? 0), 0)
  return { source: first.source, shape: [rows, ...first.shape.slice(1)], program: { op: 'stack', parts: tensors.map(({ program }) => program) } }
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

function everySecond(tensor: TensorProgram, first: number): TensorProgram {
  const dimensions = tensor.shape.length
  const axis = dimensions >= 2 ? 1 : 0 // (experts, rows, columns) and (experts, rows)
  const [outer, rows, rest] = stackOf(tensor, dimensions >= 2)
  if (rows % 2 !== 0) throw uneven(tensor, rows, 2)
  return recut(tensor, [outer, rows / 2, 2, rest], { starts: [0, 0, first], sizes: [outer, rows / 2, 1, rest] }, tensor.shape.with(axis, rows / 2))
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
