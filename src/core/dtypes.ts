/**
 * Element types of checkpoint tensors, by the names safetensors gives them.
 *
 * Law: huggingface/safetensors tensor.rs `Dtype` (0.8). The order of the rows is that enum's, which the writer sorts by.
 */

interface DtypeRow {
  /** Size of one element in bits: F4 is 4, F6 is 6. */
  readonly bits: number
  /** What a number of this type is: only `float` types can be merged or converted; the others are copied. */
  readonly kind: 'float' | 'integer' | 'boolean' | 'complex' | 'scale'
}

export const DTYPES = {
  BOOL: { bits: 8, kind: 'boolean' },
  F4: { bits: 4, kind: 'float' },
  F6_E2M3: { bits: 6, kind: 'float' },
  F6_E3M2: { bits: 6, kind: 'float' },
  U8: { bits: 8, kind: 'integer' },
  I8: { bits: 8, kind: 'integer' },
  F8_E5M2: { bits: 8, kind: 'float' },
  F8_E4M3: { bits: 8, kind: 'float' },
  F8_E8M0: { bits: 8, kind: 'scale' },
  F8_E4M3FNUZ: { bits: 8, kind: 'float' },
  F8_E5M2FNUZ: { bits: 8, kind: 'float' },
  I16: { bits: 16, kind: 'integer' },
  U16: { bits: 16, kind: 'integer' },
  F16: { bits: 16, kind: 'float' },
  BF16: { bits: 16, kind: 'float' },
  I32: { bits: 32, kind: 'integer' },
  U32: { bits: 32, kind: 'integer' },
  F32: { bits: 32, kind: 'float' },
  C64: { bits: 64, kind: 'complex' },
  F64: { bits: 64, kind: 'float' },
  I64: { bits: 64, kind: 'integer' },
  U64: { bits: 64, kind: 'integer' },
} as const satisfies Record<string, DtypeRow>

/** Name of an element type. */
export type Dtype = keyof typeof DTYPES

/** The types that a row program reads as f32 without loss of a bit, and that a merged model may have. */
export type PlainFloat = 'F32' | 'F16' | 'BF16'

export function isDtype(name: string): name is Dtype {
  return Object.hasOwn(DTYPES, name)
}

export function isPlainFloat(dtype: string): dtype is PlainFloat {
  return dtype === 'F32' || dtype === 'F16' || dtype === 'BF16'
}

/** Bytes of one element; for types of whole bytes only. */
export function elementBytes(dtype: Dtype): number {
  return DTYPES[dtype].bits / 8
}
