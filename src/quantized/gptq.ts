/**
 * GPTQ: integers packed along the inputs, zero points packed along the outputs, a scale for each group of inputs, which
 * `g_idx` names (with desc_act groups are no neighbours).
 *
 *   qweight (in / n, out)   qzeros (groups, out / n)   scales (groups, out)   g_idx (in), n codes to a word
 *
 * Law: conversion/base.py `dequant_gptq` (llama.cpp 0c1e570): f32(scale) * f32(code - zero), transposed; the zero points of
 * format 1 are stored less one. 3 bits, which straddle words, are not read there either.
 */
import { FormatError, quoted } from '../core/errors.js'
import type { RowProgram } from '../core/row-program.js'
import type { TensorInfo } from '../core/tensor-info.js'
import { matrixShape, requireDtype, requireShape, type Checkpoint, type LogicalTensor } from './checkpoint.js'
import { codesPerWord, turnedFromColumns, turnedFromRows, turnedGrid } from './packing.js'

const BITS: ReadonlySet<number> = new Set([2, 4, 8])

/** quant_method gptq. */
export function readGptq(checkpoint: Checkpoint): LogicalTensor[] {
  const bits = checkpoint.uint('bits')
  if (!BITS.has(bits)) throw checkpoint.unsupported(`The model is GPTQ of ${bits} bits`)
  const zeroOffset = zeroOffsetOf(checkpoint)
  return checkpoint.endingIn('.qweight').map(({ stem, tensor }) => readModule(checkpoint, stem, tensor, bits, zeroOffset))
}

/** 1 for format 1. */
function zeroOffsetOf(checkpoint: Checkpoint): 0 | 1 {
  const format = checkpoint.settings.get('checkpoint_format') ?? checkpoint.settings.get('format') ?? 'gptq'
  if (format === 'gptq') return 1
  if (format === 'gptq_v2') return 0
  throw checkpoint.unsupported(`The model is GPTQ in the format ${typeof format === 'string' ? quoted(format) : 'of another kind'}`)
}

function readModule(checkpoint: Checkpoint, module: string, qweight: TensorInfo, bits: number, zeroOffset: 0 | 1): LogicalTensor {
  const qzeros = checkpoint.take(`${module}.qzeros`, qweight)
  const scales = checkpoint.take(`${module}.scales`, qweight)
  const groups = checkpoint.find(`${module}.g_idx`)
  const perWord = codesPerWord(qweight, bits)
  const [words, rows] = matrixShape(qweight)
  const [gridCols] = matrixShape(scales)
  const cols = words * perWord
  requireDtype(scales, 'F16', 'BF16', 'F32')
  requireDtype(qzeros, qweight.dtype)
  requireShape(scales, [gridCols, rows], `${module} has ${rows} outputs`)
  requireShape(qzeros, [gridCols, Math.ceil(rows / perWord)], `${bits} bits for each of ${gridCols} x ${rows} zero points`)
  if (groups !== undefined) {
    requireDtype(groups, 'I32')
    requireShape(groups, [cols], `${module} has ${cols} inputs of ${bits} bits`)
  }
  const grid = { rows, cols: gridCols }
  const over = {
    blockRows: 1,
    blockCols: blockCols(checkpoint, cols, gridCols, groups !== undefined),
    matrixRows: rows,
    ...(groups === undefined ? {} : { groups }),
  }
  const codes = turnedFromColumns(qweight, { rows, cols }, { bits })
  const zeros = turnedFromRows(qzeros, grid, { bits, add: zeroOffset })
  const differences: RowProgram = { op: 'blockwise', by: 'minus', input: codes, grid: zeros, ...over }
  return {
    name: `${module}.weight`,
    shape: [rows, cols],
    program: { op: 'blockwise', by: 'times', input: differences, grid: turnedGrid(scales, grid), ...over },
    parts: [qweight, qzeros, scales, ...(groups === undefined ? [] : [groups])],
  }
}

/** Inputs of a group, where no `g_idx` says. @throws FormatError when desc_act says that it had to */
function blockCols({ settings, file }: Checkpoint, cols: number, groups: number, hasIndex: boolean): number {
  if (!hasIndex && settings.get('desc_act') === true)
    throw new FormatError('desc_act is true, but no g_idx says which inputs belong together: is the download complete?', { file })
  const size = settings.get('group_size')
  const own = typeof size === 'number' && size > 0 ? size : cols
  if (!hasIndex && Math.ceil(cols / own) !== groups)
    throw new FormatError(`group_size is ${own}, but ${cols} inputs have ${groups} groups of scales.`, { file })
  return own
}
