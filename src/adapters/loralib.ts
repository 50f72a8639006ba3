/**
 * A state dict with the keys of loralib -> modules. Neither lora_alpha nor fan_in_fan_out nor enable_lora is in it: the user
 * says them, or the base shows them (bind-fused.ts).
 *
 *   X.lora_A, X.lora_B    Linear, Embedding (r x vocabulary, dim x r), MergedLinear, ConvNd: which of them, the base tells
 *   X.bias                bias='all' or 'lora_only'
 *   any other key         a tensor that was trained as a whole: a classifier
 *
 * A full state dict holds the weights too, which may have the update in them already (full-state.ts).
 *
 * Law: loralib 0.1.2 utils.py `lora_state_dict`, layers.py.
 */
import { MismatchError, nameList, UsageError } from '../core/errors.js'
import type { TensorInfo } from '../core/tensor-info.js'
import { modelTensors, readCheckpoint } from '../formats/torch/checkpoint.js'
import { onlyFile, type AdapterFile, type AdapterFolder, type AdapterModule, type FormatOptions, type FullState } from './adapter-file.js'
import { foreignTensors } from './foreign-tensors.js'
import { holdsItsWeights, stateWeights } from './full-state.js'
import type { FactorRole } from './key-suffixes.js'
import { pairFactors, wholeModules, type PairedFactors } from './paired-factors.js'

/** Names of PyTorch files that may be one. */
export const TORCH_ADAPTER = /\.(?:pt|pth|bin|ckpt)$/i

/** What wrappers of training loops put before every name. */
const WRAPPERS = ['module.', '_orig_mod.']

/**
 * @param weightsName  when the user named the file
 * @throws UsageError without alpha, MismatchError for incomplete files, UnsupportedError for what is no loralib file
 */
export async function openLoralibAdapter(folder: AdapterFolder, weightsName: string | undefined, options: FormatOptions): Promise<AdapterFile> {
  const name = weightsName ?? onlyFile(folder, TORCH_ADAPTER)
  const source = await folder.open(name)
  const tensors = withoutWrapper(modelTensors(await readCheckpoint(source)))
  const { modules: pairs, rest } = pairFactors(tensors, { A: 'lora_A', B: 'lora_B' }, source.name)
  if (pairs.size === 0) throw foreignTensors(tensors, source.name)
  const isFull = holdsItsWeights(pairs, rest)
  const { alpha } = options
  if (alpha === undefined && !(isFull && options.state === 'eval')) throw withoutAlpha(source.name, isFull)
  const { weights, computed } = isFull ? stateWeights(pairs, rest, source.name) : { weights: rest, computed: [] }
  const whole = wholeModules(weights)
  const factors = alpha === undefined ? [] : [...pairs].map((pair) => factorModule(pair, alpha, options))
  const unwrapped = whole.modules.map((one) => withoutConv(one, pairs))
  const fullState: FullState = { weights: unwrapped, factors }
  return {
    label: folder.label,
    kind: 'loralib LoRA',
    modules: [...factors, ...unwrapped],
    fanInFanOut: false,
    squares: options.fanInFanOut === undefined ? 'ambiguous' : options.fanInFanOut ? 'transposed' : 'plain',
    takes: ['alpha', 'enableLora', 'fanInFanOut', ...(isFull ? (['state'] as const) : [])],
    files: [name],
    facts: { format: 'loralib', alpha: alpha ?? null, modules: factors.map(({ name: module, rank, scale }) => ({ module, rank, scale })) },
    notes: untrainedNotes([...whole.untrained, ...computed]),
    ...(isFull ? { fullState } : {}),
  }
}

function factorModule([name, factors]: [string, ReadonlyMap<FactorRole, TensorInfo>], alpha: number, { enableLora }: FormatOptions): AdapterModule {
  const rank = factors.get('B')?.shape[1] ?? 1
  const given = enableLora === undefined ? {} : { enabled: enableLora }
  return { kind: 'loralib', name, aliases: [`${name}.conv`], factors, rank, alpha, scale: scaleOf(alpha, rank), ...given }
}

/** ConvLoRA wraps the layer that the original model has in its place. */
function withoutConv(module: AdapterModule, pairs: PairedFactors['modules']): AdapterModule {
  const inner = module.name.endsWith('.conv') ? module.name.slice(0, -'.conv'.length) : ''
  return pairs.has(inner) ? { ...module, aliases: [inner] } : module
}

function withoutAlpha(file: string, isFull: boolean): UsageError {
  if (!isFull) return new UsageError('is a loralib file, which does not hold lora_alpha: say it with --alpha (the scale is alpha / r).', { file })
  return new UsageError(
    'is a full state dict of loralib: its weights may hold B·A already (saved in eval mode), or not (saved in train mode), and it does not hold lora_alpha. With the original model as BASE say --alpha, and both are compared. Without, BASE is this file too: say --state train with --alpha, or --state eval alone.',
    { file },
  )
}

/** @throws MismatchError when f32 cannot hold it */
function scaleOf(alpha: number, rank: number): number {
  const scale = alpha / rank
  if (!Number.isFinite(Math.fround(scale))) throw new MismatchError(`alpha ${alpha} gives a scale too large for f32.`)
  return scale
}

function withoutWrapper(tensors: readonly TensorInfo[]): readonly TensorInfo[] {
  const wrapper = WRAPPERS.find((prefix) => tensors.length > 0 && tensors.every(({ name }) => name.startsWith(prefix)))
  return wrapper === undefined ? tensors : withoutWrapper(tensors.map((tensor) => ({ ...tensor, name: tensor.name.slice(wrapper.length) })))
}

function untrainedNotes(tensors: readonly TensorInfo[]): string[] {
  if (tensors.length === 0) return []
  const names = nameList(
    tensors.map(({ name }) => name),
    3,
  )
  return [`${tensors.length} tensors of the adapter are masks, positions and the like, which no training changes: the base's own are kept: ${names}.`]
}
