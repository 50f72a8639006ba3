/**
 * LoRA on slices of a fused matrix (loralib's MergedLinear, LitGPT's attn.qkv), and loralib's other layers, whose kind only
 * the base tells -> deltas.
 *
 * Law: loralib 0.1.2 layers.py `MergedLinear.merge_AB`, `zero_pad`, `ConvLoRA.train`; litgpt 0.5.13 lora.py `LoRAQKVLinear`: A holds
 * one factor per trained slice, one after the other, B the rows of those slices; the other slices stay as they are.
 */
import type { Delta, LowRank } from '../../core/delta.js'
import { MismatchError, quoted, UnsupportedError } from '../../core/errors.js'
import { transposed, type MatrixView } from '../../core/matrix-view.js'
import { elementCount, shapeText } from '../../core/shape.js'
import type { TensorInfo } from '../../core/tensor-info.js'
import type { AdapterModule } from '../adapter-file.js'
import { change, oriented, type Binder, type Bound, type Lies } from './bound.js'
import { factor, placeOf } from './factors.js'

/** LitGPT: sizes and trained slices are known from its config. */
export const groupedBinder: Binder = {
  shape: (module) => ({ out: (module.slices ?? []).reduce((sum, { rows }) => sum + rows, 0), inputs: factor(module, 'A').cols, fixed: true }),
  bind: (bound) => {
    const slices = bound.module.slices ?? []
    const trained = slices.filter(({ enabled }) => enabled)
    const { A, B } = factorsOf(bound.module)
    if (A.rows !== trained.length * bound.module.rank || B.rows !== trained.reduce((sum, { rows }) => sum + rows, 0) || B.cols !== bound.module.rank)
      throw new MismatchError(
        `A ${shapeText([A.rows, A.cols])} and B ${shapeText([B.rows, B.cols])} of rank ${bound.module.rank} are not those of ${trained.length} of the slices ${slices.map(({ rows }) => rows).join(', ')}, as the config has it.`,
        placeOf(bound.module),
      )
    return [groupedDelta(bound, slices)]
  },
}

/** loralib does not say in its file which layer a module was, nor how it was made. */
export const loralibBinder: Binder = { lies: loralibLies, bind: bindLoralib }

interface Slice {
  readonly rows: number
  readonly enabled: boolean
}

function factorsOf(module: AdapterModule): { A: MatrixView; B: MatrixView } {
  return { A: factor(module, 'A'), B: factor(module, 'B') }
}

/** How the layer lies in the base, its outputs being all rows of B or a multiple of a slice's. */
function loralibLies(module: AdapterModule, weight: TensorInfo): Lies {
  if (weight.shape.length > 2) return 'fixed'
  const { A, B } = factorsOf(module)
  const [rows = 0, cols = 0] = weight.shape
  const slice = sliceRows(module)
  const fits = (out: number, inputs: number): boolean => inputs === A.cols && out >= B.rows && out % slice === 0
  const [plain, turned] = weight.shape.length === 2 ? [fits(rows, cols), fits(cols, rows)] : [false, false]
  if (plain && turned) return 'square'
  if (plain || turned) return plain ? 'plain' : 'transposed'
  throw new MismatchError(
    `lora_A ${shapeText([A.rows, A.cols])} and lora_B ${shapeText([B.rows, B.cols])} fit no layer of loralib with a weight of the shape of the base's ${quoted(weight.name)} ${shapeText(weight.shape)}. Is it the base that the adapter was trained on?`,
    placeOf(module),
  )
}

/** Rows that each trained slice has: lora_A has a factor of the rank of lora_B for every one. */
function sliceRows(module: AdapterModule): number {
  const { A, B } = factorsOf(module)
  const trained = A.rows / B.cols
  if (!Number.isInteger(trained) || B.rows % trained !== 0)
    throw new MismatchError(
      `lora_A ${shapeText([A.rows, A.cols])} and lora_B ${shapeText([B.rows, B.cols])} cannot be multiplied, in one piece or in equal parts.`,
      placeOf(module),
    )
  return B.rows / trained
}

function bindLoralib(bound: Bound): Delta[] {
  const { module, weight, isTransposed } = bound
  if (weight.shape.length > 2) return [convolution(bound)]
  const { A, B } = factorsOf(module)
  const out = (isTransposed ? weight.shape[1] : weight.shape[0]) ?? 0
  if (A.rows === B.cols && out === B.rows) return [{ variant: 'lora', ...change(bound), ...oriented({ A, B }, bound) }]
  const rows = sliceRows(module)
  const [all, trained] = [out / rows, B.rows / rows]
  const enabled = module.enabled ?? (trained === all ? Array.from({ length: all }, () => true) : undefined)
  if (enabled === undefined)
    throw new MismatchError(
      `is of ${trained} of ${all} slices of ${rows} outputs in the base's ${quoted(weight.name)}, and nothing tells of which: say --enable-lora, such as q,v, or true,false,true.`,
      placeOf(module),
    )
  if (enabled.length !== all || enabled.filter(Boolean).length !== trained)
    throw new MismatchError(
      `is of ${trained} of ${all} slices in the base's ${quoted(weight.name)}; --enable-lora says ${enabled.filter(Boolean).length} of ${enabled.length}.`,
      placeOf(module),
    )
  return [
    groupedDelta(
      bound,
      enabled.map((one) => ({ rows, enabled: one })),
    ),
  ]
}

function groupedDelta(bound: Bound, slices: readonly Slice[]): Delta {
  const { module, isTransposed } = bound
  const { A, B } = factorsOf(module)
  const rank = B.cols
  let [number, row] = [0, 0]
  const parts = slices.map(({ rows, enabled }): LowRank | { zeros: number } => {
    if (!enabled) return { zeros: rows }
    const own = { A: { ...A, rows: rank, offset: A.offset + number * rank * A.rowStride }, B: { ...B, rows, offset: B.offset + row * B.rowStride } }
    number++
    row += rows
    return isTransposed ? { B: transposed(own.A), A: transposed(own.B) } : own
  })
  return { variant: 'grouped', ...change(bound), rank, along: isTransposed ? 'columns' : 'rows', parts }
}

/** loralib multiplies factors made for a kernel of k by k, and looks at the product as the weight: other dimensions do not come out. */
function convolution(bound: Bound): Delta {
  const { module, weight } = bound
  const { A, B } = factorsOf(module)
  const [out = 0, inputs = 0, ...kernel] = weight.shape
  const [size = 1] = kernel
  const groups = (out * size) / B.rows
  const fits = kernel.every((one) => one === size) && A.rows === B.cols && A.rows % size === 0 && Number.isInteger(groups) && A.cols === inputs * groups * size
  if (!fits)
    throw new MismatchError(
      `lora_A ${shapeText([A.rows, A.cols])} and lora_B ${shapeText([B.rows, B.cols])} are not those of a convolution with the base's weight ${quoted(weight.name)} ${shapeText(weight.shape)}.`,
      placeOf(module),
    )
  if (B.rows * A.cols !== elementCount(weight.shape))
    throw new UnsupportedError(
      `is LoRA on a convolution in ${kernel.length} dimensions with a kernel of ${size}, which loralib itself can neither run nor merge: lora_B · lora_A has ${B.rows * A.cols} elements, the weight ${elementCount(weight.shape)}.`,
      placeOf(module),
    )
  const rank = A.rows / size
  return { variant: 'lora', ...change(bound), rank, scale: module.alpha / rank, A, B }
}
