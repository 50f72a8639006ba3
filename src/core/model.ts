/** A base model as it lies on disk, opened: headers, config, side files. No weights are held. */
import type { ByteDescriptor, Folder } from './bytes.js'
import type { JsonObject } from './json.js'
import type { KeyValue } from './key-value.js'
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

/** What a base that is a GGUF says of itself. */
export interface GgufFacts {
  /** In file order; of a split file, those of its first part. */
  readonly keyValues: readonly KeyValue[]
  readonly alignment: number
  /** Its files: one, or the parts of a split. Everything before `dataStart` is header. */
  readonly parts: readonly { readonly source: ByteDescriptor; readonly dataStart: number }[]
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
  /** Set when the base is a GGUF; its tensors have GGUF names then. */
  readonly gguf?: GgufFacts
}
