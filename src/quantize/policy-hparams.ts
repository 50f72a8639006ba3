/**
 * The few facts of a model that llama-quantize's choices depend on, read from GGUF metadata.
 *
 * Law: llama-model.cpp `llama_model_base::load_hparams` and the `load_arch_hparams` that change these facts;
 * llama-hparams.cpp `n_gqa` (llama.cpp 0c1e570).
 */
import { FormatError, quoted } from '../core/errors.js'
import type { KeyValue, MetadataValue } from '../core/key-value.js'

export interface QuantizeHparams {
  /** All layers, prediction heads too. */
  readonly layers: number
  /** How many of `layers` predict tokens ahead (`nextn_predict_layers`). */
  readonly predictionLayers: number
  /** Heads of Q in the first layer; 0 without attention. */
  readonly heads: number
  /** Heads of K and V in the first layer. */
  readonly kvHeads: number
  /** Experts of a layer; 0 for dense models. */
  readonly experts: number
}

/** Projectors of images and sound: llama-quantize reads nothing of them. */
const WITHOUT_HPARAMS = 'clip'

/**
 * @param keyValues  metadata of the source, with the user's --override-kv already in it
 * @param file       whose metadata it is, for messages
 * @throws FormatError when the number of layers is missing, or a fact is no whole number
 */
export function quantizeHparams(keyValues: readonly KeyValue[], architecture: string, file?: string): QuantizeHparams {
  if (architecture === WITHOUT_HPARAMS) return { layers: 0, predictionLayers: 0, heads: 0, kvHeads: 0, experts: 0 }
  const place = file === undefined ? {} : { file }
  const values = new Map(keyValues.map(({ key, value }) => [key, value]))
  const fact = (name: string): number | undefined => wholeNumber(`${architecture}.${name}`, values.get(`${architecture}.${name}`), place)
  const blocks = fact('block_count')
  if (blocks === undefined || blocks === 0)
    throw new FormatError(`the metadata has no ${quoted(`${architecture}.block_count`)}, which tells the number of layers.`, place)
  const heads = fact('attention.head_count') ?? 0
  return {
    ...expandedLayers(architecture, blocks, fact('nextn_predict_layers') ?? 0, fact('num_loops') ?? 1),
    heads,
    kvHeads: fact('attention.head_count_kv') ?? heads,
    experts: fact('expert_count') ?? 0,
  }
}

/** Two architectures run more layers than the file counts: the same ones again, or one that routes adapters. */
function expandedLayers(architecture: string, blocks: number, predictionLayers: number, loops: number): Pick<QuantizeHparams, 'layers' | 'predictionLayers'> {
  const layers = blocks - predictionLayers
  if (architecture === 'nanbeige' && loops > 1) return { layers: layers * loops, predictionLayers }
  if (architecture === 'graniteswitch') return { layers: layers + 1, predictionLayers: 1 }
  return { layers: blocks, predictionLayers }
}

/** A whole number, or the first of a list with one for each layer. */
function wholeNumber(key: string, value: MetadataValue | undefined, place: { file?: string }): number | undefined {
  if (value === undefined) return undefined
  const first = value.type === 'array' ? value.value[0] : value.value
  const number = typeof first === 'bigint' ? Number(first) : first
  if (typeof number === 'number' && Number.isSafeInteger(number) && number >= 0) return number
  throw new FormatError(`the metadata ${quoted(key)} is ${typeof number === 'string' ? quoted(number) : String(number)}; a whole number is wanted.`, place)
}
