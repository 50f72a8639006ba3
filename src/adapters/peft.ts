/**
 * A PEFT LoRA adapter on disk (adapter_config.json + safetensors, or a PyTorch checkpoint) -> its modules, ranks and scales. Reads headers
 * only. Every rule that needs no base is checked here: pairs are complete, ranks are the config's, no tensor is empty
 * or left over.
 *
 * Law: PEFT 0.21.2 utils/save_and_load.py, tuners/lora/layer.py `update_layer`. Stricter here: PEFT only warns of a
 * missing B, and says nothing of keys that it does not use.
 */
import { readAll, type ByteSource } from '../core/bytes.js'
import { isPlainFloat } from '../core/dtypes.js'
import { FileSystemError, FormatError, MismatchError, nameList, quoted, UnsupportedError } from '../core/errors.js'
import { parseJsonObject } from '../core/json.js'
import { compilePattern, patternBudget, type CompiledPattern } from '../core/safe-pattern.js'
import { shapeText } from '../core/shape.js'
import type { TensorInfo } from '../core/tensor-info.js'
import { readHeader } from '../formats/safetensors/header.js'
import { modelTensors, readCheckpoint } from '../formats/torch/checkpoint.js'
import type { AdapterFile, AdapterFolder, LoraModule } from './adapter-file.js'
import { splitKey } from './key-suffixes.js'
import { patternLookup } from './patterns.js'
import { readPeftConfig, type PeftConfig } from './peft-config.js'

/** An opened PEFT adapter: what every format gives, and its config. */
export interface PeftAdapterFile extends AdapterFile {
  readonly config: PeftConfig
}

export const PEFT_CONFIG = 'adapter_config.json'
export const PEFT_WEIGHTS = 'adapter_model.safetensors'
const PEFT_TORCH_WEIGHTS = 'adapter_model.bin' // looked for second, as PEFT does
export const MAX_CONFIG_BYTES = 16 * 1024 * 1024 // largest seen: 1.4 MB (EVA ranks of every expert)
const PREFIX = 'base_model.model.'

/**
 * Opens an adapter.
 * @param folder       holds adapter_config.json and the weights
 * @param weightsName  when the user named the weights file itself
 * @throws FormatError, UnsupportedError, MismatchError naming field or tensor; FileSystemError when a file is missing
 */
export async function openPeftAdapter(folder: AdapterFolder, weightsName?: string): Promise<PeftAdapterFile> {
  const configSource = await folder.open(PEFT_CONFIG)
  const config = readPeftConfig(parseJsonObject(await readAll(configSource, MAX_CONFIG_BYTES), configSource.name), configSource.name)
  const name = weightsName ?? findWeights(folder)
  const source = await folder.open(name)
  const tensors = await readTensors(source)
  const modules = readModules(tensors, config, source.name, configSource.name)
  const notes = [...checkTargets(modules, config, configSource.name), ...classifierNotes(config)]
  return {
    label: folder.label,
    kind: config.rankStabilized ? 'PEFT rsLoRA' : 'PEFT LoRA',
    modules,
    fanInFanOut: config.fanInFanOut,
    files: [name, PEFT_CONFIG],
    facts: factsOf(modules, config),
    notes,
    config,
  }
}

function findWeights(folder: AdapterFolder): string {
  if (folder.has(PEFT_WEIGHTS)) return PEFT_WEIGHTS
  if (folder.has(PEFT_TORCH_WEIGHTS)) return PEFT_TORCH_WEIGHTS
  const others = folder.entries.map((entry) => entry.name).filter((name) => name.endsWith('.safetensors') || name.endsWith('.bin'))
  const found = others.length > 0 ? `, only ${nameList(others)}` : ''
  throw new FileSystemError(`${PEFT_CONFIG} is here, ${PEFT_WEIGHTS} is not${found}.`, { file: folder.label })
}

/** By the file's name: safetensors has no magic of its own. */
async function readTensors(source: ByteSource): Promise<readonly TensorInfo[]> {
  return /\.(?:bin|pt|pth|ckpt)$/i.test(source.name) ? modelTensors(await readCheckpoint(source)) : (await readHeader(source)).tensors
}

/** Both factors of a module, while they are collected. */
interface Pair {
  A?: TensorInfo
  B?: TensorInfo
}

