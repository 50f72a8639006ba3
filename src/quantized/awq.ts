/**
 * AWQ as AutoAWQ's GEMM kernels want it: weights and zero points packed along the outputs, eight to a word, in an order
 * that suits the kernel.
 *
 *   qweight (in, out / 8)   qzeros (groups, out / 8)   scales (groups, out)
 *
 * Law: transformers 5.23 awq.py, AutoAWQ `dequantize_gemm`: (code - zero) * scale. There in f16; here in f32.
 */
import { FormatError, quoted } from '../core/errors.js'
import { kindOf, textOr } from '../core/json.js'
import type { RowProgram } from '../core/row-program.js'
import type { TensorInfo } from '../core/tensor-info.js'
import { matrixShape, requireDtype, requireShape, type Checkpoint, type LogicalTensor } from './checkpoint.js'
import { turnedFromRows, turnedGrid } from './packing.js'

/** Where in a word each of eight neighbours lies, in bits. */
const GEMM_SHIFTS = [0, 16, 4, 20, 8, 24, 12, 28]

/** quant_method awq. */
export function readAwq(checkpoint: Checkpoint): LogicalTensor[] {
  const { settings } = checkpoint
  const version = textOr(settings.get('version') ?? settings.get('format') ?? 'gemm', '').toLowerCase()
  if (version !== 'gemm') throw checkpoint.unsupported(`The model is AWQ in the layout ${quoted(version)}`)
  const bits = settings.get('bits') ?? settings.get('w_bit') ?? 4
  if (bits !== 4) throw checkpoint.unsupported(`The model is AWQ of another number of bits than 4 (bits is ${kindOf(bits)})`)
  return checkpoint.endingIn('.qweight').map(({ stem, tensor }) => readModule(checkpoint, stem, tensor))
}

function readModule(checkpoint: Checkpoint, module: string, qweight: TensorInfo): LogicalTensor {
  const qzeros = checkpoint.take(`${module}.qzeros`, qweight)
  const scales = checkpoint.take(`${module}.scales`, qweight)
  const [cols, words] = matrixShape(qweight)
  const [groups] = matrixShape(scales)
  const rows = words * GEMM_SHIFTS.length
  requireDtype(qweight, 'I32')
  requireDtype(qzeros, 'I32')
  requireDtype(scales, 'F16', 'BF16', 'F32')
  requireShape(scales, [groups, rows], `${module} has ${rows} outputs`)
  requireShape(qzeros, [groups, words], 'eight zero points to a word')
  const integers = { bits: 4, shifts: GEMM_SHIFTS }
  const grid = { rows, cols: groups }
  const over = { blockRows: 1, blockCols: groupSize(checkpoint, cols, groups), matrixRows: rows }
  const codes = turnedFromRows(qweight, { rows, cols }, integers)
  const differences: RowProgram = { op: 'blockwise', by: 'minus', input: codes, grid: turnedFromRows(qzeros, grid, integers), ...over }
  return {
    name: `${module}.weight`,
    shape: [rows, cols],
    program: { op: 'blockwise', by: 'times', input: differences, grid: turnedGrid(scales, grid), ...over },
    parts: [qweight, qzeros, scales],
  }
}

/** Inputs of a group. @throws FormatError when their number is another than the scales say */
function groupSize({ settings, file }: Checkpoint, cols: number, groups: number): number {
  const stated = settings.get('group_size') ?? settings.get('q_group_size') ?? 128
  const size = typeof stated === 'number' && stated > 0 ? stated : cols
  if (Math.ceil(cols / size) !== groups) throw new FormatError(`group_size is ${size}, but ${cols} inputs have ${groups} groups of scales.`, { file })
  return size
}
