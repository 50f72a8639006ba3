/** What stands where the outputs will go: refuses to write over inputs, over the user's files, or onto a full disk. */
import { existsSync, readdirSync, readFileSync, realpathSync, statfsSync, statSync, type Stats } from 'node:fs'
import { dirname, resolve } from 'node:path'
import { FileSystemError, nameList, UsageError } from '../core/errors.js'
import { isArray, isObject, parseJsonObject } from '../core/json.js'
import { inputsOf, outputBytes, type Plan, type SideFile } from '../plan/plan.js'
import { errorCode, fileSystemError } from '../core/file-errors.js'
import { inflatedBytes } from './members.js'
import { findStaleRuns, isTemporary } from './stale-runs.js'

const WEIGHT_FILE = /\.(?:safetensors|bin|pt|pth|gguf)$|\.index\.json$/

/** Every file that a plan will write, relative to its root, in order of publication. */
export function outputNames(plan: Plan): string[] {
  const side = (stage: SideFile['stage']): string[] => plan.sideFiles.filter((file) => file.stage === stage).map(({ name }) => name)
  return [...side('before'), ...plan.files.map(({ name }) => name), ...side('after'), ...(plan.receipt === undefined ? [] : [plan.receipt]), ...side('last')]
}

/** Space that a plan needs and that its disk has, in bytes. */
export function diskSpace(plan: Plan): { needed: number; free: number } {
  let folder = resolve(plan.root)
  while (!existsSync(folder) && dirname(folder) !== folder) folder = dirname(folder)
  const { bavail, bsize } = statfsSync(folder)
  return { needed: outputBytes(plan) + inflatedBytes(plan), free: bavail * bsize }
}

/**
 * Checks before anything is written.
 * @returns files of an older output of ours that would stay beside the new weights and be taken for part of them
 * @throws UsageError when an output is an input; FileSystemError when something is in the way or the disk is too full
 */
export function checkOutputs(plan: Plan, force: boolean): string[] {
  refuseInputs(plan)
  const stale = plan.kind === 'folder' ? checkFolder(plan, force) : checkFiles(plan, force)
  const { needed, free } = diskSpace(plan)
  if (needed > free)
    throw new FileSystemError(`no space left on the device: ${needed} bytes are needed, ${free} are free (ENOSPC). Nothing was written.`, { file: plan.target })
  return stale
}

function refuseInputs(plan: Plan): void {
  const root = realPath(plan.root)
  if (plan.kind === 'folder') {
    for (const input of [plan.base, ...plan.adapters.map(({ label }) => label)]) {
      if (realPath(input) === root)
        throw new UsageError(`the output is an input (${input}); inputs are never written to. Name another OUT.`, { file: plan.root })
    }
  }
  const inputs = new Set(inputsOf(plan).flatMap((source) => (source.kind === 'file' ? [fileIdentity(source.path)] : [])))
  for (const name of outputNames(plan)) {
    const path = resolve(plan.root, name)
    if (existsSync(path) && inputs.has(fileIdentity(path)))
      throw new UsageError('the output is an input; inputs are never written to. Name another output.', { file: name })
  }
}

function checkFolder(plan: Plan, force: boolean): string[] {
  const others = existsSync(plan.root) ? checkContents(plan, force) : []
  refuseExisting(plan, force, new Set())
  return others
}

/** What is in the folder already. @returns weight files of older outputs of ours */
function checkContents(plan: Plan, force: boolean): string[] {
  if (!statSync(plan.root).isDirectory()) throw new FileSystemError('is a file, but the output is a folder. Name another OUT.', { file: plan.root })
  const names = outputNames(plan)
  const stale = findStaleRuns(plan.root, names)
  const all = list(plan.root).filter((name) => !isTemporary(name))
  const entries = all.filter((name) => !stale.published.has(name))
  if (entries.includes('adapter_config.json'))
    throw new UsageError('is an adapter, not an output: is OUT missing at the end of the command?', { file: plan.root })
  if (entries.length > 0 && !force)
    throw new FileSystemError(`is not empty (${nameList(entries, 3)}). Name a new folder, or --force to write into it.`, { file: plan.root })
  const others = all.filter((name) => WEIGHT_FILE.test(name) && !names.includes(name))
  const older = new Set([...olderOutputs(plan), ...stale.published, ...stale.outdated])
  const foreign = others.filter((name) => !older.has(name))
  if (foreign.length > 0) {
    throw new FileSystemError(`holds ${nameList(foreign, 3)}, which would be taken for part of the new model. Remove it, or name another folder.`, {
      file: plan.root,
    })
  }
  return others
}

/** Weight files that the receipt in the folder says we wrote there, and their index. */
function olderOutputs(plan: Plan): Set<string> {
  const names = new Set<string>()
  if (plan.receipt === undefined) return names
  try {
    const outputs = parseJsonObject(readFileSync(resolve(plan.root, plan.receipt)), plan.receipt).get('outputs')
    for (const output of isArray(outputs) ? outputs : []) {
      const name = isObject(output) ? output.get('name') : undefined
      if (typeof name === 'string') names.add(name)
    }
    names.add('model.safetensors.index.json')
  } catch {
    // no receipt, or not one of ours: then nothing in the folder is known to be ours
  }
  return names
}

function checkFiles(plan: Plan, force: boolean): string[] {
  const replaceable = plan.sideFiles.filter(({ replaces }) => replaces === true).map(({ name }) => name)
  refuseExisting(plan, force, new Set([...replaceable, ...plan.files.map(({ name }) => `${name}.receipt.json`)]))
  return []
}

/** Files that are there already, and folders where files will go. @param replaceable  names that need no --force */
function refuseExisting(plan: Plan, force: boolean, replaceable: ReadonlySet<string>): void {
  const names = outputNames(plan)
  const { published } = findStaleRuns(plan.root, names)
  for (const name of names) {
    const path = resolve(plan.root, name)
    const folder = lookAt(dirname(path))
    if (folder !== undefined && !folder.isDirectory()) throw new FileSystemError('is a file where a folder is wanted.', { file: dirname(path) })
    const found = lookAt(path)
    if (found === undefined) continue
    if (found.isDirectory()) throw new FileSystemError('is a folder, but a file is to be written there.', { file: name })
    if (!force && !published.has(name) && !replaceable.has(name))
      throw new FileSystemError('is there already. Name another output, or --force to replace it.', { file: name })
  }
}

/** What stands at a path, or undefined where nothing does. */
function lookAt(path: string): Stats | undefined {
  try {
    return statSync(path)
  } catch (error) {
    if (['ENOENT', 'ENOTDIR'].includes(errorCode(error) ?? '')) return undefined
    throw fileSystemError(error, path, 'looked at')
  }
}

function list(folder: string): string[] {
  try {
    return readdirSync(folder)
  } catch (error) {
    throw fileSystemError(error, folder, 'listed')
  }
}

function realPath(path: string): string {
  try {
    return realpathSync(path)
  } catch {
    return resolve(path)
  }
}

/** Same file, whatever its name: device and inode, which hard links and symbolic links share. */
function fileIdentity(path: string): string {
  try {
    const { dev, ino } = statSync(path, { bigint: true })
    return `${dev}:${ino}`
  } catch {
    return path
  }
}
