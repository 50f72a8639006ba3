/**
 * LoRA on the parameters of fused experts (target_parameters) -> deltas, for bases that store the experts as one tensor and
 * for those that store them apart.
 *
 * Law: PEFT tuners/lora/layer.py `ParamWrapper`: A (rank·E x inputs) holds expert after expert, B (out x rank·E) rank after
 * rank. Up to 0.18 inputs and out were taken the other way round; transformers 5 conversion_mapping.py for the layouts.
 */
import type { Delta, LowRank } from '../core/delta.js'
import { MismatchError, nameList, quoted } from '../core/errors.js'
import { transposed, wholeMatrix, type MatrixView } from '../core/row-program.js'
import { shapeText } from '../core/shape.js'
import type { TensorInfo } from '../core/tensor-info.js'
import type { AdapterModule } from './adapter-file.js'
import { placeOf } from './factors.js'
import { EXPERT_LAYOUTS } from './module-renames.js'
import type { ModulePaths } from './module-paths.js'
import { withoutBaseLayer } from './peft-modules.js'

/** A fused parameter as the base has it: (experts x rows x cols), stored as one tensor or in parts by rows. */
interface Parameter {
  readonly name: string
  readonly experts: number
  readonly rows: number
  readonly cols: number
  readonly fused?: TensorInfo
  /** For every expert its tensors, whose rows follow one another. */
  readonly apart?: readonly (readonly TensorInfo[])[]
}

/**
 * @param takenParameters  names of parameters that other modules have been given, in full: this one's is added
 * @throws MismatchError when no parameter fits, or more than one
 */
export function bindExperts(module: AdapterModule, paths: ModulePaths, takenParameters: Set<string>): Delta[] {
  const path = withoutBaseLayer(module.name)
  const candidates = (module.parameters ?? []).flatMap((name) => findParameter(module, path, name, paths) ?? [])
  const free = candidates.filter(({ name }) => !takenParameters.has(`${path}.${name}`))
  const fitting = free.flatMap((parameter) => {
    const transposes = orientationOf(module, parameter)
    return transposes === undefined ? [] : [{ parameter, transposes }]
  })
  const [only, ...others] = fitting
  if (only === undefined) throw fitsNone(module, path, candidates)
  if (others.length > 0 || only.transposes === 'either') {
    throw new MismatchError(
      `could be factors of ${nameList(fitting.map(({ parameter }) => parameter.name))} in either direction: shapes do not tell, and "peft_version" is missing in its config.`,
      placeOf(module),
    )
  }
  takenParameters.add(`${path}.${only.parameter.name}`)
  return deltasOf(module, path, only.parameter, only.transposes === 'yes')
}

function findParameter(module: AdapterModule, path: string, name: string, paths: ModulePaths): Parameter | undefined {
  const place = placeOf(module)
  const fused = paths.find(path, place, name)
  if (fused !== undefined && fused.shape.length === 3) {
    const [experts = 0, rows = 0, cols = 0] = fused.shape
    return { name, experts, rows, cols, fused }
  }
  for (const layout of EXPERT_LAYOUTS) {
    const parts = layout.parts[name]
    if (parts === undefined || !(path === layout.module || path.endsWith(`.${layout.module}`))) continue
    const onDisk = path.slice(0, path.length - layout.module.length) + layout.checkpoint
    const whole = layout.fused ? paths.find(`${onDisk}.${parts[0]}`, place) : undefined
    if (whole !== undefined && whole.shape.length === 3) {
      const [experts = 0, rows = 0, cols = 0] = whole.shape
      return { name, experts, rows, cols, fused: whole }
    }
    const apart: TensorInfo[][] = []
    for (;;) {
      const tensors = parts.flatMap((part) => paths.find(`${onDisk}.${apart.length}.${part}`, place) ?? [])
      if (tensors.length < parts.length) break
      apart.push(tensors)
    }
    const [first] = apart
    if (first === undefined) continue
    return { name, experts: apart.length, rows: first.reduce((sum, { shape }) => sum + (shape[0] ?? 0), 0), cols: first[0]?.shape[1] ?? 0, apart }
  }
  return undefined
}

/** Whether B·A must be turned to lie as the parameter does; undefined when it does not fit at all. */
function orientationOf(module: AdapterModule, { experts, rows, cols, fused }: Parameter): 'yes' | 'no' | 'either' | undefined {
  const { A, B } = factorsOf(module)
  const ranks = module.rank * experts
  if (A.rows !== ranks || B.cols !== ranks) return undefined
  const [plain, turned] = [A.cols === cols && B.rows === rows, A.cols === rows && B.rows === cols]
  if (plain && turned) return module.turnsParameters === undefined || fused !== undefined ? 'either' : module.turnsParameters ? 'yes' : 'no'
  return plain ? 'no' : turned ? 'yes' : undefined
}

function deltasOf(module: AdapterModule, path: string, { name, experts, cols, fused, apart }: Parameter, transposes: boolean): Delta[] {
  const { A, B } = factorsOf(module)
  const { rank, scale } = module
  const parts = Array.from({ length: experts }, (_, expert): LowRank => {
    const own: LowRank = {
      A: { ...A, rows: rank, offset: expert * rank * A.cols },
      B: { ...B, cols: rank, offset: expert, colStride: experts },
    }
    return transposes ? { B: transposed(own.A), A: transposed(own.B) } : own
  })
  const common = { module: `${path}.${name}`, rank, scale }
  if (fused !== undefined) return [{ variant: 'experts', ...common, target: fused.name, parts }]
  return parts.flatMap((part, expert) => {
    let start = 0
    return (apart?.[expert] ?? []).map((tensor): Delta => {
      const [rows = 0, inputs = 0] = tensor.shape
      if (tensor.shape.length !== 2 || inputs !== cols)
        throw new MismatchError(`the base's ${quoted(tensor.name)} is ${shapeText(tensor.shape)}; rows of ${cols} are wanted.`, placeOf(module))
      const rowsOfB = { ...part.B, rows, offset: part.B.offset + start * part.B.rowStride }
      start += rows
      return { variant: 'lora', ...common, target: tensor.name, B: rowsOfB, A: part.A }
    })
  })
}

function factorsOf({ factors }: AdapterModule): { A: MatrixView; B: MatrixView } {
  const [A, B] = [factors.get('A'), factors.get('B')]
  if (A === undefined || B === undefined || A.shape.length !== 2 || B.shape.length !== 2)
    throw new MismatchError('factors of experts must be two matrices.', { tensor: (A ?? B)?.name ?? '' })
  return { A: wholeMatrix(A), B: wholeMatrix(B) }
}

function fitsNone(module: AdapterModule, path: string, candidates: readonly Parameter[]): MismatchError {
  const { A, B } = factorsOf(module)
  const found = candidates.map(({ name, experts, rows, cols }) => `${name} ${shapeText([experts, rows, cols])}`)
  return new MismatchError(
    `A ${shapeText([A.rows, A.cols])} and B ${shapeText([B.rows, B.cols])}, rank ${module.rank}, fit none of the parameters of ${quoted(path)} in the base (${found.length === 0 ? 'it has none of them' : found.join(', ')}).`,
    placeOf(module),
  )
}
