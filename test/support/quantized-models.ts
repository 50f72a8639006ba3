/**
 * Small models in every layout that quantized checkpoints have, with seeded codes, packed the straight way; and the values
 * that they stand for, by the formulas of those who made the layouts, without any code of src.
 */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { FIXTURES } from './paths.js'
import { f32Tensor, type PlainTensor } from './plain-tensors.js'
import { packed, Seeded, unpacked } from './straight-math.js'
import { seededTensor, writeSideFiles, writeWeights } from './tiny-models.js'

/** One linear layer as it is stored, by what its tensors' names end in, and its values (out x in). */
export interface StoredLinear {
  readonly tensors: Readonly<Record<string, PlainTensor>>
  readonly values: Float32Array
}

export interface QuantizedLayout {
  /** quantization_config */
  readonly settings: object
  /** Whether the reference converter dequantizes it. */
  readonly converts: boolean
  readonly linear: (random: Seeded, out: number, inputs: number) => StoredLinear
  /** Files beside config.json. */
  readonly files?: Readonly<Record<string, object>>
}

const f = Math.fround

/** A matrix of random integers below `limit`, row major. */
function codes(random: Seeded, rows: number, cols: number, limit: number): number[] {
  return Array.from({ length: rows * cols }, () => random.bits() % limit)
}

function u8(dtype: string, shape: readonly number[], values: ArrayLike<number>): PlainTensor {
  return { dtype, shape, bytes: Uint8Array.from(values) }
}

function i32(shape: readonly number[], values: ArrayLike<number>): PlainTensor {
  return { dtype: 'I32', shape, bytes: new Uint8Array(Int32Array.from(values).buffer) }
}

/** Positive scales of a float type, and what they hold after rounding. */
function scales(random: Seeded, dtype: 'F32' | 'F16' | 'BF16', shape: readonly number[]): { tensor: PlainTensor; values: Float64Array } {
  const count = shape.reduce((product, size) => product * size, 1)
  const bytes = packed(
    dtype,
    Float64Array.from({ length: count }, () => 0.001 + (random.bits() / 2 ** 32) * 0.02),
  )
  return { tensor: { dtype, shape, bytes }, values: unpacked(dtype, bytes) }
}

/** Codes of one row (or column) into 32-bit words, the first one lowest; the last word may not be full. */
function words(line: readonly number[], bits: number): number[] {
  const perWord = 32 / bits
  const packedLine: number[] = []
  for (let start = 0; start < line.length; start += perWord)
    packedLine.push(line.slice(start, start + perWord).reduce((word, code, i) => word | (code << (i * bits)), 0))
  return packedLine
}

function row<T>(matrix: ArrayLike<T>, index: number, cols: number): T[] {
  return Array.from({ length: cols }, (_, j) => matrix[index * cols + j]!)
}

function column<T>(matrix: ArrayLike<T>, index: number, cols: number): T[] {
  return Array.from({ length: matrix.length / cols }, (_, i) => matrix[i * cols + index]!)
}

function transposed(matrix: readonly number[], cols: number): number[] {
  return Array.from({ length: cols }, (_, j) => column(matrix, j, cols)).flat()
}

function matrix(rows: number, cols: number, value: (i: number, j: number) => number): Float32Array {
  return Float32Array.from({ length: rows * cols }, (_, at) => value(Math.floor(at / cols), at % cols))
}

/** e4m3 and e5m2 by their definition; codes that are no number are not asked for. */
export function fp8Value(code: number, mantissaBits: 2 | 3): number {
  const sign = code & 0x80 ? -1 : 1
  const bias = mantissaBits === 3 ? 7 : 15
  const exponent = (code & 0x7f) >> mantissaBits
  const mantissa = code & (2 ** mantissaBits - 1)
  return sign * (exponent === 0 ? mantissa * 2 ** (1 - bias - mantissaBits) : (1 + mantissa / 2 ** mantissaBits) * 2 ** (exponent - bias))
}

function fp8Codes(random: Seeded, count: number, mantissaBits: 2 | 3): number[] {
  const largest = mantissaBits === 3 ? 0x7e : 0x7b
  return Array.from({ length: count }, () => (random.bits() & 0x80) | (random.bits() % (largest + 1)))
}

const E2M1 = [0, 0.5, 1, 1.5, 2, 3, 4, 6, -0, -0.5, -1, -1.5, -2, -3, -4, -6]

