/**
 * Weights of one number each (FP8, int8) with a scale for the tensor, for each row, or for each block.
 *
 * Law: conversion/base.py `dequant_simple` (llama.cpp 0c1e570): f32(weight) * f32(scale). Stricter here: a scale that does
 * not cover the weight is an error, not broadcast as it happens to fit.
 */
import { FormatError } from '../core/errors.js'
import type { RowProgram } from '../core/row-program.js'
import { elementCount, rowShape, sameShape, shapeText } from '../core/shape.js'
import { placeOfTensor, type TensorInfo } from '../core/tensor-info.js'
import type { LogicalTensor } from './checkpoint.js'
import { stored } from './packing.js'

/** Rows and columns of a block. */
export type Block = readonly [number, number]

type Blockwise = Extract<RowProgram, { op: 'blockwise' }>

/** How a grid of scales lies over a weight. */
interface Grid extends Pick<Blockwise, 'blockRows' | 'blockCols' | 'matrixRows'> {
  readonly rows: number
  readonly cols: number
}

/** A weight times its scale. @param block  undefined: dimensions of the scale are those of the weight, or 1 */
export function scaledTensor(weight: TensorInfo, scale: TensorInfo, block: Block | undefined, zeros?: TensorInfo): LogicalTensor {
  const { name, shape } = weight
  const codes = stored(weight, rowShape(shape))
  const input = zeros === undefined ? codes : overBlocks('minus', codes, weight, zeros, block)
  return { name, shape, program: overBlocks('times', input, weight, scale, block), parts: zeros === undefined ? [weight, scale] : [weight, scale, zeros] }
}

/** The blockwise program of a grid that is stored beside a weight. @throws FormatError when their shapes do not fit */
export function overBlocks(by: Blockwise['by'], input: RowProgram, weight: TensorInfo, grid: TensorInfo, block: Block | undefined): RowProgram {
  const { rows, cols, ...lies } = gridOf(weight, grid, block)
  // bytes without a type of their own are exponents where they scale, integers where they are zero points
  return { op: 'blockwise', by, input, grid: stored(grid, { rows, cols }, by === 'minus' ? 'unsigned' : 'e8m0'), ...lies }
}

/** One number for all. @throws FormatError when it is not one */
export function overAll(by: Blockwise['by'], input: RowProgram, all: { readonly rows: number; readonly cols: number }, number: TensorInfo): RowProgram {
  if (elementCount(number.shape) !== 1)
    throw new FormatError(`has shape ${shapeText(number.shape)}; one number for the whole tensor is wanted.`, placeOfTensor(number))
  const { rows, cols } = all
  return { op: 'blockwise', by, input, grid: stored(number, { rows: 1, cols: 1 }), blockRows: rows, blockCols: cols, matrixRows: rows }
}

function gridOf({ shape }: TensorInfo, scale: TensorInfo, block: Block | undefined): Grid {
  const whole = rowShape(shape)
  if (elementCount(scale.shape) === 1 && block === undefined) return { rows: 1, cols: 1, blockRows: whole.rows, blockCols: whole.cols, matrixRows: whole.rows }
  const [rows = 1, cols = 1] = shape.slice(-2)
  const blocks: readonly Block[] =
    block === undefined
      ? [
          [1, cols],
          [rows, cols],
          [rows, 1],
        ]
      : [block]
  const leading = shape.slice(0, -2)
  // without blocks, a scale of fewer dimensions counts from the weight's first one: [out] is [out, 1], [experts] is [experts, 1, 1]
  const missing = block === undefined ? shape.map(() => 1).slice(scale.shape.length) : []
  const wanted = blocks.map((one) => [...leading, Math.ceil(rows / one[0]), Math.ceil(cols / one[1])])
  const fitting = shape.length < 2 ? -1 : wanted.findIndex((one) => sameShape(one, [...scale.shape, ...missing]))
  const found = blocks[fitting]
  if (found === undefined) throw unfit(shape, scale, wanted[0] ?? [])
  const [blockRows, blockCols] = found
  return { rows: elementCount(leading) * Math.ceil(rows / blockRows), cols: Math.ceil(cols / blockCols), blockRows, blockCols, matrixRows: rows }
}

function unfit(weight: readonly number[], scale: TensorInfo, wanted: readonly number[]): FormatError {
  const asked = weight.length < 2 ? 'a matrix is wanted' : `${shapeText(wanted)} is wanted`
  return new FormatError(`has shape ${shapeText(scale.shape)}, but what it scales is ${shapeText(weight)}: ${asked}.`, placeOfTensor(scale))
}
