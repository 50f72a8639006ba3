/** File types that file names state: `model-f16.gguf` asked for with --outtype q8_0 is a file whose name lies. */
import { ALL_FILE_TYPES, isNamedFileType, normalTypeName, type AnyFileType } from '../quantize/file-types.js'

const TYPE_NAME = 'f32|f16|bf16|i?q\\d(?:_[a-z0-9]+)+|tq\\d_\\d|mxfp4(?:_moe)?'
const STATED = new RegExp(`(?:^|[-_.])(${TYPE_NAME})(?=[-_.])`, 'i')
const AT_THE_END = new RegExp(`[-_.](?:${TYPE_NAME})$`, 'i')

/** A warning when a file's name states another type than it has. */
export function nameWarnings(fileName: string, fileType: AnyFileType): string[] {
  const stated = STATED.exec(fileName)?.[1]
  if (stated === undefined || !isNamedFileType(normalTypeName(stated)) || normalTypeName(stated) === fileType) return []
  return [`the name ${fileName} says ${stated}, but the type is ${ALL_FILE_TYPES[fileType].name.toLowerCase()}`]
}

/** `model-Q4_K_M` -> `model`. */
export function withoutTypeName(stem: string): string {
  return stem.replace(AT_THE_END, '')
}
