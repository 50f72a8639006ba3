/**
 * Words about the time mixing of RWKV.
 *
 * Law: conversion/rwkv.py `modify_tensors` (llama.cpp 0c1e570).
 */
import { FormatError } from '../core/errors.js'
import { elementCount, shapeText } from '../core/shape.js'
import { optionalUint } from './dimensions.js'
import { each, parts, reshaped, rowsFrom, type TensorProgram, type Transform } from './transform.js'
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
  },
  /** The same where they are in one tensor already. */
  asLerps: each((tensor, { config }) => {
    const count = config.values.get('wkv_has_gate') === false ? 5 : 6
    return reshaped(tensor, [count, 1, 1, elementCount(tensor.shape) / count])
  }),
  /** Fifths of the rows in another order. */
  orderRkvwg: each((tensor) => {
    const [rows = 0] = tensor.shape
    if (rows % 5 !== 0) throw new FormatError(`has shape ${shapeText(tensor.shape)}: ${rows} rows are no multiple of 5.`, { tensor: tensor.source })
    const fifths = RKVWG.map((from): TensorProgram => rowsFrom(tensor, (from * rows) / 5, rows / 5))
    return { source: tensor.source, shape: tensor.shape, program: { op: 'stack', parts: fifths.map(({ program }) => program) } }
  }),
  /** Halved once more every `rescale_every` layers, so that f16 does not overflow. */
  rescaleByDepth: each((tensor, { config, block = 0 }) => {
    const every = optionalUint(config, 'rescale_every')
    return every === undefined ? tensor : times(tensor, 1 / 2 ** Math.floor(block / every))
  }),
  /** One tensor in two places. */
  twice: parts((tensor) => [tensor, tensor]),
  /** One vector. */
  flatten: each((tensor) => reshaped(tensor, [elementCount(tensor.shape)])),
} as const satisfies Record<string, Transform>
