/**
 * A PEFT adapter on disk (adapter_config.json + safetensors, or a PyTorch checkpoint) -> its modules, ranks and scales. Reads headers
 * only; peft-modules.ts makes modules of the tensors.
 *
 * Law: PEFT 0.21.2 utils/save_and_load.py.
 */
import { readAll, type ByteSource } from '../../core/bytes.js'
import { FileSystemError, MismatchError, nameList, quoted, UnsupportedError } from '../../core/errors.js'
import { parseJsonObject } from '../../core/json.js'
import { compilePattern, patternBudget, type CompiledPattern } from '../../core/safe-pattern.js'
import type { TensorInfo } from '../../core/tensor-info.js'
import { readHeader } from '../../formats/safetensors/header.js'
import { modelTensors, readCheckpoint } from '../../formats/torch/checkpoint.js'
import type { AdapterFile, AdapterFolder, AdapterModule, AdapterOptions, Fact } from '../adapter-file.js'
import { readPeftConfig, type PeftConfig } from './peft-config.js'
import { splitKey } from '../key-suffixes.js'
import { readModules } from './peft-modules.js'
import { peftTypeRow } from './peft-types.js'
import { firstElements } from './first-elements.js'
import { tinyLoraGroups } from './tinylora-groups.js'
import { convertedFolder, isTrainingFile, trainingNotes } from '../training-folder.js'

/** An opened PEFT adapter: what every format gives, and its config. */
export interface PeftAdapterFile extends AdapterFile {
  readonly config: PeftConfig
}

export const PEFT_CONFIG = 'adapter_config.json'
export const PEFT_WEIGHTS = 'adapter_model.safetensors'
const PEFT_TORCH_WEIGHTS = 'adapter_model.bin' // looked for second, as PEFT does
export const MAX_CONFIG_BYTES = 16 * 1024 * 1024 // largest seen: 1.4 MB (EVA ranks of every expert)

/**
 * Opens an adapter.
 * @param folder       holds adapter_config.json and the weights
 * @param weightsName  when the user named the weights file itself
 * @param options      what the files do not say
 * @throws FormatError, UnsupportedError, MismatchError naming field or tensor; FileSystemError when a file is missing
 */
export async function openPeftAdapter(folder: AdapterFolder, weightsName?: string, options: AdapterOptions = {}): Promise<PeftAdapterFile> {
  const configSource = await folder.open(PEFT_CONFIG)
  const config = readPeftConfig(parseJsonObject(await readAll(configSource, MAX_CONFIG_BYTES), configSource.name), configSource.name, {
    ...options,
    converted: convertedFolder(folder),
  })
  const name = weightsName ?? findWeights(folder)
  const source = await folder.open(name)
  const tensors = await readTensors(source)
  const modules = readModules(tensors, config, source.name, configSource.name, await sharedVectors(tensors, config, source))
  const notes = [...checkTargets(modules, config, configSource.name), ...classifierNotes(modules, config), ...residualNotes(config), ...trainingNotes(folder)]
  return {
    label: folder.label,
    kind: kindOf(config),
    modules,
    fanInFanOut: config.fanInFanOut,
    ...(config.residualInit === undefined ? {} : { takes: ['baseIsResidual' as const] }),
    ...(config.peftType === 'LORA' ? { lora: { rank: largestRank(config), rankStabilized: config.rankStabilized } } : {}),
    ensuresTie: config.ensuresTie,
    trainsBiases: config.trainsBiases,
    fromUnsloth: /^unsloth\//i.test(config.baseModel ?? ''),
    files: [name, PEFT_CONFIG],
    facts: factsOf(modules, config),
    notes,
    config,
  }
}

/** Which of the vectors that TinyLoRA's modules share each of them has. */
async function sharedVectors(tensors: readonly TensorInfo[], { peftType, options }: PeftConfig, source: ByteSource): Promise<ReadonlyMap<string, number>> {
  if (peftType !== 'TINYLORA') return new Map()
  const projections = new Map<string, TensorInfo>()
  let vectors = 0
  for (const tensor of tensors) {
    const key = splitKey(tensor.name.replace(/^base_model\.model\./, ''))
    if (key === undefined || !('role' in key.meaning)) continue
    if (key.meaning.role === 'tinyP') projections.set(key.module, tensor)
    if (key.meaning.role.startsWith('tinyV.')) vectors++
  }
  const [seed, tying] = [Number(options.get('projection_seed')), Number(options.get('weight_tying'))]
  return tinyLoraGroups(projections, { seed, tying, vectors }, (tensor, count) => firstElements(source, tensor, count))
}

function largestRank({ rank, rankPattern }: PeftConfig): number {
  return Math.max(rank, ...rankPattern.values())
}

function residualNotes({ residualInit }: PeftConfig): string[] {
  return residualInit === undefined ? [] : [`the base is taken for the one that ${quoted(residualInit)} left, as --base-is-residual says`]
}

