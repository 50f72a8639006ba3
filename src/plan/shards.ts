/** Cuts a model into files of at most a given size. */
import { compareNames } from '../formats/safetensors/name-order.js'

/** A file of weights to be written. */
export interface PlannedShard {
  readonly fileName: string
  readonly tensorNames: readonly string[]
  readonly metadata: ReadonlyMap<string, string>
}

/**
 * Fills files in the given order; a tensor larger than `maxBytes` gets one for itself. Names are those of transformers:
 * `model.safetensors`, or `model-00001-of-00003.safetensors` and so on.
 * @param maxBytes  bytes of tensor data in one file
 * @param sizeOf    bytes of a tensor
 */
export function cutShards(all: Omit<PlannedShard, 'fileName'>, maxBytes: number, sizeOf: (name: string) => number): PlannedShard[] {
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
  const number = (n: number): string => String(n).padStart(5, '0')
  return groups.map((tensorNames, i) => ({
    fileName: groups.length === 1 ? 'model.safetensors' : `model-${number(i + 1)}-of-${number(groups.length)}.safetensors`,
    tensorNames: [...tensorNames].sort(compareNames),
    metadata: all.metadata,
  }))
}
