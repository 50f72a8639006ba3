/**
 * THE table of file types: what users type as --outtype, and what it means: `general.file_type`, the name in file names,
 * and the type that a matrix gets where no rule says otherwise (mixtures.ts has the rules).
 *
 * Law: llama.h `enum llama_ftype`, tools/quantize `QUANT_OPTIONS`, llama-quant.cpp `llama_ftype_get_default_type`;
 * conversion/base.py `prepare_tensors` for the converter's own types (llama.cpp 0c1e570).
 */
import { quoted, UnsupportedError, UsageError } from '../core/errors.js'
import { QUANT_TYPES, type QuantType } from '../core/quant-types.js'

interface FileTypeRow {
  /** Value of `general.file_type`. */
  readonly id: number
  /** As it stands in default file names. */
  readonly name: string
  /** Type of the matrices that no rule singles out. */
  readonly type: QuantType
  /**
   * Who makes such a file of a Hugging Face folder: convert_hf_to_gguf alone by its own rule ({@link converterType}), or
   * llama-quantize in a second step. Of a GGUF file all are llama-quantize's.
   */
  readonly by: 'converter' | 'llama-quantize'
}

/** Every file type that can be written, smallest matrix type last among its kin. */
// oxfmt-ignore
export const ALL_FILE_TYPES = {
  f32: { id: 0, name: 'F32', type: 'f32', by: 'converter' },
  f16: { id: 1, name: 'F16', type: 'f16', by: 'converter' },
  bf16: { id: 32, name: 'BF16', type: 'bf16', by: 'converter' },
  q8_0: { id: 7, name: 'Q8_0', type: 'q8_0', by: 'converter' },
  q6_k: { id: 18, name: 'Q6_K', type: 'q6_k', by: 'llama-quantize' },
  q5_k_m: { id: 17, name: 'Q5_K_M', type: 'q5_k', by: 'llama-quantize' },
  q5_k_s: { id: 16, name: 'Q5_K_S', type: 'q5_k', by: 'llama-quantize' },
  q5_1: { id: 9, name: 'Q5_1', type: 'q5_1', by: 'llama-quantize' },
  q5_0: { id: 8, name: 'Q5_0', type: 'q5_0', by: 'llama-quantize' },
  q4_k_m: { id: 15, name: 'Q4_K_M', type: 'q4_k', by: 'llama-quantize' },
  q4_k_s: { id: 14, name: 'Q4_K_S', type: 'q4_k', by: 'llama-quantize' },
  q4_1: { id: 3, name: 'Q4_1', type: 'q4_1', by: 'llama-quantize' },
  q4_0: { id: 2, name: 'Q4_0', type: 'q4_0', by: 'llama-quantize' },
  iq4_nl: { id: 25, name: 'IQ4_NL', type: 'iq4_nl', by: 'llama-quantize' },
  iq4_xs: { id: 30, name: 'IQ4_XS', type: 'iq4_xs', by: 'llama-quantize' },
  mxfp4: { id: 38, name: 'MXFP4_MOE', type: 'mxfp4', by: 'llama-quantize' },
  q3_k_l: { id: 13, name: 'Q3_K_L', type: 'q3_k', by: 'llama-quantize' },
  q3_k_m: { id: 12, name: 'Q3_K_M', type: 'q3_k', by: 'llama-quantize' },
  q3_k_s: { id: 11, name: 'Q3_K_S', type: 'q3_k', by: 'llama-quantize' },
  q2_k: { id: 10, name: 'Q2_K', type: 'q2_k', by: 'llama-quantize' },
  q2_k_s: { id: 21, name: 'Q2_K_S', type: 'q2_k', by: 'llama-quantize' },
  tq2_0: { id: 37, name: 'TQ2_0', type: 'tq2_0', by: 'converter' },
  tq1_0: { id: 36, name: 'TQ1_0', type: 'tq1_0', by: 'converter' },
} as const satisfies Record<string, FileTypeRow>

/** A file type that can be written. */
export type AnyFileType = keyof typeof ALL_FILE_TYPES

