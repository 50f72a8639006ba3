/**
 * A quantized model as planners want it: plain tensors under the model's own names, each with the program that gives its
 * values.
 */
import { elementBytes, isPlainFloat, type PlainFloat } from '../core/dtypes.js'
import type { Model, Shard } from '../core/model.js'
import { elementCount } from '../core/shape.js'
import type { TensorInfo } from '../core/tensor-info.js'
import { compareNames } from '../formats/safetensors/name-order.js'
import type { LogicalTensor } from './checkpoint.js'
import type { QuantizedModel } from './open.js'
import { CONFIG_FIELDS, QUANTIZATION_FILES } from './quantization-config.js'

export interface PlainModelOptions {
  /** Where tensors stand whose names the files do not have: behind all others, as the reference converter has them, or where the merged files will have them. */
  readonly order: 'reference' | 'files'
  /** Whether blocks of a type that GGUF has go into it as they are. */
  readonly keepsBlocks: boolean
}

/** Dtypes by the names that config.json has for them. */
const BY_NAME: ReadonlyMap<unknown, PlainFloat> = new Map<unknown, PlainFloat>([
  ['bfloat16', 'BF16'],
  ['float16', 'F16'],
  ['float32', 'F32'],
  ['torch.bfloat16', 'BF16'],
  ['torch.float16', 'F16'],
  ['torch.float32', 'F32'],
])

/** The model with its quantized tensors as plain ones. Their type is the one that the model computes in. */
export function plainModel(model: Model, quantized: QuantizedModel, { order, keepsBlocks }: PlainModelOptions): Model {
  const dtype = computeType(model)
  const logical = new Map([...quantized.tensors.values()].map((tensor) => [tensor.name, plainInfo(tensor, dtype)]))
  const shards = model.shards.map((shard) => plainShard(shard, quantized))
  const byShard = shards.flatMap(({ tensorNames }) => tensorNames)
  const inPlace = [...model.tensors.keys()].filter((name) => quantized.tensors.has(name) || !quantized.consumed.has(name))
  const names = order === 'files' ? byShard : [...new Set([...inPlace, ...logical.keys()])]
  return {
    ...model,
    tensors: new Map(names.flatMap((name) => [logical.get(name) ?? model.tensors.get(name) ?? []].flat().map((tensor) => [name, tensor] as const))),
    shards,
    dequantized: {
      title: quantized.title,
      programs: new Map([...quantized.tensors.values()].map(({ name, program }) => [name, program])),
      stored: model.tensors,
      keepsBlocks: keepsBlocks && quantized.keepsBlocks,
      configFields: CONFIG_FIELDS,
      files: QUANTIZATION_FILES,
    },
  }
}

/** What a tensor is; its bytes are nowhere, so that nothing can read codes for numbers. */
function plainInfo({ name, shape, parts: [first] }: LogicalTensor, dtype: PlainFloat): TensorInfo {
  const source = { kind: 'memory', name: first?.source.name ?? '', bytes: new Uint8Array(0), byteLength: 0 } as const
  return { name, dtype, shape, source, offset: 0, byteLength: elementCount(shape) * elementBytes(dtype) }
}

function plainShard(shard: Shard, { tensors, consumed }: QuantizedModel): Shard {
  const standsFor = new Map([...tensors.values()].map(({ name, parts: [first] }) => [first?.name, name]))
  const names = shard.tensorNames.flatMap((name) => standsFor.get(name) ?? (consumed.has(name) ? [] : [name]))
  return { ...shard, tensorNames: shard.fileName.endsWith('.safetensors') ? names.sort(compareNames) : names }
}

/** What config.json says, else the type of the first matrix that is stored plain, else bf16, which holds every f32's range. */
function computeType({ config, tensors }: Model): PlainFloat {
  const text = config?.get('text_config')
  for (const place of [config, text instanceof Map ? text : undefined]) {
    const stated = BY_NAME.get(place?.get('dtype') ?? place?.get('torch_dtype'))
    if (stated !== undefined) return stated
  }
  const matrix = [...tensors.values()].find(({ shape, dtype }) => shape.length >= 2 && isPlainFloat(dtype))
  return matrix !== undefined && isPlainFloat(matrix.dtype) ? matrix.dtype : 'BF16'
}
