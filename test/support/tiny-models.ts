/** Small bases and PEFT adapters on disk, with seeded weights. */
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { writeSafetensors, type PlainTensor } from './plain-tensors.js'
import { packed, Seeded } from './straight-math.js'

export type Float = 'F32' | 'F16' | 'BF16'

/** A tensor of seeded weights. */
export function seededTensor(seed: number, dtype: Float, shape: readonly number[], factor = 1): PlainTensor {
  const count = shape.reduce((product, size) => product * size, 1)
  return { dtype, shape, bytes: packed(dtype, new Seeded(seed * 7919 + 13).weights(count, factor)) }
}

/** Writes side files: text as it is, anything else as JSON. @returns the folder */
export function writeSideFiles(folder: string, files: Readonly<Record<string, string | Uint8Array | object>>): string {
  mkdirSync(folder, { recursive: true })
  for (const [name, content] of Object.entries(files)) {
    const path = join(folder, name)
    mkdirSync(join(path, '..'), { recursive: true })
    writeFileSync(path, typeof content === 'string' || content instanceof Uint8Array ? content : JSON.stringify(content, undefined, 2))
  }
  return folder
}

/** Writes the weights of a model: one `model.safetensors`, or the named shards and their index. @returns the folder */
export function writeWeights(folder: string, shards: Readonly<Record<string, Readonly<Record<string, PlainTensor>>>>): string {
  mkdirSync(folder, { recursive: true })
  for (const [name, tensors] of Object.entries(shards)) writeSafetensors(join(folder, name), tensors)
  const entries = Object.entries(shards).flatMap(([file, tensors]) =>
    Object.entries(tensors).map(([name, { bytes }]) => ({ file, name, bytes: bytes.byteLength })),
  )
  if (Object.keys(shards).length > 1) {
    const index = {
      metadata: { total_size: entries.reduce((sum, { bytes }) => sum + bytes, 0) },
      weight_map: Object.fromEntries(entries.map(({ name, file }) => [name, file])),
    }
    writeSideFiles(folder, { 'model.safetensors.index.json': index })
  }
  return folder
}

export interface AdapterMake {
  /** Module path -> [out, in] of its weight. */
  readonly modules: Readonly<Record<string, readonly [number, number]>>
  readonly rank?: number
  readonly alpha?: number
  readonly seed?: number
  readonly dtype?: Float
  /** Size of the factors' values. */
  readonly factor?: number
  readonly taskType?: string
  /** More fields of adapter_config.json. */
  readonly config?: object
}

/** Writes a PEFT LoRA adapter. @returns the folder */
export function writeAdapter(folder: string, make: AdapterMake): string {
  const { modules, rank = 4, alpha = 8, seed = 1, dtype = 'F32', factor = 0.1, taskType = 'CAUSAL_LM', config = {} } = make
  const tensors: Record<string, PlainTensor> = {}
  Object.entries(modules).forEach(([module, [rows, cols]], i) => {
    tensors[`base_model.model.${module}.lora_A.weight`] = seededTensor(seed * 1000 + 2 * i, dtype, [rank, cols], factor)
    tensors[`base_model.model.${module}.lora_B.weight`] = seededTensor(seed * 1000 + 2 * i + 1, dtype, [rows, rank], factor)
  })
  const names = [...new Set(Object.keys(modules).map((module) => module.slice(module.lastIndexOf('.') + 1)))]
  writeSideFiles(folder, { 'adapter_config.json': { peft_type: 'LORA', task_type: taskType, r: rank, lora_alpha: alpha, target_modules: names, ...config } })
  writeSafetensors(join(folder, 'adapter_model.safetensors'), tensors)
  return folder
}

/** The modules of a model's matrices whose names match. */
export function modulesOf(tensors: ReadonlyMap<string, PlainTensor>, pattern: RegExp): Record<string, [number, number]> {
  const modules: Record<string, [number, number]> = {}
  for (const [name, { shape }] of tensors) {
    const [rows, cols] = shape
    if (pattern.test(name) && name.endsWith('.weight') && shape.length === 2 && rows !== undefined && cols !== undefined)
      modules[name.slice(0, -'.weight'.length)] = [rows, cols]
  }
  return modules
}
