/**
 * What sentence-transformers does after the model: the modules that `modules.json` of a model folder points to, and how they make one vector of those of all
 * tokens.
 *
 * Law: conversion/base.py `_try_set_pooling_type` (llama.cpp 0c1e570); sentence-transformers' `SentenceTransformer.save`.
 */
import { readAll, type Folder } from '../core/bytes.js'
import { FormatError } from '../core/errors.js'
import { isArray, isObject, parseJson, parseJsonObject, textOr } from '../core/json.js'
import type { SideFile } from './plan.js'

const MOST_BYTES = 1_048_576
const MODULES = 'modules.json'

/** Folders of modules, as they are called in a model's folder. */
const OWN_FOLDER = /^[\w-]+(?:\/[\w-]+)*$/
/** What modules are saved as. */
const MODULE_FILES = ['config.json', 'model.safetensors', 'pytorch_model.bin']

/** Switches of the module's config, as older versions write them, and what they mean. */
const SWITCHES = [
  ['pooling_mode_mean_tokens', 'mean'],
  ['pooling_mode_cls_token', 'cls'],
  ['pooling_mode_lasttoken', 'lasttoken'],
] as const

/**
 * @returns what the model's pooling is called: `mean`, `cls`, `lasttoken`, or another that sentence-transformers knows; undefined where the folder has no such module
 * @throws FormatError for files that are something else
 */
export async function sentencePooling(folder: Folder): Promise<string | undefined> {
  const pooling = (await modulesOf(folder)).find(({ type }) => type.endsWith('Pooling'))
  if (pooling === undefined) return undefined
  const file = pooling.path === '' ? 'config.json' : `${pooling.path}/config.json`
  const config = parseJsonObject(await readAll(await folder.open(file), MOST_BYTES), file)
  const [switched] = SWITCHES.filter(([key]) => config.get(key) === true)
  return switched?.[1] ?? textOr(config.get('pooling_mode'), 'none of mean, cls, lasttoken')
}

/** The files of modules that lie in folders of their own: without them, a copy of the model would make other vectors, or none. @throws FormatError */
export async function sentenceModuleFiles(folder: Folder): Promise<SideFile[]> {
  const files: SideFile[] = []
  for (const path of new Set((await modulesOf(folder)).map((one) => one.path))) {
    const names = !OWN_FOLDER.test(path) ? [] : MODULE_FILES.map((file) => `${path}/${file}`).filter((name) => folder.has(name))
    for (const name of names) files.push({ name, stage: 'before', content: { kind: 'copy', source: (await folder.open(name)).descriptor } })
  }
  return files
}

/** In order; none where the folder is of a model alone. */
async function modulesOf(folder: Folder): Promise<{ type: string; path: string }[]> {
  if (!folder.has(MODULES)) return []
  const modules = parseJson(await readAll(await folder.open(MODULES), MOST_BYTES), MODULES)
  if (!isArray(modules)) throw new FormatError('is no array of modules.', { file: MODULES })
  return modules.flatMap((module) =>
    isObject(module) ? [{ type: textOr(module.get('type'), ''), path: textOr(module.get('path'), '').replace(/\/$/, '') }] : [],
  )
}