function kindOf({ peftType, rankStabilized, dora }: PeftConfig): string {
  if (peftType !== 'LORA') return `PEFT ${peftTypeRow(peftType).name}`
  return `PEFT ${rankStabilized ? 'rs' : ''}LoRA${dora ? ' with DoRA' : ''}`
}

function findWeights(folder: AdapterFolder): string {
  if (folder.has(PEFT_WEIGHTS)) return PEFT_WEIGHTS
  if (folder.has(PEFT_TORCH_WEIGHTS)) return PEFT_TORCH_WEIGHTS
  const others = folder.entries.map((entry) => entry.name).filter((name) => (name.endsWith('.safetensors') || name.endsWith('.bin')) && !isTrainingFile(name))
  const found = others.length > 0 ? `, only ${nameList(others)}` : ''
  throw new FileSystemError(`${PEFT_CONFIG} is here, ${PEFT_WEIGHTS} is not${found}.`, { file: folder.label })
}

/** By the file's name: safetensors has no magic of its own. */
async function readTensors(source: ByteSource): Promise<readonly TensorInfo[]> {
  return /\.(?:bin|pt|pth|ckpt)$/i.test(source.name) ? modelTensors(await readCheckpoint(source)) : (await readHeader(source)).tensors
}

/**
 * target_modules is not needed to merge, but a config that names none of the file's modules belongs to another adapter.
 * @returns notes
 */
function checkTargets(all: readonly AdapterModule[], { targetModules }: PeftConfig, file: string): string[] {
  const modules = all.filter(({ kind, parameters }) => parameters === undefined && kind !== 'whole' && kind !== 'tokens') // these have lists of their own
  if (targetModules === undefined || targetModules.length === 0 || modules.length === 0) return []
  if (typeof targetModules !== 'string') {
    const targets = new Set(targetModules)
    const longest = targetModules.reduce((most, target) => Math.max(most, target.length), 0)
    return outsideNote(modules.filter(({ name }) => !endsInTarget(name, targets, longest)))
  }
  if (targetModules.toLowerCase() === 'all-linear') return []
  let pattern: CompiledPattern
  try {
    pattern = compilePattern(targetModules, file, patternBudget())
  } catch (error) {
    if (error instanceof UnsupportedError) return [] // a lookahead is fine for PEFT, and merging needs no target_modules
    throw error
  }
  const outside = modules.filter(({ name }) => !pattern.fullMatch(name))
  if (outside.length === modules.length) {
    throw new MismatchError(
      `"target_modules" ${quoted(targetModules)} matches none of the ${modules.length} modules in the weights: do both files belong together?`,
      { file },
    )
  }
  return outsideNote(outside)
}

/** PEFT's rule for a list: a target is the whole name, or its end after a dot. */
function endsInTarget(name: string, targets: ReadonlySet<string>, longest: number): boolean {
  let start = 0
  do {
    if (name.length - start <= longest && targets.has(name.slice(start))) return true
    start = name.indexOf('.', start) + 1
  } while (start > 0)
  return false
}

function outsideNote(outside: readonly AdapterModule[]): string[] {
  if (outside.length === 0) return []
  return [
    `${outside.length} modules are outside target_modules; PEFT would ignore them, here they are merged: ${nameList(
      outside.map(({ name }) => name),
      3,
    )}.`,
  ]
}

/** PEFT names classifiers for SEQ_CLS and TOKEN_CLS whether the model has them or not. */
function classifierNotes(modules: readonly AdapterModule[], { modulesToSave }: PeftConfig): string[] {
  const missing = modulesToSave.filter((name) => !modules.some((module) => `.${module.name}.`.includes(`.${name}.`)))
  if (missing.length === 0) return []
  return [`modules_to_save names ${nameList(missing)}, but the adapter holds no such tensor: the base's own is kept.`]
}

function factsOf(modules: readonly AdapterModule[], config: PeftConfig): AdapterFile['facts'] {
  return {
    format: 'PEFT',
    peftType: config.peftType,
    peftVersion: config.peftVersion ?? null,
    baseModel: config.baseModel ?? null,
    taskType: config.taskType ?? null,
    rank: config.rank,
    alpha: config.alpha,
    rankStabilized: config.rankStabilized,
    fanInFanOut: config.fanInFanOut,
    targetModules: config.targetModules ?? null,
    scales: [...new Set(modules.map(({ scale }) => scale))].sort((a, b) => a - b),
    modules: modules.map(moduleFacts),
  }
}

function moduleFacts({ kind, name, factors, rank, alpha, scale }: AdapterModule): Fact {
  const [A, B] = [factors.get('A'), factors.get('B')]
  if (A === undefined || B === undefined)
    return { module: name, kind, rank, scale, tensors: [...factors.values()].map((one) => [one.name, one.dtype, one.shape]) }
  const dtype = A.dtype === B.dtype ? A.dtype : `${A.dtype}/${B.dtype}`
  const more = [...factors.keys()].filter((role) => role !== 'A' && role !== 'B')
  return { module: name, in: A.shape[1] ?? 0, out: B.shape[0] ?? 0, rank, alpha, scale, dtype, ...(more.length === 0 ? {} : { also: more }) }
}
