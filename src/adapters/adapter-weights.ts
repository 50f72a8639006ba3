/** The one file of tensors of an adapter: which it is in a folder, and what it holds. */
import type { ByteSource } from '../core/bytes.js'
import { MismatchError, nameList } from '../core/errors.js'
import type { TensorInfo } from '../core/tensor-info.js'
import { readHeader } from '../formats/safetensors/header.js'
import { modelTensors, readCheckpoint } from '../formats/torch/checkpoint.js'
import type { AdapterFolder } from './adapter-file.js'
import { isTrainingFile, isWholeModel } from './training-folder.js'

/** A file of tensors, headers only. */
export interface AdapterWeights {
  readonly source: ByteSource
  readonly tensors: readonly TensorInfo[]
  /** `__metadata__` of safetensors. */
  readonly metadata: ReadonlyMap<string, string>
}

/** What diffusers calls its adapters. */
const DIFFUSERS_NAMES = ['pytorch_lora_weights.safetensors', 'pytorch_lora_weights.bin']

/** By the file's name: safetensors has no magic of its own. @throws FormatError, UnsupportedError */
export async function readAdapterWeights(folder: AdapterFolder, name: string): Promise<AdapterWeights> {
  const source = await folder.open(name)
  if (isTorchFile(name)) return { source, tensors: modelTensors(await readCheckpoint(source)), metadata: new Map() }
  const { tensors, metadata } = await readHeader(source)
  return { source, tensors, metadata }
}

/** Whether a file is a PyTorch checkpoint, by its name. */
export function isTorchFile(name: string): boolean {
  return /\.(?:bin|pt|pth|ckpt)$/i.test(name)
}

/**
 * The weights of a folder that has no config to say which they are: what diffusers calls them, else the only safetensors file.
 * @throws MismatchError when there are several
 */
export function onlyWeights(folder: AdapterFolder): string | undefined {
  const known = DIFFUSERS_NAMES.find((name) => folder.has(name))
  if (known !== undefined || isWholeModel(folder)) return known
  const names = folder.entries.map(({ name }) => name).filter((name) => name.endsWith('.safetensors') && !isTrainingFile(name))
  if (names.length > 1) throw new MismatchError(`holds several files that may be adapters, ${nameList(names)}: name the file itself.`, { file: folder.label })
  return names[0]
}
