/**
 * mxfp4: blocks of 32 E2M1 floats with an E8M0 exponent, the OCP microscaling format.
 *
 * Law: ggml-quants.c `quantize_row_mxfp4_ref` (llama.cpp 0c1e570); importance is ignored.
 */
/* oxlint-disable typescript/no-non-null-assertion -- numeric loops */
import { halfPowerOfTwo, LEVEL_PLANES, MXFP4_VALUES, packLevels } from './block-formats.js'
import { largestByMagnitude } from './block-numbers.js'
import { encoderOfBlocks } from './blocks.js'

const E8M0_BIAS = 127
const E2M1_LARGEST_EXPONENT = 2

const levels = new Uint8Array(32)
const steps = new Float32Array(MXFP4_VALUES.length)

export const encodeMxfp4 = encoderOfBlocks('mxfp4', (x, into, at) => {
  const exponent = exponentOf(Math.abs(largestByMagnitude(x)))
  const scale = halfPowerOfTwo(exponent)
  for (let level = 0; level < steps.length; level++) steps[level] = MXFP4_VALUES[level]! * scale
  for (let i = 0; i < x.length; i++) levels[i] = nearestStep(x[i]!)
  into[at] = exponent
  packLevels(LEVEL_PLANES.mxfp4, levels, into, at)
})

/**
 * The stored exponent. The logarithm is rounded to f32 before its floor is taken, so that values a few ulps below a power
 * of two (up to 44 for the largest) belong to it; a true logarithm is never within 1e-3 of an f32 half step there, so any
 * good one serves. Below 2^-125 the reference's byte wraps around, and the block becomes zero.
 */
function exponentOf(largest: number): number {
  if (!(largest > 0)) return 0
  return (Math.floor(Math.fround(Math.log2(largest))) - E2M1_LARGEST_EXPONENT + E8M0_BIAS) & 0xff
}

/** The first of the nearest steps. */
function nearestStep(value: number): number {
  let nearest = 0
  let smallest = Infinity
  for (let level = 0; level < steps.length; level++) {
    const error = Math.abs(Math.fround(steps[level]! - value))
    if (error < smallest) {
      smallest = error
      nearest = level
    }
  }
  return nearest
}
