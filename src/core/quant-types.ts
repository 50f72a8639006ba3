/**
 * THE table of tensor types in GGUF files: ids, block sizes, names. Sizes, CLI choices, `general.file_type`, docs and
 * error texts derive from it; a test compares the ids with `@huggingface/gguf`.
 *
 * Law: ggml.h `enum ggml_type`, ggml-common.h block structs (llama.cpp 0c1e570). Missing ids were removed there.
 */

interface QuantTypeRow {
  /** Value of `enum ggml_type`. */
  readonly id: number
  /** Elements of one block; a row must be a whole number of blocks. */
  readonly blockElements: number
  /** Bytes of one block. */
  readonly blockBytes: number
}

export const QUANT_TYPES = {
  f32: { id: 0, blockElements: 1, blockBytes: 4 },
  f16: { id: 1, blockElements: 1, blockBytes: 2 },
  q4_0: { id: 2, blockElements: 32, blockBytes: 18 },
  q4_1: { id: 3, blockElements: 32, blockBytes: 20 },
  q5_0: { id: 6, blockElements: 32, blockBytes: 22 },
  q5_1: { id: 7, blockElements: 32, blockBytes: 24 },
  q8_0: { id: 8, blockElements: 32, blockBytes: 34 },
  q8_1: { id: 9, blockElements: 32, blockBytes: 36 },
  q2_k: { id: 10, blockElements: 256, blockBytes: 84 },
  q3_k: { id: 11, blockElements: 256, blockBytes: 110 },
  q4_k: { id: 12, blockElements: 256, blockBytes: 144 },
  q5_k: { id: 13, blockElements: 256, blockBytes: 176 },
  q6_k: { id: 14, blockElements: 256, blockBytes: 210 },
  q8_k: { id: 15, blockElements: 256, blockBytes: 292 },
  iq2_xxs: { id: 16, blockElements: 256, blockBytes: 66 },
  iq2_xs: { id: 17, blockElements: 256, blockBytes: 74 },
  iq3_xxs: { id: 18, blockElements: 256, blockBytes: 98 },
  iq1_s: { id: 19, blockElements: 256, blockBytes: 50 },
  iq4_nl: { id: 20, blockElements: 32, blockBytes: 18 },
  iq3_s: { id: 21, blockElements: 256, blockBytes: 110 },
  iq2_s: { id: 22, blockElements: 256, blockBytes: 82 },
  iq4_xs: { id: 23, blockElements: 256, blockBytes: 136 },
  i8: { id: 24, blockElements: 1, blockBytes: 1 },
  i16: { id: 25, blockElements: 1, blockBytes: 2 },
  i32: { id: 26, blockElements: 1, blockBytes: 4 },
  i64: { id: 27, blockElements: 1, blockBytes: 8 },
  f64: { id: 28, blockElements: 1, blockBytes: 8 },
  iq1_m: { id: 29, blockElements: 256, blockBytes: 56 },
  bf16: { id: 30, blockElements: 1, blockBytes: 2 },
  tq1_0: { id: 34, blockElements: 256, blockBytes: 54 },
  tq2_0: { id: 35, blockElements: 256, blockBytes: 66 },
  mxfp4: { id: 39, blockElements: 32, blockBytes: 17 },
  nvfp4: { id: 40, blockElements: 64, blockBytes: 36 },
  q1_0: { id: 41, blockElements: 128, blockBytes: 18 },
  q2_0: { id: 42, blockElements: 64, blockBytes: 18 },
} as const satisfies Record<string, QuantTypeRow>

/** Name of a tensor type, as users type it, lower case. */
export type QuantType = keyof typeof QUANT_TYPES

export function isQuantType(name: string): name is QuantType {
  return Object.hasOwn(QUANT_TYPES, name)
}

/** Bytes of `elements` elements, which must be whole blocks. */
export function quantBytes(type: QuantType, elements: number): number {
  const { blockElements, blockBytes } = QUANT_TYPES[type]
  return (elements / blockElements) * blockBytes
}

/** Types whose elements come in blocks with a scale; the others are plain numbers. */
export type BlockType = Exclude<QuantType, 'f32' | 'f16' | 'bf16' | 'f64' | 'i8' | 'i16' | 'i32' | 'i64'>

export function isBlockType(name: string): name is BlockType {
  return isQuantType(name) && QUANT_TYPES[name].blockElements > 1
}
