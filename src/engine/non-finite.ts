/** NaN and infinity in tiles: what the base has is kept bit by bit, what an adapter has is refused. */
import { MismatchError } from '../core/errors.js'
import type { TensorInfo } from '../core/tensor-info.js'

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

/** The error of a factor that is not finite. @param first  element of the tensor that `values` begins with */
export function notFinite(tensor: TensorInfo, values: Float32Array, first: number): MismatchError {
  const index = values.findIndex((value) => !Number.isFinite(value))
  return new MismatchError(`element ${first + index} is ${values[index]}: the adapter is broken (training diverged?).`, {
    file: tensor.source.name,
    tensor: tensor.name,
  })
}
