/**
 * FP8 with a scale beside each weight: DeepSeek's and Qwen's blocks (weight_scale_inv), FBGEMM's rows (weight_scale),
 * Mistral's and AutoFP8's tensors (qscale_weight, weight_scale), MXFP8.
 *
 * Law: conversion/base.py `dequant_model`, method fp8 (llama.cpp 0c1e570); transformers 5.23 finegrained_fp8.py, fbgemm_fp8.py.
 */
import { FormatError } from '../core/errors.js'
import { isArray, kindOf } from '../core/json.js'
import type { TensorInfo } from '../core/tensor-info.js'
import { OF_ACTIVATIONS, type Checkpoint, type LogicalTensor } from './checkpoint.js'
import { scaledTensor, type Block } from './scaled.js'

/** What a scale's name ends in, and its weight's name in its place. */
const SCALES: readonly (readonly [scale: string, weight: string])[] = [
  ['_scale_inv', ''],
  ['.qscale_weight', '.weight'],
  ['.weight_scale', '.weight'],
]

/** quant_method fp8 and mxfp8. */
export function readFp8(checkpoint: Checkpoint): LogicalTensor[] {
  const block = checkpoint.settings.size === 0 ? undefined : blockOf(checkpoint)
  return SCALES.flatMap(([ending, own]) =>
    checkpoint.endingIn(ending).map(({ stem, tensor: scale }) => {
      const weight = checkpoint.take(`${stem}${own}`, scale)
      return scaledTensor(weight, scale, checkpoint.settings.size === 0 ? evenBlock(weight, scale) : block)
    }),
  )
}

/** quant_method fbgemm_fp8: one scale for each row, or for each column of a stack of experts. */
export function readFbgemm(checkpoint: Checkpoint): LogicalTensor[] {
  const scales = checkpoint.endingIn('_scale').filter(({ tensor }) => !OF_ACTIVATIONS.test(tensor.name))
  return scales.map(({ stem, tensor: scale }) => scaledTensor(checkpoint.take(stem, scale), scale, undefined))
}

function blockOf({ settings, file }: Checkpoint): Block | undefined {
  const size = settings.get('weight_block_size') ?? undefined
  return size === undefined ? undefined : readBlock(size, 'weight_block_size', file)
}

/** `[128, 128]`. @throws FormatError */
export function readBlock(value: Parameters<typeof kindOf>[0], key: string, file: string): Block {
  const [rows, cols, ...more] = isArray(value) ? value : []
  const isSize = (one: unknown): one is number => typeof one === 'number' && Number.isSafeInteger(one) && one > 0
  if (!isSize(rows) || !isSize(cols) || more.length > 0) throw new FormatError(`${key} is ${kindOf(value)}; two positive integers are wanted.`, { file })
  return [rows, cols]
}

/** Where no config tells the size of blocks: what their number says, if they divide the weight. */
function evenBlock(weight: TensorInfo, scale: TensorInfo): Block | undefined {
  if (scale.shape.length !== weight.shape.length) return undefined
  const [rows = 0, cols = 0] = weight.shape.slice(-2).map((size, i) => size / (scale.shape.slice(-2)[i] ?? 0))
  return Number.isInteger(rows) && Number.isInteger(cols) ? [rows, cols] : undefined
}
