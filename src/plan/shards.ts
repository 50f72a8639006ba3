/** Cuts a model into files of at most a given size. */
import { compareNames } from '../formats/safetensors/name-order.js'
import type { OutputNames } from './weight-names.js'

/** A file of weights to be written. */
export interface PlannedShard {
  readonly fileName: string
  readonly tensorNames: readonly string[]
  readonly metadata: ReadonlyMap<string, string>
}

/**
 * Fills files in the given order; a tensor larger than `maxBytes` gets one for itself.
 * @param maxBytes  bytes of tensor data in one file
 * @param sizeOf    bytes of a tensor
 */
export function cutShards(all: Omit<PlannedShard, 'fileName'>, maxBytes: number, sizeOf: (name: string) => number, names: OutputNames): PlannedShard[] {
  const groups: string[][] = [[]]
  let filled = 0
  for (const name of all.tensorNames) {
    const size = sizeOf(name)
    if (filled > 0 && filled + size > maxBytes) {
      groups.push([])
      filled = 0
    }
    groups.at(-1)?.push(name)
    filled += size
  }
  return groups.map((tensorNames, i) => ({
    fileName: groups.length === 1 ? names.whole : names.shard(i + 1, groups.length),
    tensorNames: [...tensorNames].sort(compareNames),
    metadata: all.metadata,
  }))
}
