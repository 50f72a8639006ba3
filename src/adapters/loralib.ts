/**
 * A state dict with the keys of loralib -> modules. Neither lora_alpha nor fan_in_fan_out nor enable_lora is in it: the user
 * says them, or the base shows them (bind-fused.ts).
 *
 *   X.lora_A, X.lora_B    Linear, Embedding (r x vocabulary, dim x r), MergedLinear, ConvNd: which of them, the base tells
 *   X.bias                bias='all' or 'lora_only'
 *   any other key         a tensor that was trained as a whole: a classifier
 *
 * Law: loralib 0.1.2 utils.py `lora_state_dict`, layers.py.
 */
import { MismatchError, nameList, UnsupportedError, UsageError } from '../core/errors.js'
import type { TensorInfo } from '../core/tensor-info.js'
import { modelTensors, readCheckpoint } from '../formats/torch/checkpoint.js'
import type { AdapterFile, AdapterFolder, AdapterModule, FormatOptions } from './adapter-file.js'
import { foreignTensors } from './foreign-tensors.js'
import { holdsItsWeights } from './full-state.js'
import { pairFactors, wholeModules } from './paired-factors.js'

/** Names of PyTorch files that may be one. */
export const TORCH_ADAPTER = /\.(?:pt|pth|bin|ckpt)$/i

/** What wrappers of training loops put before every name. */
const WRAPPERS = ['module.', '_orig_mod.']

/**
 * @param weightsName  when the user named the file
 * @throws UsageError without alpha, MismatchError for incomplete files, UnsupportedError for what is no loralib file
 */
export async function openLoralibAdapter(folder: AdapterFolder, weightsName: string | undefined, options: FormatOptions): Promise<AdapterFile> {
  const name = weightsName ?? onlyFile(folder)
  const source = await folder.open(name)
  const tensors = withoutWrapper(modelTensors(await readCheckpoint(source)))
  const { modules: pairs, rest } = pairFactors(tensors, { A: 'lora_A', B: 'lora_B' }, source.name)
  if (pairs.size === 0) throw foreignTensors(tensors, source.name)
  const { alpha } = options
  if (alpha === undefined)
    throw new UsageError('is a loralib file, which does not hold lora_alpha: say it with --alpha (the scale is alpha / r).', { file: source.name })
  if (holdsItsWeights(pairs, rest))
    throw new UnsupportedError(
      'holds weights and LoRA factors together; loralib in eval mode has added B·A to the weights already, in train mode not, and the file does not tell: nothing is merged. Instead, save lora.lora_state_dict(model) alone.',
      { file: source.name },
    )
  const whole = wholeModules(rest)
  const modules = [...pairs].map(([module, factors]): AdapterModule => {
    const rank = factors.get('B')?.shape[1] ?? 1
    const given = options.enableLora === undefined ? {} : { enabled: options.enableLora }
    return { kind: 'loralib', name: module, aliases: [`${module}.conv`], factors, rank, alpha, scale: scaleOf(alpha, rank), ...given }
  })
  // ConvLoRA wraps the layer that the original model has in its place
  const unwrapped = whole.modules.map((one): AdapterModule => {
    const inner = one.name.endsWith('.conv') ? one.name.slice(0, -'.conv'.length) : ''
    return pairs.has(inner) ? { ...one, aliases: [inner] } : one
  })
  return {
    label: folder.label,
    kind: 'loralib LoRA',
    modules: [...modules, ...unwrapped],
    fanInFanOut: false,
    squares: options.fanInFanOut === undefined ? 'ambiguous' : options.fanInFanOut ? 'transposed' : 'plain',
    takes: ['alpha', 'enableLora', 'fanInFanOut'],
    files: [name],
    facts: { format: 'loralib', alpha, modules: modules.map(({ name: module, rank, scale }) => ({ module, rank, scale })) },
    notes: untrainedNotes(whole.untrained),
  }
}

/** @throws MismatchError when f32 cannot hold it */
function scaleOf(alpha: number, rank: number): number {
  const scale = alpha / rank
  if (!Number.isFinite(Math.fround(scale))) throw new MismatchError(`alpha ${alpha} gives a scale too large for f32.`)
  return scale
}

function onlyFile(folder: AdapterFolder): string {
  const names = folder.entries.map(({ name }) => name).filter((name) => TORCH_ADAPTER.test(name))
  const [name] = names
  if (name === undefined || names.length > 1) throw new UsageError(`holds ${nameList(names)}: name the file that is meant.`, { file: folder.label })
  return name
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
  return [`${tensors.length} tensors of the adapter are no floats (masks, positions), which no training changes: the base's own are kept: ${names}.`]
}
