/**
 * What an adapter does to one tensor of the base, as plain data. Formats (src/adapters) make deltas and know no
 * arithmetic; variants (src/merge) turn them into row programs and know no files.
 */
import type { TensorInfo } from './tensor-info.js'

/** One low-rank update `W += scale * (B · A)`. */
export interface LoraDelta {
  readonly variant: 'lora'
  /** Name of the base tensor it changes, as the base spells it. */
  readonly target: string
  /** Name of the module in the adapter, for receipts and messages. */
  readonly module: string
  /** (rank x in) */
  readonly A: TensorInfo
  /** (out x rank) */
  readonly B: TensorInfo
  readonly rank: number
  /** lora_alpha / rank, or lora_alpha / sqrt(rank); without the user's weight. f64. */
  readonly scale: number
}

export type Delta = LoraDelta

/** An opened adapter: every tensor of its files is in one of the deltas. */
export interface Adapter {
  /** As the user named it. */
  readonly label: string
  /** What kind of adapter, for people: `PEFT LoRA`. */
  readonly kind: string
  readonly deltas: readonly Delta[]
  /** Names of files whose bytes decide the adapter's identity (weights, then config). */
  readonly files: readonly string[]
  /** Things a user should know, one sentence each. */
  readonly notes: readonly string[]
}
