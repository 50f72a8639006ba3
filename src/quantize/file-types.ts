/**
 * What users type as --outtype, and what it means: `general.file_type`, the name in file names, and the type that a
 * tensor gets.
 *
 * Law: llama.h `enum llama_ftype`; conversion/base.py `prepare_tensors` for the converter's own types.
 */
import type { EncodedType } from '../core/arithmetic.js'
import { QUANT_TYPES } from '../core/quant-types.js'

interface FileTypeRow {
  /** Value of `general.file_type`. */
  readonly id: number
  /** As it stands in default file names. */
  readonly name: string
  /** Type of the tensors that do not stay f32. */
  readonly type: EncodedType
}

export const FILE_TYPES = {
  f32: { id: 0, name: 'F32', type: 'f32' },
  f16: { id: 1, name: 'F16', type: 'f16' },
  bf16: { id: 32, name: 'BF16', type: 'bf16' },
  q8_0: { id: 7, name: 'Q8_0', type: 'q8_0' },
} as const satisfies Record<string, FileTypeRow>

/** A file type that can be written. */
export type FileType = keyof typeof FILE_TYPES

/** Other spellings that people use. */
export const TYPE_ALIASES: ReadonlyMap<string, string> = new Map([
  ['fp16', 'f16'],
  ['float16', 'f16'],
  ['half', 'f16'],
  ['fp32', 'f32'],
  ['float32', 'f32'],
  ['bfloat16', 'bf16'],
  ['q8', 'q8_0'],
])

/** A type name in our spelling: lower case, aliases resolved; not checked. */
export function normalTypeName(typed: string): string {
  const lower = typed.toLowerCase()
  return TYPE_ALIASES.get(lower) ?? lower
}

export function isFileType(name: string): name is FileType {
  return Object.hasOwn(FILE_TYPES, name)
}

/**
 * The type of one tensor in a file of the given type.
 * @param staysF32  the converter's rule by kind and shape: norms, biases, routers …
 * @param cols      elements of a row; rows that are no whole number of blocks fall back to f16
 */
export function tensorType(fileType: FileType, staysF32: boolean, cols: number): EncodedType {
  if (staysF32) return 'f32'
  const { type } = FILE_TYPES[fileType]
  return cols % QUANT_TYPES[type].blockElements === 0 ? type : 'f16'
}