/** FP8 with a scale for each block of rows and columns. @param suffix of the scale, after `weight` */
function fp8(suffix: string, block: readonly [number, number], dtype: 'F32' | 'BF16', mantissaBits: 2 | 3 = 3): QuantizedLayout['linear'] {
  return (random, out, inputs) => {
    const [rows, cols] = [Math.ceil(out / block[0]), Math.ceil(inputs / block[1])]
    const weight = fp8Codes(random, out * inputs, mantissaBits)
    const { tensor, values } = scales(random, dtype, [rows, cols])
    const at = (i: number, j: number): number => Math.floor(i / block[0]) * cols + Math.floor(j / block[1])
    return {
      tensors: { weight: u8(mantissaBits === 3 ? 'F8_E4M3' : 'F8_E5M2', [out, inputs], weight), [`weight${suffix}`]: tensor },
      values: matrix(out, inputs, (i, j) => f(fp8Value(weight[i * inputs + j]!, mantissaBits) * values[at(i, j)]!)),
    }
  }
}

/** A scale for the tensor or each row, of any shape. */
function fp8Scaled(name: string, shape: (out: number) => readonly number[], extra: Readonly<Record<string, PlainTensor>> = {}): QuantizedLayout['linear'] {
  return (random, out, inputs) => {
    const weight = fp8Codes(random, out * inputs, 3)
    const { tensor, values } = scales(random, 'F32', shape(out))
    return {
      tensors: { weight: u8('F8_E4M3', [out, inputs], weight), [name]: tensor, ...extra },
      values: matrix(out, inputs, (i, j) => f(fp8Value(weight[i * inputs + j]!, 3) * values[values.length === 1 ? 0 : i]!)),
    }
  }
}

interface Gptq {
  readonly bits: 2 | 4 | 8
  readonly group: number
  /** Groups whose inputs are no neighbours. */
  readonly shuffled?: boolean
  /** What stored zero points are less by. */
  readonly zeroOffset: 0 | 1
  readonly dtype?: 'F16' | 'BF16'
}

function gptq({ bits, group, shuffled = false, zeroOffset, dtype = 'F16' }: Gptq): QuantizedLayout['linear'] {
  return (random, out, inputs) => {
    const groups = Math.ceil(inputs / group)
    const order = Array.from({ length: inputs }, (_, i) => Math.floor(i / group))
    if (shuffled) order.sort(() => (random.bits() % 2) * 2 - 1)
    const q = codes(random, inputs, out, 2 ** bits)
    const z = codes(random, groups, out, 2 ** bits)
    const { tensor, values } = scales(random, dtype, [groups, out])
    const packedColumns = Array.from({ length: out }, (_, j) => words(column(q, j, out), bits))
    const perColumn = packedColumns[0]!.length
    return {
      tensors: {
        qweight: i32([perColumn, out], transposed(packedColumns.flat(), perColumn)),
        qzeros: i32([groups, words(row(z, 0, out), bits).length], Array.from({ length: groups }, (_, g) => words(row(z, g, out), bits)).flat()),
        scales: tensor,
        g_idx: i32([inputs], order),
      },
      values: matrix(out, inputs, (i, j) => f(values[order[j]! * out + i]! * (q[j * out + i]! - (z[order[j]! * out + i]! + zeroOffset)))),
    }
  }
}

const AWQ_ORDER = [0, 2, 4, 6, 1, 3, 5, 7]

function awq(group: number): QuantizedLayout['linear'] {
  return (random, out, inputs) => {
    const groups = inputs / group
    const [q, z] = [codes(random, inputs, out, 16), codes(random, groups, out, 16)]
    const { tensor, values } = scales(random, 'F16', [groups, out])
    const pack = (matrix: readonly number[], rows: number): PlainTensor =>
      i32(
        [rows, out / 8],
        Array.from({ length: (rows * out) / 8 }, (_, at) => AWQ_ORDER.reduce((word, from, i) => word | (matrix[at * 8 + from]! << (4 * i)), 0)),
      )
    return {
      tensors: { qweight: pack(q, inputs), qzeros: pack(z, groups), scales: tensor },
      values: matrix(out, inputs, (i, j) => {
        const g = Math.floor(j / group)
        return f((q[j * out + i]! - z[g * out + i]!) * values[g * out + i]!)
      }),
    }
  }
}

