/**
 * What lies in the folders that trainers leave, apart from the adapter itself: checkpoints, whole models, value heads,
 * PiSSA's three versions. Here are the sentences that lead a user from the folder named to the one that is meant.
 *
 * Law: transformers Trainer (checkpoint-N), LLaMA-Factory (value_head.*, pissa_init, pissa_backup, pissa_converted).
 */
import { FileSystemError, nameList, quoted, UsageError, type ToolkitError } from '../core/errors.js'
import type { AdapterFolder } from './adapter-file.js'

const CONFIG = 'adapter_config.json'
const CHECKPOINT = /^checkpoint-(\d{1,12})$/
const WHOLE_WEIGHTS = /^(?:model|pytorch_model)(?:-\d+-of-\d+)?\.(?:safetensors|bin)(?:\.index\.json)?$/
const VALUE_HEAD = /^value_head\.(?:safetensors|bin)$/
const CONVERTED = 'pissa_converted'
const OF_A_TRAINING = /^(?:training_args|optimizer|scheduler|scaler|rng_state.*|value_head)\./

/** Whether a folder holds a model and not only changes to one. */
export function isWholeModel(folder: AdapterFolder): boolean {
  return folder.has('config.json') || hasWholeWeights(folder)
}

/** Whether a file is one that trainers keep for themselves: it may hold tensors, but is no adapter. */
export function isTrainingFile(name: string): boolean {
  return OF_A_TRAINING.test(name)
}

/** Why a folder without an adapter has none, and where one may be. */
export function noAdapter(folder: AdapterFolder): ToolkitError {
  const place = { file: folder.label }
  if (hasWholeWeights(folder)) return wholeModel(folder)
  const checkpoints = checkpointsOf(folder)
  const newest = checkpoints.at(-1)
  if (newest !== undefined) {
    const choice = checkpoints.length === 1 ? 'name that' : `name one of them; the newest is ${quoted(newest)}`
    return new FileSystemError(`holds no ${CONFIG} itself, but ${nameList(checkpoints, 8)}: ${choice}.`, place)
  }
  if (folder.folders?.includes(CONVERTED) === true)
    return new FileSystemError(`holds no ${CONFIG} itself, but ${quoted(CONVERTED)}, the adapter converted to plain LoRA: name that.`, place)
  if (isWholeModel(folder)) return wholeModel(folder)
  const found = folder.entries.length === 0 ? 'nothing' : nameList(folder.entries.map(({ name }) => name))
  return new FileSystemError(`holds no adapter: ${CONFIG} wanted, ${found} found.`, place)
}

/** What else than the adapter a training left beside it, one sentence each. */
export function trainingNotes(folder: AdapterFolder): string[] {
  const heads = folder.entries.map(({ name }) => name).filter((name) => VALUE_HEAD.test(name))
  return heads.map((name) => `${name} is the head that rewards were trained with; no text model has a place for it, so it is left out.`)
}

/** Where the same adapter lies as plain LoRA, when its initialisation has changed the base. */
export function convertedFolder({ folders = [] }: AdapterFolder): string | undefined {
  return folders.find((name) => name === CONVERTED)
}

function hasWholeWeights({ entries }: AdapterFolder): boolean {
  return entries.some(({ name }) => WHOLE_WEIGHTS.test(name))
}

/** Full and freeze tuning, LLaMA Pro, and merged models: what was trained is the model itself. */
function wholeModel({ label }: AdapterFolder): UsageError {
  return new UsageError(
    `this is a whole model (no ${CONFIG}), nothing to merge: run to-gguf on it. Is it meant as the base, the base comes first and the adapters after it.`,
    { file: label },
  )
}

/** Oldest first; where the host can look into them, only those that hold an adapter. */
function checkpointsOf(folder: AdapterFolder): string[] {
  const all = (folder.folders ?? [])
    .flatMap((name) => {
      const step = CHECKPOINT.exec(name)?.[1]
      return step === undefined ? [] : [{ name, step: Number(step) }]
    })
    .sort((a, b) => a.step - b.step)
    .map(({ name }) => name)
  const withAdapter = all.filter((name) => folder.has(`${name}/${CONFIG}`))
  return withAdapter.length > 0 ? withAdapter : all
}
