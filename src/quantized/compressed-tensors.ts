/**
 * compressed-tensors (llm-compressor, vLLM): one number to a byte with scales beside it, or integers packed along the
 * inputs.
 *
 *   weight_packed (out, in / n)   weight_scale (out, groups)   weight_zero_point (out / n, groups)   weight_shape (2)
 *
 * Law: conversion/base.py `dequant_model`, method compressed-tensors (llama.cpp 0c1e570), which reads one group of settings,
 * channels and blocks of bytes, groups of packed integers; for the rest compressed_tensors 0.20 compressors/.
 */
import { FormatError, quoted } from '../core/errors.js'
import { isObject, kindOf, textOr, type Json, type JsonObject } from '../core/json.js'
import type { RowProgram } from '../core/row-program.js'
import { shapeText } from '../core/shape.js'
import { numberReader } from '../core/stored-numbers.js'
import { placeOfTensor, type TensorInfo } from '../core/tensor-info.js'
import { requireDtype, requireShape, type Checkpoint, type LogicalTensor } from './checkpoint.js'
import { readBlock } from './fp8.js'
import { readMicroBlocks } from './micro-blocks.js'
import { codesPerWord, packedInColumns, packedInRows } from './packing.js'
import { overBlocks, scaledTensor } from './scaled.js'

type ReadFormat = (checkpoint: Checkpoint, weights: JsonObject) => LogicalTensor[] | Promise<LogicalTensor[]>

/** What reads each format. */
const FORMATS: ReadonlyMap<string, ReadFormat> = new Map<string, ReadFormat>([
  ['float-quantized', readBytes],
  ['int-quantized', readBytes],
  ['naive-quantized', readBytes],
  ['mxfp8-quantized', readBytes],
  ['pack-quantized', readPacked],
  ['nvfp4-pack-quantized', (checkpoint) => readMicroBlocks(checkpoint)],
  ['mxfp4-pack-quantized', (checkpoint) => readMicroBlocks(checkpoint)],
])

/** Formats that the reference converter dequantizes. */
export const CONVERTED_FORMATS: ReadonlySet<string> = new Set(['float-quantized', 'int-quantized', 'naive-quantized', 'pack-quantized'])

/** quant_method compressed-tensors. */
export async function readCompressedTensors(checkpoint: Checkpoint): Promise<LogicalTensor[]> {
  const format = formatOf(checkpoint)
  const read = FORMATS.get(format)
  if (read === undefined) throw checkpoint.unsupported(`The model is compressed-tensors in the format ${quoted(format)}`)
  refuseTransforms(checkpoint)
  return read(checkpoint, weightSettings(checkpoint, format))
}

/** The format of all groups. */
export function formatOf({ settings }: Checkpoint): string {
  const format = textOr(settings.get('format'), '')
  const own = new Set(groupsOf(settings).map((group) => textOr(group.get('format'), format)))
  const [only = format, ...others] = own
  return format === 'mixed-precision' && others.length === 0 ? only : format
}

function groupsOf(settings: JsonObject): JsonObject[] {
  const groups = settings.get('config_groups')
  return isObject(groups) ? [...groups.values()].filter(isObject) : []
}

/** What reading depends on. */
const DECIDING = ['num_bits', 'type', 'strategy', 'group_size', 'symmetric'] as const

/** What the groups say of weights: all the same. @throws UnsupportedError when groups differ in what reading depends on */
function weightSettings(checkpoint: Checkpoint, format: string): JsonObject {
  const weights = groupsOf(checkpoint.settings).flatMap((group) => {
    const own = group.get('weights')
    return isObject(own) ? [own] : []
  })
  const [first] = weights
  if (first === undefined) throw new FormatError('config_groups of the quantization says nothing of weights.', { file: checkpoint.file })
  if (weights.some((one) => DECIDING.some((key) => one.get(key) !== first.get(key))))
    throw checkpoint.unsupported(`The model is compressed-tensors (${format}) with several kinds of weights`)
  return first
}

/** Weights that are stored rotated, or sparse, would be read as something that they are not. */
function refuseTransforms(checkpoint: Checkpoint): void {
  const transforms = checkpoint.settings.get('transform_config')
  const rotations = isObject(transforms) ? transforms.get('config_groups') : undefined
  if (isObject(rotations) && rotations.size > 0) throw checkpoint.unsupported('The model is compressed-tensors with rotated weights (transform_config)')
  const sparsity = checkpoint.settings.get('sparsity_config')
  const layout = isObject(sparsity) ? textOr(sparsity.get('format'), 'dense') : 'dense'
  if (layout !== 'dense') throw checkpoint.unsupported(`The model is compressed-tensors with sparse weights (${layout})`)
}

function readBytes(checkpoint: Checkpoint, weights: JsonObject): LogicalTensor[] {
  const block = blockOf(checkpoint, weights)
  return checkpoint.endingIn('.weight_scale').map(({ stem: module, tensor: scale }) => {
    const weight = checkpoint.take(`${module}.weight`, scale)
    const perGroup = weights.get('group_size')
    const own = typeof perGroup === 'number' && perGroup > 0 ? ([1, perGroup] as const) : block
    return scaledTensor(weight, scale, own, checkpoint.find(`${module}.weight_zero_point`))
  })
}