function readModules(tensors: readonly TensorInfo[], config: PeftConfig, file: string, configFile: string): LoraModule[] {
  const pairs = new Map<string, Pair>()
  const names = new Map<string | undefined, TensorInfo>()
  for (const tensor of tensors) {
    const key = splitKey(tensor.name.startsWith(PREFIX) ? tensor.name.slice(PREFIX.length) : tensor.name)
    if (key === undefined) {
      throw new MismatchError('is no tensor of a LoRA adapter (its key ends in nothing known), so it would be left over.', { file, tensor: tensor.name })
    }
    if ('refused' in key.meaning) {
      throw new UnsupportedError(`is ${key.meaning.refused}: not yet supported with peft_type LORA; merge this adapter with PEFT.`, {
        file,
        tensor: tensor.name,
      })
    }
    names.set(key.adapterName, tensor)
    if (names.size > 1) {
      throw new MismatchError(`belongs to another adapter than ${quoted(tensors[0]?.name ?? '')}: save each adapter in a folder of its own.`, {
        file,
        tensor: tensor.name,
      })
    }
    const pair = pairs.get(key.module) ?? {}
    pairs.set(key.module, pair)
    pair[key.meaning.role] = tensor
  }
  if (pairs.size === 0) throw new MismatchError('holds no LoRA tensors at all: nothing would be merged. Was it saved before training?', { file })

  const rankOf = patternLookup(config.rankPattern, 'rank_pattern', configFile)
  const alphaOf = patternLookup(config.alphaPattern, 'alpha_pattern', configFile)
  return Array.from(pairs, ([module, pair]) => {
    const rank = rankOf(module)
    const factors = checkPair(pair, rank ?? config.rank, rank === undefined ? '"r"' : '"rank_pattern"', file)
    const alpha = alphaOf(module) ?? config.alpha
    return { variant: 'lora', name: module, ...factors, alpha, scale: scaleOf(alpha, factors.rank, config.rankStabilized, module, configFile) }
  })
}

function checkPair({ A, B }: Pair, rank: number, field: string, file: string): { A: TensorInfo; B: TensorInfo; rank: number } {
  if (A === undefined || B === undefined) {
    const partner = A === undefined ? 'lora_A' : 'lora_B'
    const tensor = (A ?? B)?.name ?? ''
    throw new MismatchError(`has no partner ${partner} in the file, so its update is unknown: the file is incomplete, save the adapter again.`, {
      file,
      tensor,
    })
  }
  for (const factor of [A, B]) {
    const place = { file, tensor: factor.name }
    if (factor.shape.includes(0)) {
      throw new MismatchError(
        `is empty (shape ${shapeText(factor.shape)}): saved under DeepSpeed ZeRO-3 without gathering. Save it again with stage3_gather_16bit_weights_on_model_save, or from zero_to_fp32.py.`,
        place,
      )
    }
    if (factor.shape.length > 2) throw new UnsupportedError(`has shape ${shapeText(factor.shape)}: LoRA on convolutions is not yet supported.`, place)
    if (factor.shape.length < 2) throw new MismatchError(`has shape ${shapeText(factor.shape)} where a matrix of two dimensions is wanted.`, place)
    if (!isPlainFloat(factor.dtype)) throw new UnsupportedError(`has dtype ${factor.dtype}; factors must be F32, F16 or BF16.`, place)
  }
  const configured = `${PEFT_CONFIG} gives it rank ${rank} (${field})`
  if (A.shape[0] !== rank) throw new MismatchError(`has shape ${shapeText(A.shape)}, rank ${A.shape[0]}, but ${configured}.`, { file, tensor: A.name })
  if (B.shape[1] !== rank) throw new MismatchError(`has shape ${shapeText(B.shape)}, rank ${B.shape[1]}, but ${configured}.`, { file, tensor: B.name })
  return { A, B, rank }
}

function scaleOf(alpha: number, rank: number, rankStabilized: boolean, module: string, file: string): number {
  const scale = alpha / (rankStabilized ? Math.sqrt(rank) : rank)
  if (!Number.isFinite(Math.fround(scale))) throw new FormatError(`lora_alpha ${alpha} gives module ${quoted(module)} a scale too large for f32.`, { file })
  return scale
}

/**
 * target_modules is not needed to merge, but a config that names none of the file's modules belongs to another adapter.
 * @returns notes
 */
function checkTargets(modules: readonly LoraModule[], { targetModules }: PeftConfig, file: string): string[] {
  if (targetModules === undefined || targetModules.length === 0) return []
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

function outsideNote(outside: readonly LoraModule[]): string[] {
  if (outside.length === 0) return []
  return [
    `${outside.length} modules are outside target_modules; PEFT would ignore them, here they are merged: ${nameList(
      outside.map(({ name }) => name),
      3,
    )}.`,
  ]
}

function classifierNotes({ modulesToSave }: PeftConfig): string[] {
  if (modulesToSave.length === 0) return []
  return [`modules_to_save names ${nameList(modulesToSave)}, but the adapter holds no such tensor: the base's own is kept.`]
}

function factsOf(modules: readonly LoraModule[], config: PeftConfig): AdapterFile['facts'] {
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
    modules: modules.map(({ name, A, B, rank, alpha, scale }) => ({
      module: name,
      in: A.shape[1] ?? 0,
      out: B.shape[0] ?? 0,
      rank,
      alpha,
      scale,
      dtype: A.dtype === B.dtype ? A.dtype : `${A.dtype}/${B.dtype}`,
    })),
  }
}
