/**
 * Compares what golden makers made with what the golden set holds, file by file: tensors by their values, JSON by its keys,
 * everything else by its bytes. Run after the build.
 *
 * A change is { where, what }: a file, and what differs in it. Weights that stand in files of other names (other shards, another format)
 * are compared all the same, as one set per folder.
 */
import { existsSync, readFileSync } from 'node:fs'
import { join, posix, relative, sep } from 'node:path'
import { filesUnder } from '../setup.mjs'
import { jsonChanges, parsePythonJson } from './compare-json.mjs'
import { isWeights, readWeights, weightsChanges } from './compare-tensors.mjs'

/** Keys that name the tools that wrote a file: a line about the version says it already. */
export const VERSION_KEYS = new Set(['transformers_version', 'peft_version', 'torch_version', 'library_version'])

/** All changes between two folders. @param counts  whether a file counts, by its path in the folder */
export async function folderChanges(here, there, counts = () => true) {
  const [before, after] = [here, there].map((folder) => new Set(pathsIn(folder).filter(counts)))
  const changes = []
  for (const path of before)
    if (after.has(path)) changes.push(...(await fileChanges(join(here, path), join(there, path))).map((what) => ({ where: path, what })))
  const gone = [...before].filter((path) => !after.has(path))
  const added = [...after].filter((path) => !before.has(path))
  changes.push(...gone.map((where) => ({ where, what: 'is no longer made' })), ...added.map((where) => ({ where, what: 'is new' })))
  return [...changes, ...(await movedChanges({ here, gone, there, added }))]
}

/** What differs between two files of one name; one line each. */
export async function fileChanges(here, there) {
  const [a, b] = [readFileSync(here), readFileSync(there)]
  if (a.equals(b)) return []
  if (here.endsWith('.json')) return jsonFileChanges(a, b)
  if (!isWeights(here)) return ['other bytes']
  const [left, right] = [await attempt(here), await attempt(there)]
  if (left.error === undefined && right.error === undefined) return weightsChanges(left, right)
  if (left.error === undefined || right.error === undefined) return [`${left.error ?? 'readable'} here, ${right.error ?? 'readable'} there`]
  // Old-style pickles name their storages by addresses, so that files which we refuse on purpose are others at every run.
  return left.error === right.error && a.byteLength === b.byteLength ? [] : ['other bytes']
}

/** Weights of folders where the names of files changed: all that stand in gone ones with all that stand in new ones. */
async function movedChanges({ here, gone, there, added }) {
  const changes = []
  for (const folder of new Set(gone.filter(isWeights).map((path) => posix.dirname(path)))) {
    const inFolder = (path) => isWeights(path) && posix.dirname(path) === folder
    const [left, right] = [await union(here, gone.filter(inFolder)), await union(there, added.filter(inFolder))]
    if (left === undefined || right === undefined || right.tensors.size === 0) continue
    changes.push(...weightsChanges(left, right).map((what) => ({ where: folder, what })))
  }
  return changes
}

async function union(folder, paths) {
  const tensors = new Map()
  for (const path of paths) {
    const weights = await attempt(join(folder, path))
    if (weights.error !== undefined) return undefined
    for (const [name, tensor] of weights.tensors) tensors.set(name, tensor)
  }
  return { tensors, metadata: {} }
}

function jsonFileChanges(a, b) {
  try {
    const changes = jsonChanges(parsePythonJson(a.toString('utf8')), parsePythonJson(b.toString('utf8')), { ignored: VERSION_KEYS })
    return changes.map(({ path, what }) => `${path.length === 0 ? '' : `key ${path.join('.')}: `}${what}`)
  } catch {
    return ['other bytes']
  }
}

/** The tensors of a file, or why there are none. */
async function attempt(path) {
  try {
    return await readWeights(path)
  } catch (error) {
    return { error: String(error.message).replaceAll(path, 'the file') }
  }
}

function pathsIn(folder) {
  return existsSync(folder) ? filesUnder(folder).map((path) => relative(folder, path).split(sep).join('/')) : []
}
