/**
 * Floats of four bits in short blocks: MXFP4 (32 numbers and a power of two) and NVFP4 (16 numbers, a scale in e4m3, and a
 * scale for the tensor).
 *
 *   X_blocks (experts, out, in / 32, 16)    X_scales (experts, out, in / 32)      gpt-oss, MXFP4; X itself is (experts, in, out)
 *   weight or weight_packed (out, in / 2)   weight_scale (out, in / 16 or 32)     others; of a byte, the first number is in the low half
 *
 * Law: OCP Microscaling Formats 1.0; transformers 5.23 mxfp4.py `convert_moe_packed_tensors`; conversion/base.py
 * `_generate_nvfp4_tensors` (llama.cpp 0c1e570) for the meaning of NVFP4's scales; compressed_tensors 0.20 compressors/nvfp4.
 */
import { FormatError } from '../core/errors.js'
import { rowRange, transpose } from '../core/row-maps.js'
import type { RowProgram } from '../core/row-program.js'
import { rowShape, shapeText, type RowShape } from '../core/shape.js'
import { placeOfTensor, type TensorInfo } from '../core/tensor-info.js'
import { matrixShape, requireDtype, requireShape, type Checkpoint, type LogicalTensor } from './checkpoint.js'
import { nibbles, stored } from './packing.js'
import { overAll } from './scaled.js'

const MX_BLOCK = 32
const NV_BLOCK = 16

/** quant_method mxfp4: experts as gpt-oss stores them. */
export function readMxfp4(checkpoint: Checkpoint): LogicalTensor[] {
  return checkpoint.endingIn('_blocks').map(({ stem: name, tensor: blocks }) => {
    const scales = checkpoint.take(`${name}_scales`, blocks)
    const [experts = 0, out = 0, perRow = 0, bytes] = blocks.shape
    requireDtype(blocks, 'U8')
    requireDtype(scales, 'U8', 'F8_E8M0')
    if (blocks.shape.length !== 4 || bytes !== MX_BLOCK / 2)
      throw new FormatError(`has shape ${shapeText(blocks.shape)}; (experts, out, in / ${MX_BLOCK}, ${MX_BLOCK / 2}) is wanted.`, placeOfTensor(blocks))
    requireShape(scales, [experts, out, perRow], 'one scale for each block')
    const inputs = perRow * MX_BLOCK
    const rows = mxfp4Rows(blocks, scales, { rows: experts * out, cols: inputs })
    const parts = Array.from({ length: experts }, (_, expert) => transpose(rowRange(rows, expert * out, out)))
    return { name, shape: [experts, inputs, out], program: { op: 'stack', parts }, parts: [blocks, scales] }
  })
}

function mxfp4Rows(blocks: TensorInfo, scales: TensorInfo, { rows, cols }: RowShape): RowProgram {
  const grid = stored(scales, { rows, cols: cols / MX_BLOCK }, 'e8m0')
  return { op: 'blockwise', by: 'times', input: nibbles(blocks, { rows, cols }, 'e2m1', 'low'), grid, blockRows: 1, blockCols: MX_BLOCK, matrixRows: rows }
}

/** Matrices of compressed-tensors. */
export function readMicroBlocks(checkpoint: Checkpoint): LogicalTensor[] {
  return checkpoint.endingIn('.weight_packed').map(({ stem, tensor }) => readMatrix(checkpoint, stem, tensor))
}

/** One matrix, MXFP4 or NVFP4 by the type of its scales. @param codes  the tensor that holds its codes */
export function readMatrix(checkpoint: Checkpoint, module: string, codes: TensorInfo): LogicalTensor {
  const scales = checkpoint.take(`${module}.weight_scale`, codes)
  requireDtype(codes, 'U8')
  requireDtype(scales, 'U8', 'F8_E8M0', 'F8_E4M3')
  const [rows, bytes] = matrixShape(codes)
  const cols = bytes * 2
  const name = `${module}.weight`
  const block = scales.dtype === 'F8_E4M3' ? NV_BLOCK : MX_BLOCK
  requireShape(scales, [rows, Math.ceil(cols / block)], `${cols} inputs in blocks of ${block}`)
  if (block === MX_BLOCK) return { name, shape: [rows, cols], program: mxfp4Rows(codes, scales, { rows, cols }), parts: [codes, scales] }
  const { grid, parts } = nvfp4Scales(checkpoint, module, codes, scales)
  const input = nibbles(codes, { rows, cols }, 'e2m1', 'low')
  const program: RowProgram = { op: 'blockwise', by: 'times', input, grid, blockRows: 1, blockCols: NV_BLOCK, matrixRows: rows }
  return { name, shape: [rows, cols], program, parts: [codes, ...parts] }
}

/** ModelOpt's scale of the tensor multiplies, that of compressed-tensors divides. */
function nvfp4Scales(checkpoint: Checkpoint, module: string, codes: TensorInfo, scales: TensorInfo): { grid: RowProgram; parts: TensorInfo[] } {
  const shape = rowShape(scales.shape)
  const divisor = checkpoint.find(`${module}.weight_global_scale`)
  const all = divisor ?? checkpoint.take(`${module}.weight_scale_2`, codes)
  return { grid: overAll(divisor === undefined ? 'times' : 'over', stored(scales, shape), shape, all), parts: [scales, all] }
}
