/**
 * Whether weights that lie beside LoRA factors hold the update already: rows of them are compared with the base's, and with the base's plus the update, as
 * they would be after rounding to their own type.
 *
 * Law: loralib 0.1.2 layers.py: eval() adds scaling · B·A to the weights and train() takes it off again, each with a rounding.
 */
import type { PlainFloat } from '../core/dtypes.js'
import { narrowBf16s, narrowF16s, widenBf16s, widenF16s } from '../core/float16.js'

/** Values of one weight, element by element; all have the same length. */
export interface ComparedRows {
  readonly saved: Float32Array
  /** The type that `saved` is stored in. */
  readonly dtype: PlainFloat
  readonly base: Float32Array
  /** scaling · B·A. */
  readonly update: Float32Array
}

export interface SavedComparison {
  /** `either`: the update is nothing, or less than the rounding shows. `neither`: other weights than both. */
  readonly verdict: 'train' | 'eval' | 'either' | 'neither'
  /** Whether some element of the update is not 0. */
  readonly updates: boolean
  /** The largest differences from the base, and from base plus update, in units of the last place of what was compared. */
  readonly fromBase: number
  readonly fromSum: number
  /** How much of the update the weights hold, where what they differ from the base by is a multiple of it; else undefined. */
  readonly share: number | undefined
}

/** A change of mode leaves up to one unit of the last place; this many are left by some hundred turns of training and evaluation, for they point both ways. */
const MOST_STEPS = 16

/** Where both explain the weights, the better one has less than a quarter of the other's difference. */
const CLEARLY_LESS = 1 / 4

/** Cosines between a difference and the update from which on one is told from the other: of rounding it is about 1 / √elements. */
const [SOME_UPDATE, ALL_UPDATE, FEW_ELEMENTS] = [0.5, 0.99, 256]

/** Bits after the point, and the smallest exponent. */
const PRECISION: Readonly<Record<PlainFloat, readonly [fraction: number, exponent: number]>> = { F32: [23, -126], F16: [10, -14], BF16: [7, -126] }

/** Decides what rows of a weight are. */
export function compareSaved({ saved, dtype, base, update }: ComparedRows): SavedComparison {
  const [before, after] = [roundedTo(dtype, base), roundedTo(dtype, sumOf(roundedTo(dtype, base), update))]
  // products that cancel each other leave the rounding of their terms, whatever is left of their sum
  const typical = Math.sqrt(update.reduce((sum, value) => sum + value * value, 0) / Math.max(1, update.length))
  let [fromBase, fromSum, squaresBase, squaresSum] = [0, 0, 0, 0]
  for (const [i, value] of saved.entries()) {
    const [one, two] = [before[i] ?? Number.NaN, after[i] ?? Number.NaN]
    const step = stepOf(dtype, Math.max(Math.abs(value), Math.abs(one), typical))
    const [offBase, offSum] = [difference(value, one) / step, difference(value, two) / step]
    fromBase = Math.max(fromBase, offBase)
    fromSum = Math.max(fromSum, offSum)
    squaresBase += offBase ** 2
    squaresSum += offSum ** 2
  }
  const updates = update.some((value) => value !== 0)
  const { cosine, share } = shareOf(saved, before, update)
  const found = verdictOf(fromBase, fromSum, Math.sqrt(squaresBase), Math.sqrt(squaresSum))
  // a part of the update, however near to the base: another alpha was given than that of the training
  const isPart = found === 'train' && Math.abs(cosine) > (saved.length < FEW_ELEMENTS ? ALL_UPDATE : SOME_UPDATE)
  return { verdict: isPart ? 'neither' : found, updates, fromBase, fromSum, share: Math.abs(cosine) > ALL_UPDATE ? share : undefined }
}

/** The difference from the base as a multiple of the update, and the cosine of the angle between them. */
function shareOf(saved: Float32Array, before: Float32Array, update: Float32Array): { cosine: number; share: number } {
  let [product, own, whole] = [0, 0, 0]
  for (const [i, value] of update.entries()) {
    const off = (saved[i] ?? Number.NaN) - (before[i] ?? Number.NaN)
    product += off * value
    own += off ** 2
    whole += value ** 2
  }
  return own === 0 || whole === 0 ? { cosine: 0, share: 0 } : { cosine: product / Math.sqrt(own * whole), share: product / whole }
}

/** Whether the values are the same in one of the two types, of which the other may have been made. */
export function sameValues(saved: Float32Array, dtype: PlainFloat, base: Float32Array, baseDtype: PlainFloat): boolean {
  const [rounded, baseRounded] = [roundedTo(baseDtype, saved), roundedTo(dtype, base)]
  return saved.every((value, i) => Object.is(value, baseRounded[i]) || Object.is(rounded[i], base[i]))
}

function verdictOf(fromBase: number, fromSum: number, lengthBase: number, lengthSum: number): SavedComparison['verdict'] {
  const [isBase, isSum] = [fromBase <= MOST_STEPS, fromSum <= MOST_STEPS]
  if (!isBase && !isSum) return 'neither'
  if (isBase !== isSum) return isBase ? 'train' : 'eval'
  if (lengthBase === lengthSum) return 'either'
  if (lengthBase <= lengthSum * CLEARLY_LESS) return 'train'
  return lengthSum <= lengthBase * CLEARLY_LESS ? 'eval' : 'either'
}

/** Infinite where one of them is not finite and the other is another. */
function difference(one: number, two: number): number {
  if (Object.is(one, two)) return 0
  const off = Math.abs(one - two)
  return Number.isNaN(off) ? Infinity : off
}

/** The unit of the last place of a magnitude. */
function stepOf(dtype: PlainFloat, magnitude: number): number {
  const [fraction, smallest] = PRECISION[dtype]
  return 2 ** (Math.max(smallest, Math.floor(Math.log2(magnitude))) - fraction)
}

function sumOf(base: Float32Array, update: Float32Array): Float32Array {
  return base.map((value, i) => value + (update[i] ?? 0))
}

function roundedTo(dtype: PlainFloat, values: Float32Array): Float32Array {
  if (dtype === 'F32') return values
  const [narrow, widen] = dtype === 'F16' ? [narrowF16s, widenF16s] : [narrowBf16s, widenBf16s]
  const [halves, rounded] = [new Uint16Array(values.length), new Float32Array(values.length)]
  narrow(new Uint32Array(values.slice().buffer), halves)
  widen(halves, new Uint32Array(rounded.buffer))
  return rounded
}
