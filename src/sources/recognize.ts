/**
 * What a file or folder is that cannot be opened as a model, and what its owner can do: people name adapters and GGUFs
 * where a model is wanted.
 */
import type { ByteSource, Folder } from '../core/bytes.js'
import { FormatError, nameList, UnsupportedError, type ToolkitError } from '../core/errors.js'
import { isPickle, isZip } from '../formats/safetensors/other-kinds.js'
import { INDEX_NAME } from '../formats/safetensors/shard-index.js'
import { TORCH_EXTENSION } from './torch-model.js'

/** The kinds of weights files that are told apart. `other` includes safetensors, which has no magic. */
export type FileKind = 'gguf' | 'torch' | 'json' | 'other'

/** Tells a file by its name where that says it, so that its reader says what is wrong with it; else by its first bytes. */
export async function fileKind(source: ByteSource): Promise<FileKind> {
  if (/\.safetensors$/i.test(source.name)) return 'other'
  if (/\.gguf$/i.test(source.name)) return 'gguf'
  if (TORCH_EXTENSION.test(source.name)) return 'torch'
  const head = new Uint8Array(Math.min(4, source.byteLength))
  await source.read(head, 0)
  const magic = String.fromCharCode(...head)
  if (magic === 'GGUF') return 'gguf'
  if (isZip(magic) || isPickle(magic)) return 'torch'
  return /\.json$/i.test(source.name) ? 'json' : 'other'
}

/** Why one file is no base model, or undefined when it may be one. */
export function notABase(source: ByteSource, kind: FileKind): ToolkitError | undefined {
  const place = { file: source.name }
  switch (kind) {
    case 'gguf':
      return new UnsupportedError('is a GGUF; as a base, a safetensors model is wanted. Use the Hugging Face folder that it was made from.', place)
    case 'json':
      return new FormatError('is a JSON file, not weights. Name the folder that holds the model.', place)
    case 'torch':
    case 'other':
      return undefined
  }
}

/** Why a folder without `model*.safetensors` or `pytorch_model*.bin` is no model. */
export function notAModel(folder: Folder): ToolkitError {
  const place = { file: folder.label }
  const names = folder.entries.map(({ name }) => name)
  const ending = (pattern: RegExp): readonly string[] => names.filter((name) => pattern.test(name))
  if (folder.has('adapter_config.json'))
    return new FormatError('is an adapter, not a base model: name the model it was trained on first, the adapter after it.', place)
  const gguf = ending(/\.gguf$/i)
  if (gguf.length > 0)
    return new UnsupportedError(`holds ${nameList(gguf)}; as a base, a safetensors model is wanted. Use the Hugging Face folder that it was made from.`, place)
  const others = [...ending(/\.safetensors$/i), ...ending(/^(?:consolidated.*|model.*)\.(?:bin|pt|pth|ckpt)$/i)]
  if (others.length > 0)
    return new FormatError(
      `holds ${nameList(others)}, but no model.safetensors, no ${INDEX_NAME} and no pytorch_model.bin; name the file itself, if it is the whole model.`,
      place,
    )
  const found = names.length === 0 ? 'is empty' : `holds no weights (found ${nameList(names)})`
  return new FormatError(`${found}: model.safetensors, or ${INDEX_NAME} and its files, are wanted.`, place)
}
