/**
 * --prune-layers: takes whole layers out of a model and numbers the rest anew.
 *
 * Law: llama-quant.cpp `remap_layer`; tools/quantize `parse_layer_prune` (llama.cpp 0c1e570).
 */
import { quoted, UsageError } from '../core/errors.js'

const LAYER = /blk\.(\d+)\./

/** `3,4,11` -> the layers, ascending and unique. @throws UsageError */
export function parseLayers(option: string, typed: string): number[] {
  const layers = typed.split(',').map((part) => {
    if (!/^\d{1,9}$/.test(part.trim())) throw new UsageError(`${option} takes numbers of layers such as 3,4,11, not ${quoted(typed)}.`)
    return Number(part)
  })
  return [...new Set(layers)].sort((a, b) => a - b)
}

/** A model with fewer layers. */
export interface PrunedNames {
  /** The new name of each tensor that is left; what is outside of the layers keeps its name. */
  readonly names: ReadonlyMap<string, string>
  /** How many layers are left, for `block_count`. */
  readonly layers: number
}

/**
 * @param names   of all tensors
 * @param pruned  layers to take out
 * @throws UsageError when a layer to take out is not there, or none would be left
 */
export function pruneLayers(names: readonly string[], pruned: readonly number[]): PrunedNames {
  const there = [...new Set(names.flatMap((name) => layerNumber(name) ?? []))].sort((a, b) => a - b)
  const absent = pruned.filter((layer) => !there.includes(layer))
  if (absent.length > 0) throw new UsageError(`--prune-layers: the model has no layer ${absent.join(', ')}; its layers are 0 to ${there.at(-1) ?? '-'}.`)
  const left = there.filter((layer) => !pruned.includes(layer))
  if (left.length === 0) throw new UsageError('--prune-layers: no layer would be left.')
  const first = Math.min(...pruned)
  // layers before the first that goes keep their numbers, even where some are missing
  const kept = left.filter((layer) => layer < first)
  const start = (kept.at(-1) ?? -1) + 1
  const numbers = new Map(left.map((layer, i) => [layer, layer < first ? layer : start + i - kept.length]))
  const renamed = names.flatMap((name): [string, string][] => {
    const layer = layerNumber(name)
    if (layer === undefined) return [[name, name]]
    const number = numbers.get(layer)
    return number === undefined ? [] : [[name, name.replace(LAYER, `blk.${number}.`)]]
  })
  return { names: new Map(renamed), layers: start + left.length - kept.length }
}

function layerNumber(name: string): number | undefined {
  const digits = LAYER.exec(name)?.[1]
  return digits === undefined ? undefined : Number(digits)
}
