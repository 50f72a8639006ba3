/**
 * What every adapter format hands over, before a base is known: modules by their names in the adapter, each with its
 * factors and its scale. resolve.ts finds the base tensors.
 */
import type { Folder } from '../core/bytes.js'
import type { TensorInfo } from '../core/tensor-info.js'

/** A folder whose host can also name its subfolders, so that messages can point into a training output. */
export interface AdapterFolder extends Folder {
  /** Names of direct subfolders, when the host knows them. */
  readonly folders?: readonly string[]
}

/** A low-rank update of one module: `W += scale * (B · A)`. */
export interface LoraModule {
  readonly variant: 'lora'
  /** Path of the module in the model that was trained, without the format's own prefix. */
  readonly name: string
  /** (rank x in) */
  readonly A: TensorInfo
  /** (out x rank) */
  readonly B: TensorInfo
  readonly rank: number
  readonly alpha: number
  /** What B·A is multiplied with; f64, finite also as f32. */
  readonly scale: number
}

/** One changed module; later variants are further members. */
export type AdapterModule = LoraModule

/** Plain JSON data, for `inspect --json` and receipts. */
export type Fact = null | boolean | number | string | readonly Fact[] | { readonly [name: string]: Fact }

/** An adapter whose own rules hold: pairs complete, ranks as configured, no tensor left over. */
export interface AdapterFile {
  /** As the user named it. */
  readonly label: string
  /** For people: `PEFT LoRA`. */
  readonly kind: string
  /** At least one; in the order of the weights file. */
  readonly modules: readonly AdapterModule[]
  /** Whether the adapter says that the base stores its matrices transposed (in x out). */
  readonly fanInFanOut: boolean
  /** Names of the files that decide its identity: weights, then config. */
  readonly files: readonly string[]
  /** What a reader of the adapter wants to know; a fresh object, the caller's. */
  readonly facts: { readonly [name: string]: Fact }
  /** Things a user should know, one sentence each. */
  readonly notes: readonly string[]
}
