/** An adapter that is bound to a base, as plain data: what it changes, and what it says of itself. */
import type { Delta } from './delta.js'

/** What PEFT's add_weighted_adapter looks at. */
export interface LoraFacts {
  /** The largest of its modules'. */
  readonly rank: number
  readonly rankStabilized: boolean
}

/** An opened adapter: every tensor of its files is in one of the deltas. */
export interface Adapter {
  /** As the user named it. */
  readonly label: string
  /** What kind of adapter, for people: `PEFT LoRA`. */
  readonly kind: string
  readonly deltas: readonly Delta[]
  /** Tensors that deltas change and that the base lacks, because it shares them: name -> the base's tensor. */
  readonly untied?: ReadonlyMap<string, string>
  /** Small tensors that were read while planning, with the sha256 of their bytes. */
  readonly read?: readonly { readonly tensor: string; readonly sha256: string }[]
  /** Its modules have GGUF names: a GGUF takes it without knowing others. */
  readonly hasGgufNames?: boolean
  /** Options of the user that its format makes use of, by name. */
  readonly takes?: readonly string[]
  /** PEFT's LoRA. */
  readonly lora?: LoraFacts
  /** Names of files whose bytes decide the adapter's identity (weights, then config). */
  readonly files: readonly string[]
  /** Things a user should know, one sentence each. */
  readonly notes: readonly string[]
  /** Things a user should worry about, one sentence each. */
  readonly warnings?: readonly string[]
}