/** compressed-tensors: integers packed along the inputs. @param group undefined: a scale for each row */
function packedIntegers(bits: 4 | 8, group: number | undefined, asymmetric: boolean): QuantizedLayout['linear'] {
  return (random, out, inputs) => {
    const size = group ?? inputs
    const groups = Math.ceil(inputs / size)
    const q = codes(random, out, inputs, 2 ** bits)
    const z = codes(random, out, groups, 2 ** bits)
    const { tensor, values } = scales(random, 'BF16', [out, groups])
    const rows = Array.from({ length: out }, (_, i) => words(row(q, i, inputs), bits))
    const zeroColumns = Array.from({ length: groups }, (_, g) => words(column(z, g, groups), bits))
    const perColumn = zeroColumns[0]!.length
    return {
      tensors: {
        weight_packed: i32([out, rows[0]!.length], rows.flat()),
        weight_scale: tensor,
        weight_shape: { dtype: 'I64', shape: [2], bytes: new Uint8Array(BigInt64Array.from([BigInt(out), BigInt(inputs)]).buffer) },
        ...(asymmetric ? { weight_zero_point: i32([perColumn, groups], transposed(zeroColumns.flat(), perColumn)) } : {}),
      },
      values: matrix(out, inputs, (i, j) => {
        const g = i * groups + Math.floor(j / size)
        return f((q[i * inputs + j]! - (asymmetric ? z[g]! : 2 ** (bits - 1))) * values[g]!)
      }),
    }
  }
}

function int8(random: Seeded, out: number, inputs: number): StoredLinear {
  const q = codes(random, out, inputs, 256)
  const { tensor, values } = scales(random, 'BF16', [out, 1])
  return {
    tensors: { weight: u8('I8', [out, inputs], q), weight_scale: tensor },
    values: matrix(out, inputs, (i, j) => f(((q[i * inputs + j]! << 24) >> 24) * values[i]!)),
  }
}

function bitnet(random: Seeded, out: number, inputs: number, divides = true): StoredLinear {
  const q = codes(random, out, inputs, 3)
  const quarter = out / 4
  const { tensor, values } = scales(random, 'BF16', [1])
  const bytes = Array.from({ length: quarter * inputs }, (_, at) => [0, 1, 2, 3].reduce((byte, k) => byte | (q[k * quarter * inputs + at]! << (2 * k)), 0))
  return {
    tensors: { weight: u8('U8', [quarter, inputs], bytes), weight_scale: tensor },
    values: matrix(out, inputs, (i, j) => f(divides ? (q[i * inputs + j]! - 1) / values[0]! : (q[i * inputs + j]! - 1) * values[0]!)),
  }
}

/** Two codes to a byte, the first one in its low half. */
function nibbles(q: readonly number[]): number[] {
  return Array.from({ length: q.length / 2 }, (_, at) => q[2 * at]! | (q[2 * at + 1]! << 4))
}

/** NVFP4. @param divides compressed-tensors stores the inverse of the tensor's scale */
function nvfp4(weightName: string, scaleName: string, divides: boolean): QuantizedLayout['linear'] {
  return (random, out, inputs) => {
    const q = codes(random, out, inputs, 16)
    const scaleCodes = Array.from({ length: (out * inputs) / 16 }, () => 0x28 + (random.bits() % 32))
    const all = f(divides ? 700.5 : 0.0031)
    return {
      tensors: {
        [weightName]: u8('U8', [out, inputs / 2], nibbles(q)),
        weight_scale: u8('F8_E4M3', [out, inputs / 16], scaleCodes),
        [scaleName]: f32Tensor([divides ? 1 : 1], [all]),
        input_scale: f32Tensor([1], [0.25]),
      },
      values: matrix(out, inputs, (i, j) => {
        const scale = fp8Value(scaleCodes[Math.floor((i * inputs + j) / 16)]!, 3)
        return f(E2M1[q[i * inputs + j]!]! * f(divides ? scale / all : scale * all))
      }),
    }
  }
}

function mxfp4(random: Seeded, out: number, inputs: number): StoredLinear {
  const q = codes(random, out, inputs, 16)
  const exponents = Array.from({ length: (out * inputs) / 32 }, () => 112 + (random.bits() % 12))
  return {
    tensors: { weight_packed: u8('U8', [out, inputs / 2], nibbles(q)), weight_scale: u8('U8', [out, inputs / 32], exponents) },
    values: matrix(out, inputs, (i, j) => f(E2M1[q[i * inputs + j]!]! * 2 ** (exponents[Math.floor((i * inputs + j) / 32)]! - 127))),
  }
}

