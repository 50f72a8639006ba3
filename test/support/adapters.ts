/** Small adapters and bases in memory, and the arithmetic of a merge in plain JavaScript, for tests of src/adapters. */
import type { Folder } from '../../src/core/bytes.js'
import { elementBytes, type Dtype } from '../../src/core/dtypes.js'
import { widenF16 } from '../../src/core/float16.js'
import { elementCount } from '../../src/core/shape.js'
import type { TensorInfo } from '../../src/core/tensor-info.js'
import type { LoraDelta } from '../../src/core/delta.js'
import { openDescriptor } from '../../src/sources/files.js'
import { memoryFolder } from './memory-folder.js'

/** Key -> shape, all F32, or shape and dtype. */
export type Tensors = Record<string, readonly number[] | { readonly shape: readonly number[]; readonly dtype: Dtype }>

/** adapter_config.json of a plain LoRA; `undefined` takes a key out. */
export function loraConfig(changes: Record<string, unknown> = {}): string {
  return JSON.stringify({
    peft_type: 'LORA',
    task_type: 'CAUSAL_LM',
    base_model_name_or_path: 'x/y',
    r: 2,
    lora_alpha: 4,
    target_modules: ['q_proj'],
    bias: 'none',
    ...changes,
  })
}

/** Both factors of a module by PEFT's keys. */
export function factors(module: string, inputs: number, out: number, rank = 2): Tensors {
  return { [`base_model.model.${module}.lora_A.weight`]: [rank, inputs], [`base_model.model.${module}.lora_B.weight`]: [out, rank] }
}

export function adapterFolder(tensors: Tensors, config: string | Record<string, unknown> = {}): Folder {
  return memoryFolder(
    { 'adapter_config.json': typeof config === 'string' ? config : loraConfig(config), 'adapter_model.safetensors': safetensors(tensors) },
    'adapter',
  )
}

/** A file of zeros. */
export function safetensors(tensors: Tensors): Uint8Array {
  let offset = 0
  const header = Object.fromEntries(
    Object.entries(tensors).map(([name, value]) => {
      const { shape, dtype } = 'shape' in value ? value : { shape: value, dtype: 'F32' as const }
      const start = offset
      offset += elementCount(shape) * elementBytes(dtype)
      return [name, { dtype, shape, data_offsets: [start, offset] }]
    }),
  )
  const json = new TextEncoder().encode(JSON.stringify(header))
  const bytes = new Uint8Array(8 + json.length + offset)
  new DataView(bytes.buffer).setBigUint64(0, BigInt(json.length), true)
  bytes.set(json, 8)
  return bytes
}

/** Tensors of a base, without data. */
export function baseOf(shapes: Record<string, readonly number[]>, dtype: Dtype = 'F32'): Map<string, TensorInfo> {
  const source = { kind: 'memory', name: 'base.safetensors', bytes: new Uint8Array(0), byteLength: 0 } as const
  return new Map(
    Object.entries(shapes).map(([name, shape]) => [name, { name, dtype, shape, source, offset: 0, byteLength: elementCount(shape) * elementBytes(dtype) }]),
  )
}

/** The numbers of a stored tensor, widened. */
export async function valuesOf(tensor: TensorInfo): Promise<Float64Array> {
  const bytes = new Uint8Array(tensor.byteLength)
  await openDescriptor(tensor.source).read(bytes, tensor.offset)
  const view = new DataView(bytes.buffer)
  const count = elementCount(tensor.shape)
  const scratch = new DataView(new ArrayBuffer(4))
  return Float64Array.from({ length: count }, (_, i) => {
    if (tensor.dtype === 'F32') return view.getFloat32(i * 4, true)
    const half = view.getUint16(i * 2, true)
    scratch.setUint32(0, tensor.dtype === 'F16' ? widenF16(half) : half << 16)
    return scratch.getFloat32(0)
  })
}

/** W + Σ weight · scale · B·A in f64: the definition, without any of our own merging code. */
export async function mergedValues(weight: TensorInfo, deltas: readonly { readonly delta: LoraDelta; readonly weight: number }[]): Promise<Float64Array> {
  const W = await valuesOf(weight)
  const columns = weight.shape[1] ?? 1
  for (const { delta, weight: share } of deltas) {
    const [A, B] = [await valuesOf(delta.A.tensor), await valuesOf(delta.B.tensor)]
    for (let i = 0; i < W.length; i++) {
      let sum = 0
      const [row, column] = [Math.floor(i / columns), i % columns]
      for (let k = 0; k < delta.rank; k++) sum += (B[row * delta.rank + k] ?? 0) * (A[k * columns + column] ?? 0)
      W[i] = (W[i] ?? 0) + share * delta.scale * sum
    }
  }
  return W
}

/** The largest difference beyond 1e-6 + 2^-22 · |expected|, the golden data's own tolerance; 0 or less is good. */
export function excess(ours: Float64Array, expected: Float64Array): number {
  let worst = ours.length === expected.length ? -Infinity : Infinity
  ours.forEach((value, i) => {
    const wanted = expected[i] ?? Number.NaN
    const over = Math.abs(value - wanted) - (1e-6 + 2 ** -22 * Math.abs(wanted))
    worst = Math.max(worst, Number.isNaN(over) ? Infinity : over)
  })
  return worst
}
