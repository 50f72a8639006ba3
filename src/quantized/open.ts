/**
 * A quantized checkpoint -> the tensors of its model, each with the program that gives its values. Headers and small tensors
 * are read, no weights.
 */
import { FormatError, nameList } from '../core/errors.js'
import type { JsonObject } from '../core/json.js'
import type { Model } from '../core/model.js'
import { placeOfTensor, type TensorInfo } from '../core/tensor-info.js'
import { Checkpoint, OF_ACTIVATIONS, type LogicalTensor, type ReadSmall } from './checkpoint.js'
import { isFp8, type Method } from './methods.js'
import { statedQuantization } from './quantization-config.js'

/** A model that is stored quantized. */
export interface QuantizedModel {
  /** How, for people: `GPTQ`. */
  readonly title: string
  /** The quantized tensors by the names that the model has for them. */
  readonly tensors: ReadonlyMap<string, LogicalTensor>
  /** Stored tensors that are part of them, or of use only beside them. */
  readonly consumed: ReadonlySet<string>
  /** Whether all of them are FP8. */
  readonly isFp8: boolean
  /** Whether the reference converter reads it too. */
  readonly converts: boolean
  /** Whether their blocks go into a GGUF as they are. */
  readonly keepsBlocks: boolean
}

/**
 * @param modelopt  hf_quant_config.json, where there is one
 * @returns undefined for a model that is not stored quantized
 * @throws UnsupportedError for methods and layouts that are not read; FormatError for scales that are missing or do not fit
 */
export async function openQuantized(model: Model, modelopt: JsonObject | undefined, readSmall: ReadSmall): Promise<QuantizedModel | undefined> {
  if (model.gguf !== undefined) return undefined
  const config = model.config ?? new Map()
  const stated = statedQuantization(config, modelopt, model.tensors, model.label)
  if (stated === undefined) return undefined
  const checkpoint = new Checkpoint(model.tensors, readSmall, stated.settings, stated.file, config)
  const logical = await stated.method.read(checkpoint)
  if (logical.length === 0 && checkpoint.rest().every(isPlain)) return undefined
  for (const { name } of checkpoint.rest()) if (OF_ACTIVATIONS.test(name)) checkpoint.find(name)
  requireAllRead(checkpoint.rest(), stated.method)
  const tensors = new Map(logical.map((tensor) => [tensor.name, tensor]))
  const twice = logical.filter(({ name, parts }) => tensors.get(name)?.parts !== parts || (model.tensors.has(name) && !checkpoint.usedNames().has(name)))
  if (twice.length > 0) throw new FormatError(`holds ${nameList(twice.map(({ name }) => name))} twice, quantized and not.`, { file: model.label })
  return {
    title: stated.method.title,
    tensors,
    consumed: checkpoint.usedNames(),
    isFp8: logical.every(isFp8),
    converts: stated.method.converts(checkpoint, logical),
    keepsBlocks: stated.method.keepsBlocks ?? false,
  }
}

/** Names that only belong to quantized weights. */
const BELONGS =
  /(?:\.(?:qweight|qzeros|scales|g_idx|weight_packed|weight_shape|weight_scale|weight_scale_2|weight_global_scale|weight_zero_point|weight_g_idx|SCB|absmax|quant_map|nested_absmax|nested_quant_map)|_scale_inv|_blocks|_scales|\.quant_state\.\w+)$/

function isPlain({ dtype, name }: TensorInfo): boolean {
  return !dtype.startsWith('F8_') && !BELONGS.test(name) && !(name.endsWith('weight') && /^[IU](?:8|16|32)$/.test(dtype))
}

/** What is left is stored as it is. @throws FormatError for codes without scales, and scales without codes */
function requireAllRead(rest: readonly TensorInfo[], { title }: Method): void {
  const [strange, ...more] = rest.filter((tensor) => !isPlain(tensor))
  if (strange === undefined) return
  const what = BELONGS.test(strange.name) ? 'belongs to a quantized weight that is not there' : `is ${strange.dtype} without the scales that give it its values`
  const others = more.length === 0 ? '' : ` So do ${more.length} more.`
  throw new FormatError(`${what} (the model is ${title}).${others} Is the download complete?`, placeOfTensor(strange))
}
