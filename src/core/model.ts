/** A base model as it lies on disk, opened: headers, config, side files. No weights are held. */
import type { Folder } from './bytes.js'
import type { JsonObject } from './json.js'
import type { TensorInfo } from './tensor-info.js'

/** One file of weights. */
export interface Shard {
  /** Relative to the model's folder (or the file's own name). */
  readonly fileName: string
  /** Its tensors, sorted by name in code-point order: the order in which the reference converter takes them. */
  readonly tensorNames: readonly string[]
  /** safetensors `__metadata__`; empty for other formats. */
  readonly metadata: ReadonlyMap<string, string>
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
  /** By name; iteration order is shard by shard, then by name. */
  readonly tensors: ReadonlyMap<string, TensorInfo>
  /** In file-name order. */
  readonly shards: readonly Shard[]
}
