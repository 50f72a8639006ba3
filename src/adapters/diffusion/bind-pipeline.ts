/** An opened adapter and the models of a whole diffusion pipeline -> what it does to each of them. */
import type { Adapter } from '../../core/adapter.js'
import { MismatchError, nameList, UnsupportedError } from '../../core/errors.js'
import type { AdapterFile } from '../adapter-file.js'
import type { BasePart } from './parts.js'
import { resolveParts } from './resolve-parts.js'
import { adapterOf, resolveTargets, type ResolveOptions } from '../resolve.js'

/**
 * Binds an opened adapter to the models of a pipeline.
 * @param parts  one for each model, by its folder's name
 * @returns an adapter for each part; notes are with the first
 * @throws what resolveTargets and resolveParts throw
 */
export function bindToPipeline(file: AdapterFile, parts: readonly BasePart[], options: ResolveOptions = {}): Adapter[] {
  if (file.isOfPipeline !== true) return bindToOneOf(file, parts, options)
  const { deltas, notes } = resolveParts(file, parts, options.components)
  return deltas.map((own, i) => ({ ...adapterOf(file), deltas: own, notes: i === 0 ? [...file.notes, ...notes] : [] }))
}

/** A PEFT adapter does not say which model it is of: it is the one that has all its modules. */
function bindToOneOf(file: AdapterFile, parts: readonly BasePart[], options: ResolveOptions): Adapter[] {
  const allowed = parts.filter(({ components }) => options.components === undefined || components.some((one) => options.components?.includes(one)))
  const bound = new Map<BasePart, Adapter>()
  let fault: unknown
  for (const part of allowed) {
    try {
      bound.set(part, resolveTargets(file, part.tensors, options))
    } catch (error) {
      if (!(error instanceof MismatchError || error instanceof UnsupportedError)) throw error
      fault ??= error
    }
  }
  const names = [...bound.keys()].map(({ components: [name = ''] }) => name)
  if (bound.size === 0) throw fault ?? new MismatchError('the pipeline has no model that adapters are made for.', { file: file.label })
  if (bound.size > 1) throw new MismatchError(`fits ${nameList(names)} of the pipeline: say which with --component ${names[0]}.`, { file: file.label })
  return parts.map((part) => bound.get(part) ?? { ...adapterOf(file), notes: [] })
}
