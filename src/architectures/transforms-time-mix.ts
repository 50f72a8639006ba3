/**
 * Words about the time mixing of RWKV.
 *
 * Law: conversion/rwkv.py `modify_tensors` (llama.cpp 0c1e570).
 */
import { FormatError } from '../core/errors.js'
import { elementCount, shapeText } from '../core/shape.js'
import { optionalUint } from './dimensions.js'
import { each, reshaped, rowsFrom, type TensorProgram, type Transform, type TransformContext } from './transform.js'
import { times } from './transforms-multipliers.js'

const RKVWG = [3, 1, 2, 0, 4] // where llama.cpp wants them -> where the checkpoint has w, k, v, r, g

export const TIME_MIX_TRANSFORMS = {
  /** Vectors of how much of the token before is mixed in, of all projections, in one tensor (projections, 1, 1, state). */
  stackLerps: {
    apply: (tensors) => {
      const [first] = tensors
      const size = first === undefined ? 0 : elementCount(first.shape)
      const odd = tensors.find(({ shape }) => elementCount(shape) !== size)
      if (first === undefined || odd !== undefined)
        throw new FormatError(`has another size than ${first?.source ?? 'the others'}.`, { tensor: odd?.source ?? '' })
      const rows = tensors.map((tensor) => reshaped(tensor, [1, size]).program)
      return [reshaped({ source: first.source, shape: [tensors.length, size], program: { op: 'stack', parts: rows } }, [tensors.length, 1, 1, size])]
    },
    undo: ([made], _, before) => {
      if (made === undefined) return []
      const [count = 0, , , size = 0] = made.shape
      return Array.from({ length: count }, (_, i) => reshaped(rowsFrom(made, i, 1), before?.[i]?.shape ?? [1, 1, size]))
    },
  },
  /** The same where they are in one tensor already. */
  asLerps: each((tensor, { config }) => {
    const count = config.values.get('wkv_has_gate') === false ? 5 : 6
    return reshaped(tensor, [count, 1, 1, elementCount(tensor.shape) / count])
  }, shapedAsBefore),
  /** Fifths of the rows in another order. */
  orderRkvwg: each(
    (tensor) => fifths(tensor, RKVWG),
    (tensor) =>
      fifths(
        tensor,
        RKVWG.map((_, i) => RKVWG.indexOf(i)),
      ),
  ),
  /** Halved once more every `rescale_every` layers, so that f16 does not overflow. */
  rescaleByDepth: each(
    (tensor, context) => times(tensor, 1 / depthScale(context)),
    (tensor, context) => times(tensor, depthScale(context)),
  ),
  /** One tensor in two places. */
  twice: { apply: (tensors) => tensors.flatMap((tensor) => [tensor, tensor]), undo: 'changesValues' },
  /** One vector. */
  flatten: each((tensor) => reshaped(tensor, [elementCount(tensor.shape)]), shapedAsBefore),
} as const satisfies Record<string, Transform>

/** How many dimensions a checkpoint has, a file does not tell. */
function shapedAsBefore(tensor: TensorProgram, _: TransformContext, before: TensorProgram | undefined): TensorProgram {
  return reshaped(tensor, before?.shape ?? tensor.shape)
}

/** @param order  which fifth of the rows comes where */
function fifths(tensor: TensorProgram, order: readonly number[]): TensorProgram {
  const [rows = 0] = tensor.shape
  if (rows % 5 !== 0) throw new FormatError(`has shape ${shapeText(tensor.shape)}: ${rows} rows are no multiple of 5.`, { tensor: tensor.source })
  const taken = order.map((from): TensorProgram => rowsFrom(tensor, (from * rows) / 5, rows / 5))
  return { source: tensor.source, shape: tensor.shape, program: { op: 'stack', parts: taken.map(({ program }) => program) } }
}

/** A power of two, so that nothing is lost on the way back. */
function depthScale({ config, block = 0 }: TransformContext): number {
  const every = optionalUint(config, 'rescale_every')
  return every === undefined ? 1 : 2 ** Math.floor(block / every)
}
