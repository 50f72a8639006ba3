/** `model-f16.gguf` asked for with --outtype q8_0: a file whose name lies. */
import { ALL_FILE_TYPES, isNamedFileType, normalTypeName, type AnyFileType } from '../quantize/file-types.js'

/** A warning when a file's name states another type than it has. */
export function nameWarnings(fileName: string, fileType: AnyFileType): string[] {
  const stated = /(?:^|[-_.])(f32|f16|bf16|i?q\d(?:_[a-z0-9]+)+|tq\d_\d|mxfp4(?:_moe)?)(?=[-_.])/i.exec(fileName)?.[1]
  if (stated === undefined || !isNamedFileType(normalTypeName(stated)) || normalTypeName(stated) === fileType) return []
  return [`the name ${fileName} says ${stated}, but the type is ${ALL_FILE_TYPES[fileType].name.toLowerCase()}`]
}