const NF4 = [
  ...[-1, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635, -0.18477343022823334, -0.09105003625154495, 0],
  ...[0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224, 0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1],
]
const FP4 = [0, 0.0625, 8, 12, 4, 6, 2, 3].map((value) => f(value / 12))

/** bitsandbytes, 64 numbers to a block, the first one of a byte in its high half. @param nested the scales are quantized too */
function bnb4(kind: 'nf4' | 'fp4', nested: boolean): QuantizedLayout['linear'] {
  return (random, out, inputs) => {
    const count = out * inputs
    const q = codes(random, out, inputs, 16)
    const value = (code: number): number => (kind === 'nf4' ? NF4[code]! : code === 8 ? 0 : (code < 8 ? 1 : -1) * FP4[code % 8]!)
    const blocks = count / 64
    const state = { quant_type: kind, blocksize: 64, dtype: 'bfloat16', shape: [out, inputs] }
    const plain = scales(random, 'F32', [blocks])
    const absmaxCodes = codes(random, blocks, 1, 256)
    const book = Float32Array.from({ length: 256 }, (_, i) => f((i - 127) / 130))
    const outer = scales(random, 'F32', [Math.ceil(blocks / 256)])
    const offset = 0.0123
    const absmax = (block: number): number =>
      nested ? f(f(book[absmaxCodes[block]!]! * outer.values[Math.floor(block / 256)]!) + f(offset)) : plain.values[block]!
    const json = nested ? { ...state, nested_blocksize: 256, nested_dtype: 'float32', nested_offset: offset } : state
    const text = new TextEncoder().encode(JSON.stringify(json))
    return {
      tensors: {
        weight: u8(
          'U8',
          [count / 2, 1],
          Array.from({ length: count / 2 }, (_, at) => (q[2 * at]! << 4) | q[2 * at + 1]!),
        ),
        'weight.absmax': nested ? u8('U8', [blocks], absmaxCodes) : plain.tensor,
        'weight.quant_map': f32Tensor(
          [16],
          Array.from({ length: 16 }, (_, code) => value(code)),
        ),
        ...(nested ? { 'weight.nested_absmax': outer.tensor, 'weight.nested_quant_map': f32Tensor([256], book) } : {}),
        [`weight.quant_state.bitsandbytes__${kind}`]: { dtype: 'U8', shape: [text.length], bytes: text },
      },
      values: matrix(out, inputs, (i, j) => f(value(q[i * inputs + j]!) * absmax(Math.floor((i * inputs + j) / 64)))),
    }
  }
}

function bnb8(random: Seeded, out: number, inputs: number): StoredLinear {
  const q = codes(random, out, inputs, 256)
  const { tensor, values } = scales(random, 'F32', [out])
  return {
    tensors: { weight: u8('I8', [out, inputs], q), SCB: tensor, weight_format: u8('U8', [], [0]) },
    values: matrix(out, inputs, (i, j) => f(f(((q[i * inputs + j]! << 24) >> 24) * values[i]!) * f(7.874015718698502e-3))),
  }
}

function compressed(format: string, weights: object): object {
  return { quant_method: 'compressed-tensors', format, config_groups: { group_0: { targets: ['Linear'], weights } }, ignore: ['lm_head'] }
}

const ACTIVATION = { activation_scale: f32Tensor([], [0.5]) }

