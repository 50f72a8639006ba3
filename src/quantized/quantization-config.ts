/**
 * Where checkpoints say how they are quantized: config.json (of the whole model, or of its text part), ModelOpt's own file,
 * or nowhere but in the names of their tensors.
 */
import { FormatError, quoted, UnsupportedError } from '../core/errors.js'
import { isObject, textOr, type JsonObject } from '../core/json.js'
import type { TensorInfo } from '../core/tensor-info.js'
import { KNOWN_ONLY, METHODS, NEEDS_CONFIG, type Method } from './methods.js'

/** ModelOpt's file beside config.json. */
export const MODELOPT_FILE = 'hf_quant_config.json'

/** Fields of config.json that speak of quantization; a merged model that is not quantized any more must not have them. */
export const CONFIG_FIELDS = ['quantization_config', 'compression_config'] as const

/** Files that do. */
export const QUANTIZATION_FILES: readonly string[] = [MODELOPT_FILE, 'quantize_config.json', 'quant_config.json']

const PARTS = ['text_config', 'llm_config', 'language_config']

/** What is known of a checkpoint's quantization before its tensors are looked at. */
export interface StatedQuantization {
  readonly method: Method
  readonly settings: JsonObject
  /** What messages call the place of `settings`. */
  readonly file: string
}

/**
 * @param config    config.json
 * @param modelopt  hf_quant_config.json
 * @returns undefined for models that are not quantized
 * @throws UnsupportedError for methods that are not read, FormatError where names of tensors show one that needs a config
 */
export function statedQuantization(
  config: JsonObject,
  modelopt: JsonObject | undefined,
  tensors: ReadonlyMap<string, TensorInfo>,
  label: string,
): StatedQuantization | undefined {
  const settings = fromConfig(config)
  const own = modelopt?.get('quantization')
  const producer = modelopt?.get('producer')
  const name = settings === undefined ? '' : methodName(settings)
  const made = isObject(producer) ? textOr(producer.get('name'), '').toLowerCase() : ''
  if (name === '' && made === '') return byKeys(tensors, label)
  const method = METHODS.get(name || made)
  const file = name === '' ? MODELOPT_FILE : 'config.json'
  if (method === undefined) throw notRead(name || made, file)
  return { method, settings: settings ?? (isObject(own) ? own : new Map()), file }
}

function fromConfig(config: JsonObject): JsonObject | undefined {
  const places = [config, ...PARTS.map((part) => config.get(part)).filter(isObject)]
  return places.flatMap((place) => CONFIG_FIELDS.map((field) => place.get(field))).find(isObject)
}

/** `quant_method`, or what older files say in its place. */
function methodName(settings: JsonObject): string {
  const stated = textOr(settings.get('quant_method'), '').toLowerCase()
  if (stated !== '') return stated
  if (settings.get('load_in_4bit') === true || settings.get('load_in_8bit') === true) return 'bitsandbytes'
  return settings.has('config_groups') ? 'compressed-tensors' : ''
}

/** Undefined where no name of a tensor shows any quantization. */
function byKeys(tensors: ReadonlyMap<string, TensorInfo>, label: string): StatedQuantization | undefined {
  const names = [...tensors.keys()]
  for (const method of METHODS.values()) {
    const { keys } = method
    if (keys !== undefined && names.some((name) => keys.test(name))) return { method, settings: new Map(), file: label }
  }
  const strange = names.find((name) => NEEDS_CONFIG.test(name))
  if (strange === undefined) return undefined
  throw new FormatError(
    `the tensor ${quoted(strange)} is of a quantized model, but no quantization_config says how to read it. Use the 16-bit model, or the folder with its config.json.`,
    {
      file: label,
    },
  )
}

function notRead(name: string, file: string): UnsupportedError {
  const title = KNOWN_ONLY.get(name)
  return new UnsupportedError(
    `the model is quantized by ${title ?? quoted(name)}, which is not read. Use the 16-bit model that it was made from, or save it dequantized with transformers (model.dequantize()).`,
    { file },
  )
}
