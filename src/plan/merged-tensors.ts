/**
 * The base with all adapters added, tensor by tensor, before any output format: what both a merged folder and a GGUF are
 * made of, so that the two can never disagree.
 */
import type { Backwards } from '../architectures/backwards.js'
import { isReadableType } from '../core/arithmetic.js'
import { UnsupportedError } from '../core/errors.js'
import { lastPart } from '../core/paths.js'
import type { Model } from '../core/model.js'
import type { RowProgram } from '../core/row-program.js'
import type { TensorInfo } from '../core/tensor-info.js'
import { combineAdapters, type WeightedAdapter } from '../merge/combine.js'
import { effectiveScale, mergedProgram, type WeightedDelta } from '../merge/variants.js'
import type { AppliedDelta, PlannedAdapter } from './plan.js'

/** One tensor of the base, merged. */
export interface MergedTensor {
  readonly base: TensorInfo
  readonly program: RowProgram
  /** Empty for tensors that no adapter touches. */
  readonly applied: readonly AppliedDelta[]
}

export interface MergedModel {
  /** By name, in the base's order. */
  readonly tensors: ReadonlyMap<string, MergedTensor>
  readonly adapters: readonly PlannedAdapter[]
  readonly notes: readonly string[]
}

/**
 * Combines base and adapters.
 * @param backwards  for a base that is a GGUF: finds tensors by the names that adapters know, and their rows' order
 * @throws UnsupportedError when an adapter changes a tensor that cannot be read as f32
 */
export function mergeModel(model: Model, given: readonly WeightedAdapter[], backwards?: Backwards): MergedModel {
  const { adapters, deltas, notes } = combineAdapters(given)
  const tensors = new Map<string, MergedTensor>()
  for (const [name, base] of model.tensors) {
    const back = backwards?.(base)
    const own = deltas.get(back?.name ?? name) ?? []
    if (own.length > 0 && !isReadableType(base.dtype)) {
      throw new UnsupportedError(`is ${base.dtype}, which cannot be merged into. Use the 16-bit model that this one was made from.`, {
        file: base.source.name,
        tensor: name,
      })
    }
    const read: RowProgram = { op: 'read', tensor: base }
    const program = own.length > 0 && back !== undefined ? back.toGguf(mergedProgram(back.original, own)) : mergedProgram(read, own)
    tensors.set(name, { base, program, applied: own.map(appliedDelta) })
  }
  const planned = adapters.map(({ adapter, weight, digest }) => ({
    label: adapter.label,
    kind: adapter.kind,
    weight,
    tensorCount: adapter.deltas.length,
    digest,
  }))
  return { tensors, adapters: planned, notes: [...given.flatMap(({ adapter }) => adapter.notes), ...notes] }
}

/** One sentence per adapter, for the user. */
export function mergeDecisions({ adapters }: MergedModel): string[] {
  return adapters.map(
    ({ label, kind, weight, tensorCount }) => `${lastPart(label)}: ${kind}, ${tensorCount} tensors${weight === 1 ? '' : `, weight ${weight}`}`,
  )
}

function appliedDelta({ delta, weight, adapter }: WeightedDelta): AppliedDelta {
  return { adapter, module: delta.module, variant: delta.variant, rank: delta.rank, scale: effectiveScale(delta, weight) }
}
