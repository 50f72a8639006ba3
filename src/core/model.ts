/** A base model as it lies on disk, opened: headers, config, side files. No weights are held. */
import type { ByteDescriptor, Folder } from './bytes.js'
import type { JsonObject } from './json.js'
import type { KeyValue } from './key-value.js'
import type { RowProgram } from './row-program.js'
import type { TensorInfo } from './tensor-info.js'

/** One file of weights. */
export interface Shard {
  /** Relative to the model's folder (or the file's own name). */
  readonly fileName: string
  /** Its tensors in the order in which the reference converter takes them: by name in code-point order; those of a pickle as they stand in it. */
  readonly tensorNames: readonly string[]
  /** safetensors `__metadata__`; empty for other formats. */
  readonly metadata: ReadonlyMap<string, string>
}

/** How a model's files of weights are called: `model.safetensors`, `diffusion_pytorch_model.fp16.safetensors`. */
export interface WeightNames {
  readonly stem: string
  /** A part of the name that diffusers' users ask for: `fp16`. */
  readonly variant: string | undefined
}

/** What a base that is a GGUF says of itself. */
export interface GgufFacts {
  /** In file order; of a split file, those of its first part. */
  readonly keyValues: readonly KeyValue[]
  readonly alignment: number
  /** Its files: one, or the parts of a split. Everything before `dataStart` is header. */
  readonly parts: readonly { readonly source: ByteDescriptor; readonly dataStart: number }[]
}

/** What a model that is stored quantized is, where its tensors are read as plain numbers. */
export interface DequantizedFacts {
  /** How it is stored, for people: `GPTQ`. */
  readonly title: string
  /** By name, the programs of quantized tensors. Their entries in `Model.tensors` say what they are; bytes of their own they have none. */
  readonly programs: ReadonlyMap<string, RowProgram>
  /** All tensors of the files, in their order, as they are stored. */
  readonly stored: ReadonlyMap<string, TensorInfo>
  /** Whether blocks of a type that GGUF has too go into it as they are. */
  readonly keepsBlocks: boolean
  /** Fields of config.json, at its root or in a part of it, and files beside it, that are true of the stored form only. */
  readonly configFields: readonly string[]
  readonly files: readonly string[]
}

export interface Model {
  /** As the user named it, for messages. */
  readonly label: string
  /** Last part of the absolute path: general.name and its kin are derived from it where nothing better is known. */
  readonly identity: string
  /** Undefined when the user named one weights file. */
  readonly folder: Folder | undefined
  /** config.json, when there is one. */
  readonly config: JsonObject | undefined
  /** By name; iteration order is shard by shard, then as in the shard. */
  readonly tensors: ReadonlyMap<string, TensorInfo>
  /** In file-name order. */
  readonly shards: readonly Shard[]
  /** Set when it is a checkpoint folder of LitGPT, whose tensors have names of its own. */
  readonly litgpt?: true
  /** Set when the base is a model of a diffusion pipeline. */
  readonly component?: {
    /** `unet`, `text_encoder_2`; undefined when neither folder nor config says it. */
    readonly name: string | undefined
    readonly weightNames: WeightNames
  }
  /** Set when the base is a GGUF; its tensors have GGUF names then. */
  readonly gguf?: GgufFacts
  /** Set when tensors are stored quantized, and read as plain numbers. */
  readonly dequantized?: DequantizedFacts
}