/** Known, but there is no encoder: named in the error, with the supported type of the nearest size and quality. */
// oxfmt-ignore
export const UNSUPPORTED_FILE_TYPES = {
  iq3_m: { id: 27, name: 'IQ3_M', type: 'iq3_s', nearest: 'q3_k_m' },
  iq3_s: { id: 26, name: 'IQ3_S', type: 'iq3_s', nearest: 'q3_k_s' },
  iq3_xs: { id: 22, name: 'IQ3_XS', type: 'iq3_s', nearest: 'q3_k_s' },
  iq3_xxs: { id: 23, name: 'IQ3_XXS', type: 'iq3_xxs', nearest: 'q3_k_s' },
  iq2_m: { id: 29, name: 'IQ2_M', type: 'iq2_s', nearest: 'q2_k' },
  iq2_s: { id: 28, name: 'IQ2_S', type: 'iq2_xs', nearest: 'q2_k' },
  iq2_xs: { id: 20, name: 'IQ2_XS', type: 'iq2_xs', nearest: 'q2_k' },
  iq2_xxs: { id: 19, name: 'IQ2_XXS', type: 'iq2_xxs', nearest: 'q2_k' },
  iq1_m: { id: 31, name: 'IQ1_M', type: 'iq1_m', nearest: 'q2_k' },
  iq1_s: { id: 24, name: 'IQ1_S', type: 'iq1_s', nearest: 'q2_k' },
  q2_0: { id: 41, name: 'Q2_0', type: 'q2_0', nearest: 'q2_k' },
  q1_0: { id: 40, name: 'Q1_0', type: 'q1_0', nearest: 'q2_k' },
  nvfp4: { id: 39, name: 'NVFP4', type: 'nvfp4', nearest: 'q4_k_s' },
} as const satisfies Record<string, Omit<FileTypeRow, 'by'> & { readonly nearest: AnyFileType }>

/** Any file type that has a name, written here or not: the rules of mixtures.ts know them all. */
export type NamedFileType = AnyFileType | keyof typeof UNSUPPORTED_FILE_TYPES

/** Id, name and default type of any named file type. */
export function fileTypeRow(fileType: NamedFileType): Omit<FileTypeRow, 'by'> {
  return isAnyFileType(fileType) ? ALL_FILE_TYPES[fileType] : UNSUPPORTED_FILE_TYPES[fileType]
}

export function isAnyFileType(name: string): name is AnyFileType {
  return Object.hasOwn(ALL_FILE_TYPES, name)
}

export function isNamedFileType(name: string): name is NamedFileType {
  return isAnyFileType(name) || isUnsupported(name)
}

function isUnsupported(name: string): name is keyof typeof UNSUPPORTED_FILE_TYPES {
  return Object.hasOwn(UNSUPPORTED_FILE_TYPES, name)
}

/** Other spellings that people use. */
export const TYPE_ALIASES: ReadonlyMap<string, string> = new Map([
  ['fp16', 'f16'],
  ['float16', 'f16'],
  ['half', 'f16'],
  ['fp32', 'f32'],
  ['float32', 'f32'],
  ['bfloat16', 'bf16'],
  ['q8', 'q8_0'],
  ['q3_k', 'q3_k_m'],
  ['q4_k', 'q4_k_m'],
  ['q5_k', 'q5_k_m'],
  ['mxfp4_moe', 'mxfp4'],
])

/** A file type's name in our spelling: lower case, aliases resolved; not checked. */
export function normalTypeName(typed: string): string {
  const lower = typed.toLowerCase()
  return TYPE_ALIASES.get(lower) ?? lower
}

/**
 * A file type as a user typed it, in any case and spelling.
 * @param option  where it was typed, for messages: `--outtype`
 * @throws UnsupportedError for a type that llama.cpp has and we have not, UsageError for one that nobody has
 */
export function parseFileType(option: string, typed: string): AnyFileType {
  const name = normalTypeName(typed)
  if (isAnyFileType(name)) return name
  if (isUnsupported(name)) {
    const { name: shown, nearest } = UNSUPPORTED_FILE_TYPES[name]
    throw new UnsupportedError(`${option} ${shown}: this type cannot be written here; the nearest that can is ${nearest}.`)
  }
  throw new UsageError(`${option} takes auto, ${Object.keys(ALL_FILE_TYPES).join(', ')}, not ${quoted(typed)}.`)
}

/** The file types that the converter makes by itself. */
export type ConverterFileType = { [F in AnyFileType]: (typeof ALL_FILE_TYPES)[F]['by'] extends 'converter' ? F : never }[AnyFileType]

export function isConverterFileType(fileType: AnyFileType): fileType is ConverterFileType {
  return ALL_FILE_TYPES[fileType].by === 'converter'
}

/** What the converter leaves f16 in a ternary file: embeddings, head, and Gemma 3n's small matrices. */
const TERNARY_F16 = /^(?:token_embd|per_layer_token_embd|output|blk\.\d+\.(?:altup_router|laurel_[lr]))\.weight$/

/**
 * The converter's own rule for the type of one tensor.
 * @param staysF32  its rule by kind and shape: norms, biases, routers …
 * @param cols      elements of a row; rows that are no whole number of blocks fall back to f16
 * @param name      in GGUF
 */
export function converterType(fileType: ConverterFileType, staysF32: boolean, cols: number, name: string): (typeof ALL_FILE_TYPES)[ConverterFileType]['type'] {
  if (staysF32) return 'f32'
  const { type } = ALL_FILE_TYPES[fileType]
  if ((type === 'tq1_0' || type === 'tq2_0') && TERNARY_F16.test(name)) return 'f16'
  return cols % QUANT_TYPES[type].blockElements === 0 ? type : 'f16'
}
