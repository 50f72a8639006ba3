/**
 * State dicts that hold weights and LoRA factors together: a model that was saved before its factors were merged, or after.
 * loralib's eval() adds B·A to the weights and keeps the factors, so the file itself does not tell which. Whoever decides
 * it (the host compares with the base; else the user says it) gets from here what is to be merged then.
 *
 * Law: loralib 0.1.2 layers.py `train`.
 */
import { MismatchError, nameList, quoted, UnsupportedError } from '../core/errors.js'
import type { Model } from '../core/model.js'
import type { TensorInfo } from '../core/tensor-info.js'
import type { AdapterFile, AdapterModule, FullState, SavedState } from './adapter-file.js'
import { isEmbedding, isTiedHead } from './tied.js'

const FACTOR = /\.lora_(?:A|B|embedding_A|embedding_B)(?:\.[^.]+)?(?:\.weight)?$/

/** What model code computes and keeps among its tensors, in some versions: masks and frequencies. */
const COMPUTED = /(?:^|\.)(?:(?:attn|attention)\.masked_bias|rotary_emb\.(?:inv_freq|original_inv_freq|cos_cached|sin_cached))$/
/** GPT-2's causal mask (1 x 1 x positions x positions), which is called as a bias of one dimension would be. */
const MASK = /(?:^|\.)(?:attn|attention)\.bias$/

/** Whether some module with factors has its weight in the same file. @param modules  that have factors */
export function holdsItsWeights(modules: ReadonlyMap<string, unknown>, rest: readonly TensorInfo[]): boolean {
  const names = new Set(rest.map(({ name }) => name))
  return [...modules.keys()].some((module) => hasWeight(module, names))
}

function hasWeight(module: string, names: ReadonlySet<string>): boolean {
  return names.has(`${module}.weight`) || names.has(`${module}.conv.weight`)
}

/**
 * Tensors that are a model's weights, and those that its code computes.
 * @throws MismatchError when a module with factors has no weight among them
 */
export function stateWeights(
  modules: ReadonlyMap<string, unknown>,
  rest: readonly TensorInfo[],
  file: string,
): { weights: TensorInfo[]; computed: TensorInfo[] } {
  const names = new Set(rest.map(({ name }) => name))
  const missing = [...modules.keys()].filter((module) => !hasWeight(module, names))
  if (missing.length > 0)
    throw new MismatchError(`holds weights and LoRA factors together, but for ${nameList(missing)} factors alone: the file is incomplete.`, { file })
  const isComputed = ({ name, shape }: TensorInfo): boolean => COMPUTED.test(name) || (shape.length > 2 && MASK.test(name))
  return { weights: rest.filter((tensor) => !isComputed(tensor)), computed: rest.filter(isComputed) }
}

/** Factors in a base would be carried along unmerged, or merged twice. @throws UnsupportedError when there are some */
export function refuseFactorsInBase(tensors: ReadonlyMap<string, TensorInfo>, label: string): void {
  for (const name of tensors.keys()) {
    if (!FACTOR.test(name)) continue
    throw new UnsupportedError(
      'is a LoRA factor among the weights of the base: whether it was added to them already cannot be seen. Give the original base; or, to merge a full state dict of loralib into itself, name its file as the adapter too, with --state train or eval.',
      { file: label, tensor: name },
    )
  }
}

/** A base that is a full state dict, as the weights of it alone. */
export function withoutFactors(model: Model): Model {
  const isWeight = (name: string): boolean => !FACTOR.test(name)
  return {
    ...model,
    tensors: new Map([...model.tensors].filter(([name]) => isWeight(name))),
    shards: model.shards.map((shard) => ({ ...shard, tensorNames: shard.tensorNames.filter(isWeight) })),
  }
}

/**
 * The adapter that a file of weights and factors is, now that its state is known.
 * @param isBase  the weights are those of the base itself, so they need not replace them
 * @param note    how the state is known
 */
export function inState(file: AdapterFile, state: SavedState, { isBase, note }: { isBase: boolean; note: string | undefined }): AdapterFile {
  const { fullState, ...rest } = file
  if (fullState === undefined) return file
  const modules = [...(isBase ? [] : fullState.weights), ...(state === 'train' ? fullState.factors : [])]
  const notes = note === undefined ? file.notes : [...file.notes, note]
  return { ...rest, kind: `${file.kind} (full state, ${state})`, modules, ensuresTie: !isBase && tiesOutput(fullState, state), notes }
}

/**
 * The file without second names of tensors that it holds under a first one: an output that is the embedding, by a name that its base has not.
 * @param isKnown  whether the base has a place for a weight
 */
export function withoutAliases(file: AdapterFile, isKnown: (module: AdapterModule) => boolean): AdapterFile {
  const { fullState } = file
  if (fullState === undefined) return file
  const names = new Map<string, AdapterModule[]>()
  for (const one of fullState.weights) {
    const place = placeOfBytes(one)
    const group = names.get(place)
    if (group !== undefined) group.push(one)
    else if (place !== '') names.set(place, [one])
  }
  const shared = [...names.values()].filter((group) => group.length > 1)
  const aliases = new Set(shared.flatMap((group) => (group.some(isKnown) ? group.filter((one) => !isKnown(one)) : [])))
  if (aliases.size === 0) return file
  const note = `${nameList([...aliases].map(({ name }) => name))} of the file is another name of a tensor that is in the base, and left out.`
  const weights = fullState.weights.filter((one) => !aliases.has(one))
  return { ...file, fullState: { ...fullState, weights }, notes: [...file.notes, note] }
}

/** A file that was not decided about. @throws UnsupportedError */
export function refuseFullState({ fullState, label }: AdapterFile): void {
  if (fullState === undefined) return
  throw new UnsupportedError(
    `holds weights and LoRA factors together, which a base of several models cannot be compared with: save the factors alone (${quoted('lora.lora_state_dict(model)')}).`,
    {
      file: label,
    },
  )
}

/** Whether output and embedding are one tensor in a file, and go on being one. */
function tiesOutput({ weights, factors }: FullState, state: SavedState): boolean {
  const embedding = weights.find(({ name, factors: own }) => own.has('weight') && isEmbedding(`${name}.weight`))
  if (embedding === undefined || (state === 'train' && factors.some(({ name }) => name === embedding.name))) return false
  const head = weights.find(({ name, factors: own }) => own.has('weight') && isTiedHead(name))
  return head === undefined || placeOfBytes(head) === placeOfBytes(embedding)
}

/** Where a module's weight is stored: torch writes a tensor that has two names once. */
function placeOfBytes({ factors }: AdapterModule): string {
  const tensor = factors.get('weight')
  if (tensor === undefined) return ''
  const { source, offset, byteLength } = tensor
  const stored = source.kind === 'strided' ? source.storage : source
  const where = stored.kind === 'member' ? stored.offset : stored.kind === 'file' ? stored.path : stored.name
  return `${where}+${offset}+${byteLength}${source.kind === 'strided' ? JSON.stringify(source.view) : ''}`
}
