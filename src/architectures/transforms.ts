/**
 * The closed vocabulary of what happens to a tensor between a Hugging Face checkpoint and a GGUF file. Each word is a
 * pure function from one tensor (shape + row program) to another, so everything streams. A family that needs a word that
 * is not here adds it for all families.
 */
import { FormatError } from '../core/errors.js'
import type { RowProgram } from '../core/row-program.js'
import { elementCount } from '../core/shape.js'
import type { Config } from './config.js'
import { headCount, kvHeadCount } from './hparams.js'

/** A tensor on its way from the checkpoint to the file. */
export interface TensorProgram {
  /** As the checkpoint spells it, for messages. */
  readonly source: string
  /** Outermost dimension first. */
  readonly shape: readonly number[]
  readonly program: RowProgram
}

type Transform = (tensor: TensorProgram, config: Config) => TensorProgram

export const TRANSFORMS = {
  /** Queries: rotary pairs side by side, as ggml's rope wants them, instead of half a head apart. */
  'unpermuteRope:heads': (tensor, config) => unpermuteRope(tensor, headCount(config), 'num_attention_heads', config),
  /** Keys: the same with the number of key and value heads. */
  'unpermuteRope:kvHeads': (tensor, config) => unpermuteRope(tensor, kvHeadCount(config), 'num_key_value_heads', config),
} as const satisfies Record<string, Transform>

/** A word of the vocabulary. */
export type TransformName = keyof typeof TRANSFORMS

/**
 * Rows (heads, 2, half a head) become (heads, half a head, 2): meta's order of rotary pairs, which Hugging Face's
 * converter had changed. A bias is a column of rows, so the same map serves it.
 *
 * Law: conversion/llama.py `LlamaModel.permute`.
 */
function unpermuteRope(tensor: TensorProgram, heads: number, key: string, config: Config): TensorProgram {
  const [rows = 1] = tensor.shape
  if (tensor.shape.length > 2 || elementCount(tensor.shape) === 0 || rows % (2 * heads) !== 0) {
    throw new FormatError(`${rows} rows do not split into ${heads} heads (${key} of ${config.file}) of two halves each.`, { tensor: tensor.source })
  }
  return { ...tensor, program: { op: 'permuteRows', input: tensor.program, shape: [heads, 2, rows / heads / 2], order: [0, 2, 1] } }
}