function blockOf({ file }: Checkpoint, weights: JsonObject): readonly [number, number] | undefined {
  const structure = weights.get('block_structure') ?? undefined
  if (structure === undefined) return undefined
  const [, rows, cols] = (typeof structure === 'string' && /^(\d{1,6})x(\d{1,6})$/.exec(structure)) || []
  return readBlock(rows === undefined ? structure : [Number(rows), Number(cols)], 'block_structure', file)
}

const BITS: ReadonlySet<unknown> = new Set([1, 2, 4, 8])

async function readPacked(checkpoint: Checkpoint, weights: JsonObject): Promise<LogicalTensor[]> {
  const bits = weights.get('num_bits')
  // others have been packed in two ways, which the files do not tell apart
  if (typeof bits !== 'number' || !BITS.has(bits))
    throw checkpoint.unsupported(`The model is compressed-tensors with integers of another number of bits than 1, 2, 4 or 8 (num_bits is ${kindOf(bits)})`)
  if (textOr(weights.get('type'), 'int') !== 'int') throw checkpoint.unsupported('The model is compressed-tensors with packed numbers that are no integers')
  const found = checkpoint
    .endingIn('.weight_packed')
    .map(({ stem, tensor }) => ({ module: stem, packed: tensor, shape: checkpoint.take(`${stem}.weight_shape`, tensor) }))
  const shapes = await shapesOf(
    checkpoint,
    found.map(({ shape }) => shape),
  )
  return found.map((one, i) => readModule(checkpoint, one, shapes[i] ?? [], bits, weights.get('group_size')))
}

/** The numbers in small tensors of integers. */
async function shapesOf({ readSmall }: Checkpoint, tensors: readonly TensorInfo[]): Promise<number[][]> {
  for (const tensor of tensors) {
    requireDtype(tensor, 'I64', 'I32')
    requireShape(tensor, [2], 'it holds the shape of a matrix')
  }
  const bytes = await readSmall(tensors)
  return tensors.map((tensor) => Array.from(numberReader(tensor.dtype)?.(bytes.get(tensor) ?? new Uint8Array(16)) ?? []))
}

/** The stored tensors that each module has. */
interface Packed {
  readonly module: string
  readonly packed: TensorInfo
  /** Holds the shape of the weight. */
  readonly shape: TensorInfo
}

function readModule(
  checkpoint: Checkpoint,
  { module, packed, shape }: Packed,
  [rows = 0, cols = 0]: readonly number[],
  bits: number,
  groupSize: Json | undefined,
): LogicalTensor {
  const scale = checkpoint.take(`${module}.weight_scale`, packed)
  const zeros = checkpoint.find(`${module}.weight_zero_point`)
  const groups = checkpoint.find(`${module}.weight_g_idx`)
  requireDtype(packed, 'I32')
  const perWord = codesPerWord(packed, bits)
  if (rows <= 0 || cols <= 0) throw new FormatError(`says that the weight is ${shapeText([rows, cols])}.`, placeOfTensor(shape))
  requireShape(packed, [rows, Math.ceil(cols / perWord)], `weight_shape is ${shapeText([rows, cols])}, in ${bits} bits`)
  const size = typeof groupSize === 'number' && groupSize > 0 ? groupSize : cols
  const weight = { ...packed, name: `${module}.weight`, shape: [rows, cols] }
  const codes = packedInRows(packed, { rows, cols }, { bits, ...(zeros === undefined ? { add: -(2 ** (bits - 1)) } : {}) })
  const centered = zeros === undefined ? codes : minusZeros(codes, zeros, { rows, cols }, size, bits)
  const scaled = overBlocks('times', centered, weight, scale, groupSize === undefined || groupSize === null || size === cols ? undefined : [1, size])
  return {
    name: weight.name,
    shape: [rows, cols],
    program: groups === undefined ? scaled : byIndex(scaled, groups, cols),
    parts: [packed, scale, shape, ...(zeros === undefined ? [] : [zeros]), ...(groups === undefined ? [] : [groups])],
  }
}

/** Zero points are packed along the outputs. */
function minusZeros(input: RowProgram, zeros: TensorInfo, { rows, cols }: { rows: number; cols: number }, size: number, bits: number): RowProgram {
  requireDtype(zeros, 'I32')
  const groups = Math.ceil(cols / size)
  requireShape(zeros, [Math.ceil(rows / codesPerWord(zeros, bits)), groups], `${groups} zero points for each of ${rows} outputs`)
  const grid = packedInColumns(zeros, { rows, cols: groups }, { bits })
  return { op: 'blockwise', by: 'minus', input, grid, blockRows: 1, blockCols: size, matrixRows: rows }
}

/** Groups by activation order: an index says which group each input is of. */
function byIndex(program: RowProgram, groups: TensorInfo, cols: number): RowProgram {
  requireDtype(groups, 'I32')
  requireShape(groups, [cols], 'one group for each input')
  const indexed = (one: RowProgram): RowProgram => (one.op === 'blockwise' ? { ...one, input: indexed(one.input), groups } : one)
  return indexed(program)
}
