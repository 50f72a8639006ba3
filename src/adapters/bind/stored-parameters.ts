/** Finds where the base keeps a parameter of a module: in one tensor, in one for each part, or in one for each part of each expert. */
import { MismatchError, quoted, UnsupportedError, type Place } from '../../core/errors.js'
import { shapeText } from '../../core/shape.js'
import type { TensorInfo } from '../../core/tensor-info.js'
import { EXPERT_LAYOUTS, type ExpertLayout } from './expert-layouts.js'
import type { ModulePaths } from '../module-paths.js'

/** A piece of a parameter in the base. */
export interface Region {
  readonly tensor: TensorInfo
  /** The one expert that it is of; undefined: of all, one after the other. */
  readonly expert: number | undefined
  /** Its rows in the parameter. */
  readonly first: number
  readonly rows: number
}

/** A parameter as the base has it: (experts x rows x cols). */
export interface StoredParameter {
  readonly experts: number
  readonly rows: number
  readonly cols: number
  /** In the order of experts, then of rows. */
  readonly regions: readonly Region[]
  /** Whether it is made of the matrices of ordinary linear layers, (out x in). */
  readonly isApart: boolean
}

/**
 * @param path  of the module, in the adapter's model
 * @param name  of the parameter in it
 * @returns undefined when the base does not have it, or has it as the weight of an ordinary layer
 * @throws MismatchError when its pieces do not fit together
 */
export function findParameter(path: string, name: string, paths: ModulePaths, place: Place): StoredParameter | undefined {
  const whole = paths.find(path, place, name)
  if (whole !== undefined) return name === 'weight' && whole.shape.length !== 3 ? undefined : stacked([whole], place)
  if (paths.find(path, place, `${name}_blocks`) !== undefined)
    throw new UnsupportedError(
      `the base holds ${quoted(name)} of its experts in MXFP4 (${quoted(`${name}_blocks`)}): use the 16-bit model that it was made from.`,
      place,
    )
  for (const layout of EXPERT_LAYOUTS) {
    if (layout.parameter !== name) continue
    const found = ofEachExpert(path, layout, paths, place) ?? ofEachPart(path, layout, paths, place)
    if (found !== undefined) return found
  }
  return undefined
}

function ofEachPart(path: string, { parts }: ExpertLayout, paths: ModulePaths, place: Place): StoredParameter | undefined {
  const tensors = parts.flatMap((part) => paths.find(`${path}.${part}`, place) ?? [])
  return tensors.length < parts.length || tensors.some(({ shape }) => shape.length !== 3) ? undefined : stacked(tensors, place)
}

/** Tensors that hold all experts, the rows of one after those of the other. */
function stacked(tensors: readonly TensorInfo[], place: Place): StoredParameter {
  const shapes = tensors.map(({ shape }) => (shape.length === 2 ? [1, ...shape] : shape))
  const [experts = 0, , cols = 0] = shapes[0] ?? []
  const regions: Region[] = []
  let rows = 0
  for (const [i, tensor] of tensors.entries()) {
    const shape = shapes[i] ?? []
    if (shape.length !== 3 || shape[0] !== experts || shape[2] !== cols) throw doesNotFit(tensor, `experts of ${cols} columns`, place)
    regions.push({ tensor, expert: tensor.shape.length === 2 ? 0 : undefined, first: rows, rows: shape[1] ?? 0 })
    rows += shape[1] ?? 0
  }
  return { experts, rows, cols, regions, isApart: false }
}

function ofEachExpert(path: string, { parts }: ExpertLayout, paths: ModulePaths, place: Place): StoredParameter | undefined {
  const regions: Region[] = []
  let [experts, rows, cols] = [0, 0, 0]
  for (; ; experts++) {
    const tensors = parts.flatMap((part) => paths.find(`${path}.${experts}.${part}`, place) ?? [])
    if (tensors.length < parts.length) break
    let first = 0
    for (const tensor of tensors) {
      const [own = 0, inputs = 0] = tensor.shape
      if (regions.length === 0) cols = inputs
      if (tensor.shape.length !== 2 || inputs !== cols) throw doesNotFit(tensor, `rows of ${cols}`, place)
      regions.push({ tensor, expert: experts, first, rows: own })
      first += own
    }
    if (experts === 0) rows = first
    else if (first !== rows) throw doesNotFit(tensors[0], `${rows} rows of all parts`, place)
  }
  return experts === 0 ? undefined : { experts, rows, cols, regions, isApart: true }
}

function doesNotFit(tensor: TensorInfo | undefined, wanted: string, place: Place): MismatchError {
  return new MismatchError(`the base's ${quoted(tensor?.name ?? '')} is ${shapeText(tensor?.shape ?? [])}; ${wanted} are wanted.`, place)
}
