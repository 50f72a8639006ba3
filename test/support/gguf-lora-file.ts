/** LoRAs in GGUF, written straight from PEFT's factors: names, order of rows and orientation as convert_lora_to_gguf.py has them. */
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { quantBytes, type QuantType } from '../../src/core/quant-types.js'
import type { KeyValue } from '../../src/core/key-value.js'
import { encodeGgufHeader } from '../../src/formats/gguf/header-writer.js'
import { PLAIN_ARITHMETIC } from '../../src/engine/arithmetic.js'
import { readSafetensors, valuesOf, type PlainTensor } from './plain-tensors.js'

const NAMES: readonly (readonly [RegExp, string])[] = [
  [/^model\.layers\.(\d+)\.self_attn\.q_proj$/, 'blk.$1.attn_q'],
  [/^model\.layers\.(\d+)\.self_attn\.k_proj$/, 'blk.$1.attn_k'],
  [/^model\.layers\.(\d+)\.self_attn\.v_proj$/, 'blk.$1.attn_v'],
  [/^model\.layers\.(\d+)\.self_attn\.o_proj$/, 'blk.$1.attn_output'],
  [/^model\.layers\.(\d+)\.mlp\.gate_proj$/, 'blk.$1.ffn_gate'],
  [/^model\.layers\.(\d+)\.mlp\.up_proj$/, 'blk.$1.ffn_up'],
  [/^model\.layers\.(\d+)\.mlp\.down_proj$/, 'blk.$1.ffn_down'],
  [/^lm_head$/, 'output'],
]

export interface GgufLoraTensor {
  readonly name: string
  readonly shape: readonly number[]
  readonly values: ArrayLike<number>
  readonly type?: QuantType
}

export interface GgufLoraMake {
  readonly architecture?: string
  readonly alpha?: number | undefined
  readonly more?: readonly KeyValue[]
  readonly kind?: string
}

/** @returns the path */
export function writeGgufLora(path: string, tensors: readonly GgufLoraTensor[], make: GgufLoraMake = {}): string {
  const { architecture = 'llama', alpha, more = [], kind = 'adapter' } = make
  const infos = tensors.map(({ name, shape, type = 'f32' }) => ({ name, type, shape, byteLength: quantBytes(type, shape.reduce((a, b) => a * b, 1)) })) // prettier-ignore
  const keyValues: KeyValue[] = [
    { key: 'general.architecture', value: { type: 'string', value: architecture } },
    { key: 'general.type', value: { type: 'string', value: kind } },
    { key: 'adapter.type', value: { type: 'string', value: 'lora' } },
    ...(alpha === undefined ? [] : [{ key: 'adapter.lora.alpha', value: { type: 'f32', value: alpha } } as const]),
  ]
  const replaced = keyValues.filter(({ key }) => !more.some((one) => one.key === key))
  const header = encodeGgufHeader({ keyValues: [...replaced, ...more], tensors: infos })
  const file = new Uint8Array(header.fileSize)
  file.set(header.bytes)
  tensors.forEach(({ shape, values, type = 'f32' }, i) => {
    const bytes = new Uint8Array(infos[i]?.byteLength ?? 0)
    PLAIN_ARITHMETIC.encode(type as 'f32', Float32Array.from(values), bytes, shape.at(-1) ?? 1)
    file.set(bytes, header.offsets[i])
  })
  writeFileSync(path, file)
  return path
}

/** The LoRA of a PEFT folder as GGUF. @param heads  of queries and keys, for the order of their rows */
export function ggufLoraOf(folder: string, path: string, alpha: number, heads: Readonly<{ q: number; k: number }>, type: QuantType = 'f32'): string {
  const tensors = [...readSafetensors(join(folder, 'adapter_model.safetensors'))].flatMap(([key, tensor]): GgufLoraTensor[] => {
    const [, module = '', factor = ''] = /^base_model\.model\.(.+)\.lora_([AB])\.weight$/.exec(key) ?? []
    const [pattern, name = ''] = NAMES.find(([one]) => one.test(module)) ?? []
    if (pattern === undefined) return embeddingFactor(key, tensor)
    const target = module.replace(pattern, name)
    const count = factor === 'B' ? (target.endsWith('attn_q') ? heads.q : target.endsWith('attn_k') ? heads.k : 0) : 0
    const values = count === 0 ? valuesOf(tensor) : permuted(valuesOf(tensor), tensor.shape, count)
    const fits = (tensor.shape.at(-1) ?? 0) % 32 === 0
    return [{ name: `${target}.weight.lora_${factor.toLowerCase()}`, shape: tensor.shape, values, type: fits ? type : 'f32' }]
  })
  return writeGgufLora(path, tensors, { alpha })
}

function embeddingFactor(key: string, tensor: PlainTensor): GgufLoraTensor[] {
  const [rows = 0, cols = 0] = tensor.shape
  const values = valuesOf(tensor)
  if (key.endsWith('embed_tokens.lora_embedding_B')) return [{ name: 'token_embd.weight.lora_b', shape: tensor.shape, values }]
  if (!key.endsWith('embed_tokens.lora_embedding_A')) throw new Error(`no name for ${key}`)
  const turned = Float64Array.from({ length: values.length }, (_, i) => values[(i % rows) * cols + Math.floor(i / rows)] ?? 0)
  return [{ name: 'token_embd.weight.lora_a', shape: [cols, rows], values: turned }]
}

/** (heads, 2, half) -> (heads, half, 2), as the converter reorders rows of queries and keys. */
function permuted(values: Float64Array, [rows = 0, cols = 0]: readonly number[], heads: number): Float64Array {
  const half = rows / heads / 2
  return Float64Array.from({ length: values.length }, (_, i) => {
    const [row, col] = [Math.floor(i / cols), i % cols]
    const [head, rest] = [Math.floor(row / (2 * half)), row % (2 * half)]
    return values[(head * 2 * half + (rest % 2) * half + Math.floor(rest / 2)) * cols + col] ?? 0
  })
}
