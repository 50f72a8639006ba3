/**
 * The folder of a diffusion pipeline: model_index.json, and a folder for each of its models. What is listed here is everything
 * that belongs to it; the models themselves are opened when they are asked for.
 *
 *   model_index.json   { "_class_name": …, "unet": ["diffusers", "UNet2DConditionModel"], "safety_checker": [null, null], … }
 *   unet/  text_encoder/  vae/  tokenizer/  scheduler/ …
 *
 * Law: diffusers 0.42 pipelines/pipeline_utils.py `save_pretrained`, `from_pretrained`.
 */
import { join } from 'node:path'
import { readAll, type ByteSource } from '../core/bytes.js'
import { FileSystemError, FormatError, nameList } from '../core/errors.js'
import { isArray, parseJsonObject } from '../core/json.js'
import type { Model } from '../core/model.js'
import { PIPELINE_INDEX } from './component.js'
import { openFolder, pathKind, type LocalFolder } from './files.js'
import { MAX_CONFIG_BYTES, openModelFolder } from './model.js'

/** A file of a pipeline that is no part of a merged model. */
export interface PipelineFile {
  /** Relative to the pipeline's folder, `/` between levels. */
  readonly name: string
  readonly open: () => Promise<ByteSource>
}

export interface Pipeline {
  /** As the user named it. */
  readonly label: string
  readonly folder: LocalFolder
  /** Names of the models that its index has and whose folders are there, in its order. */
  readonly components: readonly string[]
  /** Opens one of them. @throws FormatError, FileSystemError */
  open(component: string): Promise<Model>
  /** Files directly in the folder, in code-point order. */
  readonly rootFiles: readonly PipelineFile[]
  /** All files of a subfolder, at any depth. */
  filesOf(folder: string): Promise<readonly PipelineFile[]>
  /** Names of all subfolders, hidden ones left out. */
  readonly folders: readonly string[]
}

const MOST_DEPTH = 8 // deepest seen: 2

/** Whether a path is the folder of a pipeline. */
export async function isPipeline(path: string): Promise<boolean> {
  return (await pathKind(path)) === 'folder' && (await openFolder(path)).has(PIPELINE_INDEX)
}

/** Lists a pipeline. @throws FormatError, FileSystemError */
export async function openPipeline(path: string): Promise<Pipeline> {
  const folder = await openFolder(path)
  const source = await folder.open(PIPELINE_INDEX)
  const index = parseJsonObject(await readAll(source, MAX_CONFIG_BYTES), source.name)
  const folders = folder.folders.filter((name) => !name.startsWith('.'))
  const named = [...index].flatMap(([name, value]) => (isArray(value) && typeof value[0] === 'string' ? [name] : []))
  const missing = named.filter((name) => !folders.includes(name))
  if (missing.length > 0) throw new FileSystemError(`names ${nameList(missing)}, of which there is no folder: is the download complete?`, { file: source.name })
  if (folder.brokenLinks.length > 0)
    throw new FileSystemError(`${nameList(folder.brokenLinks)} is a link that leads to no file: is the download complete?`, { file: folder.label })
  return {
    label: folder.label,
    folder,
    components: named,
    folders,
    open: async (component) => openModelFolder(await openFolder(join(path, component))),
    rootFiles: folder.entries.filter(({ name }) => !name.includes('/')).map(({ name }) => ({ name, open: () => folder.open(name) })),
    filesOf: async (name) => listAll(await openFolder(join(path, name)), name),
  }
}

async function listAll(top: LocalFolder, topName: string): Promise<readonly PipelineFile[]> {
  const files: PipelineFile[] = []
  const waiting = [{ folder: top, name: topName, depth: 1 }]
  for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
    const { folder, name, depth } = next
    if (depth > MOST_DEPTH) throw new FormatError(`has folders more than ${MOST_DEPTH} levels deep: is a link leading in a circle?`, { file: folder.label })
    if (folder.brokenLinks.length > 0)
      throw new FileSystemError(`${nameList(folder.brokenLinks)} is a link that leads to no file: is the download complete?`, { file: folder.label })
    for (const entry of folder.entries) if (!entry.name.includes('/')) files.push({ name: `${name}/${entry.name}`, open: () => folder.open(entry.name) })
    for (const sub of folder.folders)
      if (!sub.startsWith('.')) waiting.push({ folder: await openFolder(join(folder.path, sub)), name: `${name}/${sub}`, depth: depth + 1 })
  }
  return files.sort((a, b) => (a.name < b.name ? -1 : 1))
}
