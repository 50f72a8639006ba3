/**
 * How the elements of a stored tensor are written, whatever the file: plain numbers by the names of safetensors (`BF16`),
 * blocks by those of GGUF (`q4_k`), so that both kinds of model meet the same programs.
 */
import { DTYPES, isDtype, type Dtype } from './dtypes.js'
import { isBlockType, quantBytes, QUANT_TYPES, type BlockType, type QuantType } from './quant-types.js'

export type StoredType = Dtype | BlockType

const PLAIN = { f32: 'F32', f16: 'F16', bf16: 'BF16', f64: 'F64', i8: 'I8', i16: 'I16', i32: 'I32', i64: 'I64' } as const satisfies Record<
  Exclude<QuantType, BlockType>,
  Dtype
>
const BY_DTYPE: ReadonlyMap<string, QuantType> = new Map(Object.entries(PLAIN).map(([type, dtype]) => [dtype, type as QuantType]))

/** The stored type of a GGUF tensor. */
export function fromQuantType(type: QuantType): StoredType {
  return isBlockType(type) ? type : PLAIN[type]
}

/** The GGUF type of a stored tensor, or undefined for those that GGUF does not have. */
export function toQuantType(type: StoredType): QuantType | undefined {
  return isBlockType(type) ? type : BY_DTYPE.get(type)
}

/** Bytes of `elements` elements: whole blocks for block types. */
export function storedBytes(type: StoredType, elements: number): number {
  return isDtype(type) ? (elements * DTYPES[type].bits) / 8 : quantBytes(type, elements)
}

/** Elements of a block; 1 for plain numbers. */
export function blockElements(type: StoredType): number {
  return isDtype(type) ? 1 : QUANT_TYPES[type].blockElements
}
