/**
 * How large a model is, for people: parameter counts of the tensors as written -> `7.2B`, `8x1.1M`.
 *
 * Law: gguf-py gguf/utility.py `size_label`, gguf_writer.py `get_total_parameter_count`.
 */

/** Parameters of a model, as counted over the tensors of its GGUF. */
export interface ParameterCounts {
  /** All of them; negative for a LoRA adapter (its size says little about the model's). */
  readonly total: number
  /** Outside of stacked experts. */
  readonly shared: number
  /** In one expert of each stack, summed over the stacks. */
  readonly expert: number
  /** Experts per stack (the mean, rounded down); 0 for a dense model. */
  readonly expertCount: number
}

/** Counts the parameters of the tensors of a GGUF, in their order. `shape` is outermost first, in elements. */
export function countParameters(tensors: Iterable<{ readonly name: string; readonly shape: readonly number[] }>): ParameterCounts {
  let [total, shared, expert, experts, stacks] = [0, 0, 0, 0, 0]
  let loraA: { readonly name: string; readonly shape: readonly number[] } | undefined
  for (const { name, shape: stored } of tensors) {
    if (name.endsWith('.lora_a')) {
      loraA = { name, shape: stored }
      continue
    }
    let shape = stored
    if (name.endsWith('.lora_b')) {
      // an A that does not stand right before its B cannot be measured: the reference gives up on the whole count
      if (loraA?.name !== `${name.slice(0, -1)}a`) return { total: 0, shared: 0, expert: 0, expertCount: 0 }
      shape = [...stored.slice(0, -1), loraA.shape.at(-1) ?? 1]
    }
    const size = shape.reduce((product, dimension) => product * dimension, 1)
    const stackSize = name.includes('_exps.') && shape.length >= 3 ? shape.at(name.includes('.bias') ? -2 : -3) : undefined
    if (stackSize === undefined || stackSize === 0) shared += size
    else {
      expert += Math.floor(size / stackSize)
      experts += stackSize
      stacks++
    }
    total += size
  }
  return { total: loraA === undefined ? total : -total, shared, expert, expertCount: stacks === 0 ? 0 : Math.floor(experts / stacks) }
}

/** The label: `133K`, `7.2B`, and for mixtures `8x7B` = experts x (shared + one expert). */
export function sizeLabel(parameters: ParameterCounts): string {
  if (parameters.expertCount > 0) return `${parameters.expertCount}x${rounded(Math.abs(parameters.shared) + Math.abs(parameters.expert))}`
  return rounded(Math.abs(parameters.total))
}

// powers as the reference multiplies by them: 1e-3 and a division by 1000 do not round alike
const UNITS = [
  { above: 1e12, scale: 1e-12, letter: 'T' },
  { above: 1e9, scale: 1e-9, letter: 'B' },
  { above: 1e6, scale: 1e-6, letter: 'M' },
  { above: Number.NEGATIVE_INFINITY, scale: 1e-3, letter: 'K' },
] as const

/** At least two significant digits before or after the point. */
function rounded(count: number): string {
  const unit = UNITS.find(({ above }) => count > above) ?? UNITS[3]
  const scaled = count * unit.scale
  const wholeDigits = fixed(scaled, 0).replace(/^0+/, '').length
  return fixed(scaled, Math.max(2 - wholeDigits, 0)) + unit.letter
}

/**
 * Python's `f'{value:.{digits}f}'` for non-negative values: toFixed, but an exact tie goes to the even neighbour.
 * value = m / 2^(digits + 1) with m odd is exactly such a tie.
 */
function fixed(value: number, digits: number): string {
  const m = value * 2 ** (digits + 1)
  if (!Number.isInteger(m) || m % 2 === 0) return value.toFixed(digits)
  const below = (m * 5 ** digits - 1) / 2
  return ((below % 2 === 0 ? below : below + 1) / 10 ** digits).toFixed(digits)
}
