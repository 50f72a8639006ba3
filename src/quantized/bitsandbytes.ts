/**
 * bitsandbytes: four bits (nf4, fp4) in blocks along all elements, the scales of which may be quantized themselves; and
 * eight bits with a scale for each row.
 *
 *   weight (n / 2, 1)   weight.absmax (n / 64)   weight.quant_state.bitsandbytes__nf4: JSON with shape and block size
 *     and for quantized scales   weight.nested_absmax   weight.nested_quant_map (256), and an offset in the JSON
 *   weight (out, in) of I8   SCB (out)   weight_format
 *
 * Law: bitsandbytes 0.50 functional.py `dequantize_4bit`, `int8_vectorwise_dequant`. There rounded to the model's 16-bit type;
 * here f32.
 */
import { FormatError, UnsupportedError } from '../core/errors.js'
import { isArray, isObject, kindOf, parseJsonObject, type Json, type JsonObject } from '../core/json.js'
import { inRows, type RowProgram } from '../core/row-program.js'
import { elementCount, rowShape, shapeText } from '../core/shape.js'
import { placeOfTensor, type TensorInfo } from '../core/tensor-info.js'
import { requireDtype, requireShape, type Checkpoint, type LogicalTensor } from './checkpoint.js'
import { lookedUp, nibbles, stored } from './packing.js'
import { overBlocks } from './scaled.js'

const STATE = /^(.+)\.quant_state\.bitsandbytes__(nf4|fp4)$/
const BOOK_CODES = 256
const CONV1D_MODELS: ReadonlySet<Json | undefined> = new Set(['gpt2', 'openai-gpt', 'ctrl'])

/** quant_method bitsandbytes. */
export async function readBitsAndBytes(checkpoint: Checkpoint): Promise<LogicalTensor[]> {
  const tensors = [...(await readFourBits(checkpoint)), ...(await readEightBits(checkpoint))]
  if (tensors.length > 0 && CONV1D_MODELS.has(checkpoint.config.get('model_type')))
    throw checkpoint.unsupported('The model is bitsandbytes of one that stores its matrices transposed (GPT-2)')
  return tensors
}

async function readFourBits(checkpoint: Checkpoint): Promise<LogicalTensor[]> {
  const states = ['nf4', 'fp4'].flatMap((kind) => checkpoint.endingIn(`.quant_state.bitsandbytes__${kind}`).map(({ tensor }) => tensor))
  const bytes = await checkpoint.readSmall(states)
  return states.map((state) => {
    const [, name = '', kind] = STATE.exec(state.name) ?? []
    const json = readState(state, bytes.get(state) ?? new Uint8Array(0))
    return readNibbles(checkpoint, name, kind === 'fp4' ? 'fp4' : 'nf4', state, json)
  })
}

function readState(state: TensorInfo, bytes: Uint8Array): JsonObject {
  try {
    return parseJsonObject(bytes, state.source.name)
  } catch {
    throw new FormatError('does not describe its weight in JSON, as bitsandbytes does: the file is damaged. Use the 16-bit model.', placeOfTensor(state))
  }
}

function readNibbles(checkpoint: Checkpoint, name: string, kind: 'nf4' | 'fp4', state: TensorInfo, json: JsonObject): LogicalTensor {
  const weight = checkpoint.take(name, state)
  const absmax = checkpoint.take(`${name}.absmax`, state)
  checkpoint.find(`${name}.quant_map`) // the table that the type names
  requireDtype(weight, 'U8', 'I8')
  const shape = shapeOf(json.get('shape'), state)
  const block = uint(json, 'blocksize', state)
  const count = elementCount(shape)
  if (count % 2 !== 0 || elementCount(weight.shape) !== count / 2)
    throw new FormatError(`has shape ${shapeText(weight.shape)}; the model's is ${shapeText(shape)}, two numbers to a byte.`, placeOfTensor(weight))
  const blocks = Math.ceil(count / block)
  requireShape(absmax, [blocks], `${count} numbers in blocks of ${block}`)
  if (count % block !== 0)
    throw new UnsupportedError(`has ${count} numbers, no whole blocks of ${block}. Use the 16-bit model that it was made from.`, placeOfTensor(weight))
  const { grid, parts } = json.has('nested_blocksize')
    ? nestedScales(checkpoint, name, absmax, json, state)
    : { grid: stored(absmax, { rows: blocks, cols: 1 }), parts: [] }
  const input = nibbles(weight, { rows: blocks, cols: block }, kind, 'high')
  const scaled: RowProgram = { op: 'blockwise', by: 'times', input, grid, blockRows: 1, blockCols: block, matrixRows: blocks }
  return { name, shape, program: inRows(scaled, rowShape(shape)), parts: [weight, absmax, state, ...parts] }
}

