/**
 * NVIDIA ModelOpt: FP8 with a scale for the tensor or each row, NVFP4; both in one model where it is mixed.
 *
 * Law: conversion/base.py `dequant_model`, method modelopt (llama.cpp 0c1e570).
 */
import { FormatError } from '../core/errors.js'
import type { Checkpoint, LogicalTensor } from './checkpoint.js'
import { readMatrix } from './micro-blocks.js'
import { scaledTensor } from './scaled.js'
import { placeOfTensor } from '../core/tensor-info.js'

/** quant_method modelopt. */
export function readModelopt(checkpoint: Checkpoint): LogicalTensor[] {
  return checkpoint.endingIn('.weight_scale').map(({ stem: module, tensor: scale }) => {
    const weight = checkpoint.take(`${module}.weight`, scale)
    if (weight.dtype === 'F8_E4M3' || weight.dtype === 'F8_E5M2') return scaledTensor(weight, scale, undefined)
    if (weight.dtype === 'U8' && scale.dtype === 'F8_E4M3') return readMatrix(checkpoint, module, weight)
    throw new FormatError(
      `is ${weight.dtype} with scales of ${scale.dtype}: of ModelOpt’s kinds FP8 and NVFP4 are read. Use the 16-bit model.`,
      placeOfTensor(weight),
    )
  })
}