/** All layouts, by name. */
export const QUANTIZED_LAYOUTS: Readonly<Record<string, QuantizedLayout>> = {
  'fp8-block': { settings: { quant_method: 'fp8', weight_block_size: [32, 32] }, converts: true, linear: fp8('_scale_inv', [32, 32], 'F32') },
  'fp8-ragged': { settings: { quant_method: 'fp8', weight_block_size: [48, 40] }, converts: true, linear: fp8('_scale_inv', [48, 40], 'BF16') },
  'fp8-e5m2': { settings: { quant_method: 'fp8', weight_block_size: [32, 32] }, converts: true, linear: fp8('_scale_inv', [32, 32], 'F32', 2) },
  'fp8-tensor': {
    settings: { quant_method: 'fp8', activation_scheme: 'static', weight_block_size: null },
    converts: true,
    linear: fp8Scaled('weight_scale_inv', () => [], ACTIVATION),
  },
  'fp8-mistral': { settings: { quant_method: 'fp8' }, converts: true, linear: fp8Scaled('qscale_weight', () => [], { qscale_act: f32Tensor([], [2]) }) },
  'fp8-auto': {
    settings: { quant_method: 'fp8', activation_scheme: 'static' },
    converts: true,
    linear: fp8Scaled('weight_scale', () => [], { input_scale: f32Tensor([], [0.5]) }),
  },
  fbgemm: { settings: { quant_method: 'fbgemm_fp8' }, converts: false, linear: fp8Scaled('weight_scale', (out) => [out, 1]) },
  'modelopt-fp8': {
    settings: { quant_method: 'modelopt', quant_algo: 'FP8' },
    converts: true,
    linear: fp8Scaled('weight_scale', (out) => [out], { input_scale: f32Tensor([], [0.3]) }),
  },
  'modelopt-nvfp4': {
    settings: { quant_method: 'modelopt', quant_algo: 'NVFP4' },
    converts: false,
    linear: nvfp4('weight', 'weight_scale_2', false),
  },
  'ct-fp8-channel': {
    settings: compressed('float-quantized', { num_bits: 8, type: 'float', strategy: 'channel' }),
    converts: true,
    linear: fp8Scaled('weight_scale', (out) => [out, 1]),
  },
  'ct-fp8-block': {
    settings: compressed('float-quantized', { num_bits: 8, type: 'float', strategy: 'block', block_structure: [32, 16] }),
    converts: true,
    linear: fp8('_scale', [32, 16], 'BF16'),
  },
  'ct-int8': { settings: compressed('int-quantized', { num_bits: 8, type: 'int', strategy: 'channel' }), converts: true, linear: int8 },
  'ct-naive': { settings: compressed('naive-quantized', { num_bits: 8, type: 'int', strategy: 'channel' }), converts: true, linear: int8 },
  'ct-pack4': {
    settings: compressed('pack-quantized', { num_bits: 4, type: 'int', strategy: 'group', group_size: 32 }),
    converts: true,
    linear: packedIntegers(4, 32, false),
  },
  'ct-pack4-zeros': {
    settings: compressed('pack-quantized', { num_bits: 4, type: 'int', strategy: 'group', group_size: 32, symmetric: false }),
    converts: true,
    linear: packedIntegers(4, 32, true),
  },
  'ct-pack8': {
    settings: compressed('pack-quantized', { num_bits: 8, type: 'int', strategy: 'group', group_size: 16 }),
    converts: true,
    linear: packedIntegers(8, 16, false),
  },
  'ct-pack4-channel': {
    settings: compressed('pack-quantized', { num_bits: 4, type: 'int', strategy: 'channel', group_size: null }),
    converts: true,
    linear: packedIntegers(4, undefined, false),
  },
  'ct-nvfp4': {
    settings: compressed('nvfp4-pack-quantized', { num_bits: 4, type: 'float', strategy: 'tensor_group', group_size: 16 }),
    converts: false,
    linear: nvfp4('weight_packed', 'weight_global_scale', true),
  },
  'ct-mxfp4': {
    settings: compressed('mxfp4-pack-quantized', { num_bits: 4, type: 'float', strategy: 'group', group_size: 32 }),
    converts: false,
    linear: mxfp4,
  },
  gptq4: { settings: { quant_method: 'gptq', bits: 4, group_size: 32, desc_act: false }, converts: true, linear: gptq({ bits: 4, group: 32, zeroOffset: 1 }) },
  'gptq4-act': {
    settings: { quant_method: 'gptq', bits: 4, group_size: 16, desc_act: true, checkpoint_format: 'gptq' },
    converts: true,
    linear: gptq({ bits: 4, group: 16, shuffled: true, zeroOffset: 1 }),
  },
  'gptq8-v2': {
    settings: { quant_method: 'gptq', bits: 8, group_size: 32, checkpoint_format: 'gptq_v2' },
    converts: true,
    linear: gptq({ bits: 8, group: 32, zeroOffset: 0 }),
  },
  gptq2: {
    settings: { quant_method: 'gptq', bits: 2, group_size: -1 },
    converts: true,
    linear: (random, out, inputs) => gptq({ bits: 2, group: inputs, zeroOffset: 1, dtype: 'BF16' })(random, out, inputs),
  },
  bitnet: { settings: { quant_method: 'bitnet' }, converts: true, linear: bitnet },
  'bitnet-auto': {
    settings: { quant_method: 'bitnet', linear_class: 'autobitlinear', quantization_mode: 'offline' },
    converts: true,
    linear: (random, out, inputs) => bitnet(random, out, inputs, false),
  },
  awq: { settings: { quant_method: 'awq', bits: 4, group_size: 32, zero_point: true, version: 'gemm' }, converts: false, linear: awq(32) },
  'bnb-nf4': { settings: { quant_method: 'bitsandbytes', load_in_4bit: true }, converts: false, linear: bnb4('nf4', false) },
  'bnb-nf4-nested': { settings: { quant_method: 'bitsandbytes', load_in_4bit: true }, converts: false, linear: bnb4('nf4', true) },
  'bnb-fp4': { settings: { quant_method: 'bitsandbytes', load_in_4bit: true }, converts: false, linear: bnb4('fp4', false) },
  'bnb-int8': { settings: { quant_method: 'bitsandbytes', load_in_8bit: true }, converts: false, linear: bnb8 },
}