/** Scales of eight bits: looked up, times a scale of their own, plus the offset. */
function nestedScales(
  checkpoint: Checkpoint,
  name: string,
  absmax: TensorInfo,
  json: JsonObject,
  state: TensorInfo,
): { grid: RowProgram; parts: TensorInfo[] } {
  const nested = checkpoint.take(`${name}.nested_absmax`, absmax)
  const book = checkpoint.take(`${name}.nested_quant_map`, absmax)
  const blocks = elementCount(absmax.shape)
  const size = uint(json, 'nested_blocksize', state)
  const offset = json.get('nested_offset')
  if (typeof offset !== 'number') throw new FormatError(`nested_offset is ${kindOf(offset)}; a number is wanted.`, placeOfTensor(state))
  requireDtype(absmax, 'U8')
  requireDtype(nested, 'F32')
  requireDtype(book, 'F32')
  requireShape(book, [BOOK_CODES], 'a number for each byte')
  requireShape(nested, [Math.ceil(blocks / size)], `${blocks} scales in blocks of ${size}`)
  const rows = elementCount(nested.shape)
  const input = lookedUp(absmax, { rows: blocks, cols: 1 }, book)
  const grid: RowProgram = { op: 'blockwise', by: 'times', input, grid: stored(nested, { rows, cols: 1 }), blockRows: size, blockCols: 1, matrixRows: blocks }
  const shift: RowProgram = { op: 'values', rows: 1, cols: 1, values: [-offset] }
  return { grid: { op: 'blockwise', by: 'minus', input: grid, grid: shift, blockRows: blocks, blockCols: 1, matrixRows: blocks }, parts: [nested, book] }
}

const ROW_MAJOR = 0

async function readEightBits(checkpoint: Checkpoint): Promise<LogicalTensor[]> {
  const modules = checkpoint.endingIn('.SCB')
  const formats = modules.flatMap(({ stem }) => checkpoint.find(`${stem}.weight_format`) ?? [])
  const bytes = await checkpoint.readSmall(formats)
  for (const format of formats)
    if (bytes.get(format)?.[0] !== ROW_MAJOR)
      throw new UnsupportedError('is stored for one kind of graphics card. Use the 16-bit model that it was made from.', placeOfTensor(format))
  return modules.map(({ stem: module, tensor: scale }) => {
    const weight = checkpoint.take(`${module}.weight`, scale)
    requireDtype(weight, 'I8')
    requireDtype(scale, 'F32', 'F16', 'BF16')
    const input = overBlocks('times', stored(weight, rowShape(weight.shape)), weight, scale, undefined)
    return { name: weight.name, shape: weight.shape, program: { op: 'scale', input, factor: Math.fround(1 / 127) }, parts: [weight, scale] }
  })
}

function shapeOf(value: Json | undefined, state: TensorInfo): number[] {
  const dimensions = isArray(value) ? value : []
  const shape = dimensions.filter((one): one is number => typeof one === 'number' && Number.isSafeInteger(one) && one > 0)
  if (shape.length === 0 || shape.length !== dimensions.length || !Number.isSafeInteger(elementCount(shape)))
    throw new FormatError(
      `says that the shape is ${isObject(value) ? 'an object' : JSON.stringify(dimensions.map(String))}; positive integers are wanted.`,
      placeOfTensor(state),
    )
  return shape
}

function uint(json: JsonObject, key: string, state: TensorInfo): number {
  const value = json.get(key)
  if (typeof value !== 'number' || !Number.isSafeInteger(value) || value <= 0)
    throw new FormatError(`${key} is ${kindOf(value)}; a positive integer is wanted.`, placeOfTensor(state))
  return value
}
