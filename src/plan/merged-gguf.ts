/**
 * Adapters in the tensors of a GGUF file. Those of Hugging Face change the checkpoint's tensors, which are rebuilt from the
 * file's, merged, and made into the file's again; those in GGUF change the file's own. Where both change one tensor they
 * meet in the checkpoint, so that they are summed once.
 */
import type { Backwards } from '../architectures/backwards.js'
import { layOf } from '../architectures/checkpoint-places.js'
import type { NamedShape, RowUnit } from '../architectures/row-unit.js'
import type { Delta } from '../core/delta.js'
import { InternalError, quoted, UnsupportedError } from '../core/errors.js'
import { programShape, tensorsOf, type RowProgram } from '../core/row-program.js'
import { rowShape } from '../core/shape.js'
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
      const program = merged(read, own)
      checkSize(program, tensor, own)
      return { program, own }
    }
    const made = units.get(unit) ?? mergedUnit(merge, unit)
    units.set(unit, made)
    return made.get(tensor.name) ?? { program: read, own: [] }
  }
}

function mergedUnit(merge: GgufMerge, unit: RowUnit): ReadonlyMap<string, MergedRows> {
  const { tensors, backwards, deltas, fileDeltas, merged } = merge
  const own = unit.sources.map(({ name }, i) => inOrder([...(deltas.get(name) ?? []), ...laidOn(unit, i, fileDeltas)]))
  const sources = unit.sources.map((source, i) => {
    const before = backwards?.tensors.get(source.name)
    if (before === undefined) throw new InternalError('is no tensor that the file was made of', { tensor: source.name })
    const program = merged(before.original(), own[i] ?? [])
    checkSize(program, source, own[i] ?? [])
    return program
  })
  const all = own.flat()
  const programs = unit.changesValues ? replaced(unit, sources, all, tensors) : unit.toFile(sources)
  return new Map(
    unit.targets.flatMap(({ name }, i) => {
      const [program, tensor] = [programs[i], tensors.get(name)]
      if (program === undefined || tensor === undefined) return []
      const isTouched = all.some(({ delta }) => !OF_PARTS.has(delta.variant)) || tensorsOf(program).some((one) => tensors.get(one.name) !== one)
      return [[name, isTouched ? { program, own: all } : { program: { op: 'read', tensor }, own: [] }]]
    }),
  )
}

/** Values that do not come back bit by bit can only be replaced, all of them. */
function replaced(
  unit: RowUnit,
  sources: readonly RowProgram[],
  own: readonly WeightedDelta[],
  tensors: ReadonlyMap<string, TensorInfo>,
): readonly RowProgram[] {
  const [tensor, ...more] = unit.targets.flatMap(({ name }) => tensors.get(name) ?? [])
  const [whole, ...parts] = sources
  const [first] = own
  if (whole?.op === 'become' && own.length === 1 && first?.delta.variant === 'replace' && tensor !== undefined && more.length + parts.length === 0) {
    const [changed = whole.changed] = unit.toFile([whole.changed])
    return [{ op: 'become', base: { op: 'read', tensor }, changed }]
  }
  throw new UnsupportedError(
    `holds the values of ${quoted(unit.sources[0]?.name ?? '')} changed, and they do not come back bit by bit: merge module ${quoted(first?.delta.module ?? '')} into the folder that the file was made from.`,
    { tensor: tensor?.name ?? '' },
  )
}

/** A file's vocabulary, and all else, keeps its size: the metadata would no longer be true. */
function checkSize(program: RowProgram, { name, shape }: NamedShape, [first]: readonly WeightedDelta[]): void {
  const [now, before] = [programShape(program), rowShape(shape)]
  if (now.rows === before.rows && now.cols === before.cols) return
  throw new UnsupportedError(
    `the adapter gives ${quoted(name)} ${now.rows} rows instead of ${before.rows} (module ${quoted(first?.delta.module ?? '')}): merge into the folder that the file was made from.`,
    { tensor: name },
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
