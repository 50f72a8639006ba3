/** Which tensors and rows are sampled when types are measured: the same ones in every run. */
import type { RowShape } from '../core/shape.js'
import type { GgufDraft } from './gguf-layout.js'

const MOST_TENSORS = 32
const MOST_ROWS = 64
/** Of one tensor. */
const MOST_ELEMENTS = 131_072

/** Matrices, at most 32, from everywhere in the model. */
export function sampleTensors(drafts: readonly GgufDraft[]): GgufDraft[] {
  const matrices = drafts.filter(({ shape }) => shape.slice(0, -1).some((dimension) => dimension > 1))
  return pick(matrices.length, MOST_TENSORS, 0).flatMap((index) => matrices[index] ?? [])
}

/** Rows of a matrix, at most 64 and fewer where they are long, ascending. */
export function sampleRows({ rows, cols }: RowShape, seed: number): number[] {
  return pick(rows, Math.max(1, Math.min(MOST_ROWS, Math.floor(MOST_ELEMENTS / cols))), seed + 1)
}

/** `wanted` of the numbers below `count`, ascending: one from each of as many equal stretches, so that none is left out. */
function pick(count: number, wanted: number, seed: number): number[] {
  const taken = Math.min(count, wanted)
  return Array.from({ length: taken }, (_, i) => {
    const [from, to] = [Math.floor((i * count) / taken), Math.floor(((i + 1) * count) / taken)]
    return from + (mixed(seed * 65_537 + i) % (to - from))
  })
}

/** 32 bits that look random (Murmur3's last step). */
function mixed(value: number): number {
  let bits = Math.imul(value ^ 0x9e37_79b9, 0x85eb_ca6b)
  bits = Math.imul(bits ^ (bits >>> 13), 0xc2b2_ae35)
  return (bits ^ (bits >>> 16)) >>> 0
}
