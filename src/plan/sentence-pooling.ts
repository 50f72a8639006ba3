/**
 * How sentence-transformers makes one vector of those of all tokens: what `modules.json` of a model folder points to.
 *
 * Law: conversion/base.py `_try_set_pooling_type` (llama.cpp 0c1e570).
 */
import { readAll, type Folder } from '../core/bytes.js'
import { FormatError } from '../core/errors.js'
import { isArray, isObject, parseJson, parseJsonObject, textOr, type Json } from '../core/json.js'

const MOST_BYTES = 1_048_576
const MODULES = 'modules.json'

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
  if (!folder.has(MODULES)) return undefined
  const modules = parseJson(await readAll(await folder.open(MODULES), MOST_BYTES), MODULES)
  if (!isArray(modules)) throw new FormatError('is no array of modules.', { file: MODULES })
  const path = modules.map(poolingPath).find((one) => one !== undefined)
  if (path === undefined) return undefined
  const file = path === '' ? 'config.json' : `${path}/config.json`
  const config = parseJsonObject(await readAll(await folder.open(file), MOST_BYTES), file)
  const [switched] = SWITCHES.filter(([key]) => config.get(key) === true)
  return switched?.[1] ?? textOr(config.get('pooling_mode'), 'none of mean, cls, lasttoken')
}

function poolingPath(module: Json): string | undefined {
  if (!isObject(module) || !textOr(module.get('type'), '').endsWith('Pooling')) return undefined
  return textOr(module.get('path'), '').replace(/\/$/, '')
}
