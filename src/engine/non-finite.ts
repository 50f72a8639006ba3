/** NaN and infinity in tiles: what the base has is kept bit by bit, what an adapter has is refused. */
import { keptHalf } from '../core/float16.js'
import { MismatchError } from '../core/errors.js'
import { programShape, type RowProgram } from '../core/row-program.js'
import { placeOfTensor, type TensorInfo } from '../core/tensor-info.js'

const F32_QUIET = 0x0040_0000

/** Takes NaN and infinity out of a tile, as bits by index: a sum would quiet a NaN or change its payload, and what is measured would be lost. */
export function takeNonFinite(values: Float32Array): Map<number, number> {
  const taken = new Map<number, number>()
  const bits = new Uint32Array(values.buffer, values.byteOffset, values.length)
  for (let i = 0; i < bits.length; i++) {
    if (Number.isFinite(values[i])) continue
    taken.set(i, bits[i]!)
    values[i] = 0
  }
  return taken
}

/** Puts back what was taken out. */
export function giveBack(values: Float32Array, taken: ReadonlyMap<number, number>): void {
  const bits = new Uint32Array(values.buffer, values.byteOffset, values.length)
  for (const [index, one] of taken) bits[index] = one
}

/**
 * The error of an element that adding made infinite.
 * @param first   row of the base that both tiles begin with
 * @param before  the tile as the base has it
 * @param after   the same with the sum
 */
export function grewTooLarge(base: RowProgram, first: number, before: Float32Array, after: Float32Array): MismatchError {
  const index = after.findIndex((value, i) => !Number.isFinite(value) && Number.isFinite(before[i]))
  const where = first * programShape(base).cols + index
  return new MismatchError(
    `element ${where} is ${before[index]} and becomes ${after[index]} when the adapters are added: adapter or weight is far too large.`,
    base.op === 'read' ? placeOfTensor(base.tensor) : {},
  )
}

/** The error of a factor that is not finite. @param first  element of the tensor that `values` begins with */
export function notFinite(tensor: TensorInfo, values: Float32Array, first: number): MismatchError {
  const index = values.findIndex((value) => !Number.isFinite(value))
  return new MismatchError(`element ${first + index} is ${values[index]}: the adapter is broken (training diverged?).`, placeOfTensor(tensor))
}

/**
 * NaN and infinity in a tile of a float type, as they are written. Where the base has the type already they keep their bits; otherwise they are
 * converted as ggml converts: narrowing has done so, and widening an f16 NaN makes it quiet.
 * @param values  what was encoded
 * @param base    the type that the values were read as
 */
export function settleNonFinite(type: 'f32' | 'f16' | 'bf16', base: string | undefined, values: Float32Array, output: Uint8Array): void {
  const bits = new Uint32Array(values.buffer, values.byteOffset, values.length)
  if (type === 'f32') {
    const words = new Uint32Array(output.buffer, output.byteOffset, values.length)
    if (base === 'F16') for (let i = 0; i < bits.length; i++) if (Number.isNaN(values[i])) words[i] = bits[i]! | F32_QUIET
  } else if (base === type.toUpperCase()) {
    const halves = new Uint16Array(output.buffer, output.byteOffset, values.length)
    for (let i = 0; i < bits.length; i++) if (!Number.isFinite(values[i])) halves[i] = keptHalf(bits[i]!, type)
  }
}
