/**
 * Adapters in the tensors of a GGUF file. Those of Hugging Face change the checkpoint's tensors, which are rebuilt from the
 * file's, merged, and made into the file's again; those in GGUF change the file's own. Where both change one tensor they
 * meet in the checkpoint, so that they are summed once.
 */
import type { Backwards } from '../architectures/backwards.js'
import { layOf } from '../architectures/checkpoint-places.js'
import type { RowUnit } from '../architectures/row-unit.js'
import type { Delta } from '../core/delta.js'
import { InternalError, quoted, UnsupportedError } from '../core/errors.js'
import { tensorsOf, type RowProgram } from '../core/row-program.js'
import type { TensorInfo } from '../core/tensor-info.js'
import type { WeightedDelta } from '../merge/variants.js'

/** A tensor of the file, and what changes it. */
export interface MergedRows {
  readonly program: RowProgram
  /** Empty when nothing does: `program` reads it then. */
  readonly own: readonly WeightedDelta[]
}

export interface GgufMerge {
  /** By name in the file. */
  readonly tensors: ReadonlyMap<string, TensorInfo>
  readonly backwards: Backwards | undefined
  /** By the target's name in the checkpoint, or in the file where no row makes it of others. */
  readonly deltas: ReadonlyMap<string, readonly WeightedDelta[]>
  /** By the target's name in the file: of adapters in GGUF. The two may have a name in common that means two tensors. */
  readonly fileDeltas: ReadonlyMap<string, readonly WeightedDelta[]>
  readonly merged: (base: RowProgram, own: readonly WeightedDelta[]) => RowProgram
}

/** Changes that leave rows that they say nothing of as they are. */
const OF_PARTS: ReadonlySet<Delta['variant']> = new Set<Delta['variant']>(['lora', 'experts', 'grouped'])

/** Merges each tensor of a file when asked for it. @throws UnsupportedError when its values cannot be had back, or adapters cannot meet in it */
export function ggufMerge(merge: GgufMerge): (tensor: TensorInfo) => MergedRows {
  const { backwards, deltas, fileDeltas, merged } = merge
  const units = new Map<RowUnit, ReadonlyMap<string, MergedRows>>()
  return (tensor) => {
    const read: RowProgram = { op: 'read', tensor }
    const unit = backwards?.units.get(tensor.name)
    const isChanged = unit?.sources.some(({ name }) => deltas.has(name)) ?? false
    if (unit === undefined || !isChanged) {
      const own = inOrder([...((unit === undefined && deltas.get(tensor.name)) || []), ...(fileDeltas.get(tensor.name) ?? [])])
      return { program: merged(read, own), own }
    }
    const made = units.get(unit) ?? mergedUnit(merge, unit)
    units.set(unit, made)
    return made.get(tensor.name) ?? { program: read, own: [] }
  }
}

function mergedUnit({ tensors, backwards, deltas, fileDeltas, merged }: GgufMerge, unit: RowUnit): ReadonlyMap<string, MergedRows> {
  const own = unit.sources.map(({ name }, i) => inOrder([...(deltas.get(name) ?? []), ...laidOn(unit, i, fileDeltas)]))
  const sources = unit.sources.map(({ name }, i) => {
    const before = backwards?.tensors.get(name)
    const [first] = own[i] ?? []
    if (before === undefined) throw new InternalError('is no tensor that the file was made of', { tensor: name })
    if (unit.changesValues && first !== undefined) throw changed(name, unit, first)
    return merged(before.original, own[i] ?? [])
  })
  const all = own.flat()
  const programs = unit.toFile(sources)
  return new Map(
    unit.targets.flatMap(({ name }, i) => {
      const [program, tensor] = [programs[i], tensors.get(name)]
      if (program === undefined || tensor === undefined) return []
      const isTouched = all.some(({ delta }) => !OF_PARTS.has(delta.variant)) || tensorsOf(program).some((one) => tensors.get(one.name) !== one)
      return [[name, isTouched ? { program, own: all } : { program: { op: 'read', tensor }, own: [] }]]
    }),
  )
}

/** The adapters' order, which sums are taken in. */
function inOrder(deltas: readonly WeightedDelta[]): readonly WeightedDelta[] {
  return deltas.toSorted((a, b) => a.adapter - b.adapter)
}

/** What changes the file's tensors of a unit, as changes of one of its sources. */
function laidOn(unit: RowUnit, index: number, fileDeltas: ReadonlyMap<string, readonly WeightedDelta[]>): WeightedDelta[] {
  const target = unit.sources[index]?.name ?? ''
  return unit.targets.flatMap(({ name }, at) =>
    (fileDeltas.get(name) ?? []).map((one): WeightedDelta => {
      const { delta } = one
      if (unit.isCopy) return { ...one, delta: { ...delta, target } }
      if (delta.variant === 'lora' || delta.variant === 'experts') return { ...one, delta: { ...delta, target, lay: layOf(unit, at, index) } }
      throw new UnsupportedError(
        `is changed by ${delta.variant} (module ${quoted(delta.module)}) and by other adapters under its name in Hugging Face: merge one after the other.`,
        { tensor: name },
      )
    }),
  )
}

function changed(name: string, { targets }: RowUnit, { delta }: WeightedDelta): UnsupportedError {
  return new UnsupportedError(
    `holds the values of ${quoted(name)} changed, and they do not come back bit by bit: module ${quoted(delta.module)} is merged into the folder that the file was made from.`,
    { tensor: targets[0]?.name ?? name },
  )
}
