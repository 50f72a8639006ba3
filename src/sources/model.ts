/**
 * Opens what the user named as a base model: a Hugging Face folder, or one file of safetensors or PyTorch weights. Headers and config.json
 * are read and checked, weights are not touched.
 */
import { basename, resolve } from 'node:path'
import { readAll, type Folder } from '../core/bytes.js'
import { FileSystemError, nameList } from '../core/errors.js'
import { parseJsonObject, type JsonObject } from '../core/json.js'
import type { Model } from '../core/model.js'
import type { TensorInfo } from '../core/tensor-info.js'
import { componentName, isComponent, openComponentShards } from './component.js'
import { openFile, openFolder, pathKind, shownPath, type LocalFolder } from './files.js'
import { fileKind, notABase, notAModel } from './recognize.js'
import { openLitGptShards, openShards, readSafetensors, readTorch, type OpenedShard } from './shards.js'

/** Largest config.json seen: 1.5 MB (per-layer quantization tables). */
export const MAX_CONFIG_BYTES = 32_000_000

/** Files whose loss would change what the model means; links of the Hugging Face cache that lead nowhere are an unfinished download. */
const NEEDED = /\.(?:json|safetensors|model|jinja|txt)$/

/**
 * Opens a model folder or a .safetensors, .bin, .pt or .pth file.
 * @throws FormatError, UnsupportedError (GGUF), FileSystemError
 */
export async function openModel(path: string, options: OpenModelOptions = {}): Promise<Model> {
  return (await pathKind(path)) === 'folder' ? openModelFolder(await openFolder(path), options) : openModelFile(path)
}

export interface OpenModelOptions {
  /** Of a folder that holds a model of Hugging Face and its LitGPT checkpoint, take the latter. */
  readonly prefersLitGpt?: boolean
}

/** Opens a folder as a model. @throws FormatError when it is an adapter or holds no weights */
export async function openModelFolder(folder: LocalFolder, { prefersLitGpt = false }: OpenModelOptions = {}): Promise<Model> {
  const broken = folder.brokenLinks.filter((name) => NEEDED.test(name))
  if (broken.length > 0) throw new FileSystemError(`${nameList(broken)} is a link that leads to no file: is the download complete?`, { file: folder.label })
  const config = await readConfig(folder)
  const part = (await isComponent(folder, config)) ? await openComponentShards(folder) : undefined
  const preferred = prefersLitGpt ? await openLitGptShards(folder) : undefined
  const huggingFace = part?.shards ?? (preferred === undefined ? await openShards(folder) : undefined)
  const litgpt = preferred ?? (huggingFace === undefined ? await openLitGptShards(folder) : undefined)
  const shards = huggingFace ?? litgpt
  if (shards === undefined) throw notAModel(folder)
  const model: Model = { label: folder.label, identity: folder.baseName, folder, config, tensors: tensorsByName(shards), shards }
  if (part !== undefined) return { ...model, component: { name: componentName(folder, config), weightNames: part.weightNames } }
  return litgpt === undefined ? model : { ...model, litgpt: true }
}

/** config.json of a folder, or undefined when it has none. @throws FormatError */
export async function readConfig(folder: Folder): Promise<JsonObject | undefined> {
  if (!folder.has('config.json')) return undefined
  const source = await folder.open('config.json')
  return parseJsonObject(await readAll(source, MAX_CONFIG_BYTES), source.name, { infinity: true })
}

async function openModelFile(path: string): Promise<Model> {
  const source = await openFile(path)
  const kind = await fileKind(source)
  const fault = notABase(source, kind)
  if (fault !== undefined) throw fault
  const { tensors, metadata } = await (kind === 'torch' ? readTorch(source) : readSafetensors(source))
  const shard = { fileName: basename(resolve(path)), tensors, tensorNames: tensors.map(({ name }) => name), metadata }
  const identity = shard.fileName.replace(/\.(?:safetensors|bin|pt|pth|ckpt)$/i, '')
  return { label: shownPath(path), identity, folder: undefined, config: undefined, tensors: tensorsByName([shard]), shards: [shard] }
}

function tensorsByName(shards: readonly OpenedShard[]): ReadonlyMap<string, TensorInfo> {
  return new Map(shards.flatMap(({ tensors }) => tensors.map((tensor) => [tensor.name, tensor] as const)))
}