const VOCABULARY = 645 // of tiny-story, whose tokenizer it borrows
const HIDDEN = 64
const FEED_FORWARD = 96
const LINEARS: Readonly<Record<string, readonly [out: number, inputs: number]>> = {
  'self_attn.q_proj': [HIDDEN, HIDDEN],
  'self_attn.k_proj': [32, HIDDEN],
  'self_attn.v_proj': [32, HIDDEN],
  'self_attn.o_proj': [HIDDEN, HIDDEN],
  'mlp.gate_proj': [FEED_FORWARD, HIDDEN],
  'mlp.up_proj': [FEED_FORWARD, HIDDEN],
  'mlp.down_proj': [HIDDEN, FEED_FORWARD],
}
const CONFIG = {
  ...{ architectures: ['LlamaForCausalLM'], model_type: 'llama', bos_token_id: 0, eos_token_id: 2, dtype: 'bfloat16' },
  ...{ hidden_size: HIDDEN, intermediate_size: FEED_FORWARD, num_hidden_layers: 1, num_attention_heads: 4, num_key_value_heads: 2, head_dim: 16 },
  ...{ max_position_embeddings: 128, rms_norm_eps: 1e-5, rope_theta: 10000, tie_word_embeddings: false, vocab_size: VOCABULARY },
}

export interface QuantizedModelFiles {
  readonly folder: string
  /** Names of the quantized weights -> their values. */
  readonly values: ReadonlyMap<string, { readonly shape: readonly number[]; readonly values: Float32Array }>
  /** Module paths -> [out, in]. */
  readonly modules: Readonly<Record<string, [number, number]>>
}

/** Writes a llama of one layer in a layout. @param change  edits the tensors before they are written */
export function writeQuantizedModel(
  parent: string,
  name: string,
  change: (tensors: Record<string, PlainTensor>) => void = () => {},
  layout = QUANTIZED_LAYOUTS[name],
): QuantizedModelFiles {
  if (layout === undefined) throw new RangeError(name)
  const random = new Seeded(20_261_122)
  const tensors: Record<string, PlainTensor> = {
    'lm_head.weight': seededTensor(1, 'BF16', [VOCABULARY, HIDDEN]),
    'model.embed_tokens.weight': seededTensor(2, 'BF16', [VOCABULARY, HIDDEN]),
    'model.norm.weight': seededTensor(3, 'BF16', [HIDDEN]),
    'model.layers.0.input_layernorm.weight': seededTensor(4, 'BF16', [HIDDEN]),
    'model.layers.0.post_attention_layernorm.weight': seededTensor(5, 'BF16', [HIDDEN]),
  }
  const values = new Map<string, { shape: readonly number[]; values: Float32Array }>()
  const modules: Record<string, [number, number]> = {}
  for (const [linear, [out, inputs]] of Object.entries(LINEARS)) {
    const module = `model.layers.0.${linear}`
    const made = layout.linear(random, out, inputs)
    for (const [suffix, tensor] of Object.entries(made.tensors)) tensors[`${module}.${suffix}`] = tensor
    values.set(`${module}.weight`, { shape: [out, inputs], values: made.values })
    modules[module] = [out, inputs]
  }
  change(tensors)
  const folder = writeWeights(join(parent, name), { 'model.safetensors': tensors })
  const story = join(FIXTURES, 'tiny-story')
  writeSideFiles(folder, {
    'config.json': { ...CONFIG, quantization_config: layout.settings },
    'tokenizer.json': readFileSync(join(story, 'tokenizer.json')),
    'tokenizer_config.json': readFileSync(join(story, 'tokenizer_config.json')),
    ...layout.files,
  })
  return { folder, values, modules }
}
