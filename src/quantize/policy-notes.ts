/** What the user should know of a plan's types: one sentence each, nothing silent. */
import type { QuantType } from '../core/quant-types.js'
import type { QuantizedTensor, QuantizeSource } from './policy.js'
import type { CompiledOverride } from './type-overrides.js'

/** Rows that are no whole blocks. */
export function fallbackNotes(tensors: readonly QuantizedTensor[], sources: readonly QuantizeSource[]): string[] {
  const groups = new Map<string, { from: QuantType; to: QuantType; cols: Set<number>; count: number }>()
  for (const { index, type, fallbackFrom } of tensors) {
    if (fallbackFrom === undefined) continue
    const key = `${fallbackFrom} ${type}`
    const group = groups.get(key) ?? { from: fallbackFrom, to: type, cols: new Set(), count: 0 }
    groups.set(key, group)
    group.count++
    group.cols.add(sources[index]?.shape.at(-1) ?? 1)
  }
  return [...groups.values()].map(
    ({ from, to, cols, count }) =>
      `${count} ${count === 1 ? 'tensor is' : 'tensors are'} ${to} instead of ${from}: rows of ${[...cols].join(', ')} elements are no whole blocks of ${from}`,
  )
}

/** Tensors that are quantized without the importance that others have. */
export function importanceNotes(tensors: readonly QuantizedTensor[]): string[] {
  const lacking = tensors.filter(({ lacksImportance }) => lacksImportance).map(({ name }) => name)
  if (lacking.length === 0) return []
  const named = lacking.slice(0, 3).join(', ')
  return [`the importance matrix has nothing for ${lacking.length} ${lacking.length === 1 ? 'tensor' : 'tensors'}: ${named}${lacking.length > 3 ? ' …' : ''}`]
}

/** Patterns that match nothing, or cannot have an effect. */
export function overrideNotes(names: readonly string[], overrides: readonly CompiledOverride[], quantizes: boolean): string[] {
  if (overrides.length > 0 && !quantizes) return ['--tensor-type has no effect in a file that is not quantized']
  return overrides.filter(({ search }) => !names.some((name) => search(name))).map(({ pattern, type }) => `--tensor-type ${pattern}=${type} matches no tensor`)
}
