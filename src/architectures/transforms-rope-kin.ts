/**
 * Words about rotary pairs where the usual ones do not hold: layers that differ in their heads, several rotary dimensions.
 *
 * Law: conversion/deci.py `DeciModel.permute`, glm.py `Glm4Model.normal_to_neox` (llama.cpp 0c1e570).
 */
import { FormatError } from '../core/errors.js'
import { elementCount } from '../core/shape.js'
import { headDim, layerKvHeadCount, optionalUint } from './dimensions.js'
import { rotaryDimensions, ropeSections } from './text-hparams.js'
import { each, recut, rowsFrom, type TensorProgram, type Transform, type TransformContext } from './transform.js'
import { permuteRope, unpermuteRope } from './transforms-layout.js'

export const ROPE_KIN_TRANSFORMS = {
  /** Keys: rotary pairs side by side, where layers differ in the number of their heads. */
  'unpermuteRope:layerKvHeads': each(
    (tensor, context) => unpermuteRope(tensor, layerHeads(tensor, context), 'of its layer', context.config),
    (tensor, context) => permuteRope(tensor, layerHeads(tensor, context), 'of its layer', context.config),
  ),
  /** Queries or keys of models with several rotary dimensions, whose pairs lie side by side: half the rotating part apart, as ggml wants them there. */
  pairsApart: each(
    (tensor, context) => perHead(tensor, context, (turning, half, rest) => recut(turning, [half, 2, rest], { order: [1, 0, 2] }, turning.shape)),
    (tensor, context) => perHead(tensor, context, (turning, half, rest) => recut(turning, [2, half, rest], { order: [1, 0, 2] }, turning.shape)),
  ),
} as const satisfies Record<string, Transform>

function layerHeads({ source }: TensorProgram, { config, block = 0 }: TransformContext): number {
  const heads = layerKvHeadCount(config, block)
  if (heads > 0) return heads
  throw new FormatError(`belongs to a layer that has no heads of keys by ${config.file}.`, { tensor: source })
}

/** The rotating rows of every head changed, the others as they are; nothing where there is one rotary dimension only. */
function perHead(
  tensor: TensorProgram,
  { config }: TransformContext,
  change: (turning: TensorProgram, half: number, rest: number) => TensorProgram,
): TensorProgram {
  if (ropeSections(config) === undefined) return tensor
  const size = headDim(config)
  const rotating = optionalUint(config, 'rotary_dim') ?? Number(rotaryDimensions(0.5)(config))
  const [rows = 0] = tensor.shape
  if (rows % size !== 0 || rotating % 2 !== 0)
    throw new FormatError(`has ${rows} rows; heads of ${size}, of which ${rotating} rotate, are wanted (${config.file}).`, { tensor: tensor.source })
  const rest = elementCount(tensor.shape) / rows
  const parts = Array.from({ length: rows / size }, (_, head) => head * size).flatMap((first) => {
    const turned = change(rowsFrom(tensor, first, rotating), rotating / 2, rest).program
    return rotating === size ? [turned] : [turned, rowsFrom(tensor, first + rotating, size - rotating).program]
  })
  return { source: tensor.source, shape: tensor.shape, program: { op: 'stack', parts } }
}
