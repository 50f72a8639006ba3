/**
 * Tensors of formats whose keys are a module's path and the name of a factor: who belongs together, what is left over. PEFT
 * has a table of its own (key-suffixes.ts).
 */
import { isReadableType } from '../core/arithmetic.js'
import { MismatchError, quoted, UnsupportedError } from '../core/errors.js'
import { shapeText } from '../core/shape.js'
import type { TensorInfo } from '../core/tensor-info.js'
import type { AdapterModule } from './adapter-file.js'
import type { FactorRole } from './key-suffixes.js'

/** How the factors of a format are called. */
export interface FactorNames {
  readonly A: string
  readonly B: string
  /** What a module may have besides: name -> what it is. */
  readonly more?: Readonly<Record<string, FactorRole>>
}

export interface PairedFactors {
  /** By module, in the order of the file; each has A and B. */
  readonly modules: ReadonlyMap<string, ReadonlyMap<FactorRole, TensorInfo>>
  /** Everything else. */
  readonly rest: readonly TensorInfo[]
}

/**
 * @param file  for messages
 * @throws MismatchError for a factor without its partner, UnsupportedError for factors that are no floats
 */
export function pairFactors(tensors: readonly TensorInfo[], names: FactorNames, file: string): PairedFactors {
  const roles = new Map<string, FactorRole>([[names.A, 'A'], [names.B, 'B'], ...Object.entries(names.more ?? {})]) // prettier-ignore
  const modules = new Map<string, Map<FactorRole, TensorInfo>>()
  const rest: TensorInfo[] = []
  for (const tensor of tensors) {
    const dot = tensor.name.lastIndexOf('.')
    const role = dot > 0 ? roles.get(tensor.name.slice(dot + 1)) : undefined
    if (role === undefined) {
      rest.push(tensor)
      continue
    }
    checkFactor(tensor, file, role === 'A' || role === 'B' ? 2 : 1)
    const module = tensor.name.slice(0, dot)
    const factors = modules.get(module) ?? new Map<FactorRole, TensorInfo>()
    modules.set(module, factors.set(role, tensor))
  }
  for (const [module, factors] of modules) {
    const missing = (['A', 'B'] as const).find((role) => !factors.has(role))
    if (missing === undefined) continue
    const [some] = factors.values()
    throw new MismatchError(
      `has no partner ${quoted(`${module}.${names[missing]}`)} in the file, so its update is unknown: the file is incomplete, save the adapter again.`,
      { file, tensor: some?.name ?? '' },
    )
  }
  return { modules, rest }
}

function checkFactor({ name, shape, dtype }: TensorInfo, file: string, dimensions: number): void {
  const place = { file, tensor: name }
  if (shape.includes(0)) throw new MismatchError(`is empty (shape ${shapeText(shape)}): save the adapter again, with its weights gathered.`, place)
  if (shape.length < dimensions) throw new MismatchError(`has shape ${shapeText(shape)} where ${dimensions} dimensions are wanted.`, place)
  if (!isReadableType(dtype)) throw new UnsupportedError(`has dtype ${dtype}; factors must be F32, F16 or BF16.`, place)
}

/**
 * Tensors that were trained as a whole, one module each.
 * @returns those that are floats, and those that are not: masks and positions, which no training changes
 */
export function wholeModules(tensors: readonly TensorInfo[]): { modules: AdapterModule[]; untrained: TensorInfo[] } {
  const modules: AdapterModule[] = []
  const untrained: TensorInfo[] = []
  for (const tensor of tensors) {
    if (!isReadableType(tensor.dtype) && !tensor.dtype.startsWith('F')) {
      untrained.push(tensor)
      continue
    }
    const [, path = '', leaf = tensor.name] = /^(.+)\.([^.]+)$/s.exec(tensor.name) ?? []
    const role = leaf === 'weight' || leaf === 'bias' ? leaf : 'parameter'
    modules.push({ kind: 'whole', name: role === 'parameter' ? tensor.name : path, factors: new Map([[role, tensor]]), rank: 0, alpha: 0, scale: 1 })
  }
  return { modules, untrained }
}
