/**
 * An adapter for a diffusion pipeline on disk, of sd-scripts (kohya), LyCORIS or diffusers: one file of tensors that says all
 * by its keys. Headers, alphas and switches are read, no factors.
 */
import { MismatchError } from '../../core/errors.js'
import type { AdapterFile, AdapterFolder, AdapterModule, Fact } from '../adapter-file.js'
import { readAdapterWeights } from '../adapter-weights.js'
import { DIFFUSION_KINDS } from './diffusion-kinds.js'
import { readDiffusionMetadata } from './diffusion-metadata.js'
import { readDiffusionModules } from './diffusion-modules.js'
import { SmallTensors } from '../small-tensors.js'

/** Entries of sd-scripts' metadata that people ask for. */
const SHOWN_METADATA = ['ss_network_module', 'ss_network_dim', 'ss_network_alpha', 'ss_base_model_version', 'ss_sd_model_name', 'modelspec.architecture']

/**
 * Opens an adapter.
 * @param name  of the weights file in the folder
 * @throws FormatError, UnsupportedError, MismatchError naming the tensor
 */
export async function openDiffusionAdapter(folder: AdapterFolder, name: string): Promise<AdapterFile> {
  const { source, tensors, metadata } = await readAdapterWeights(folder, name)
  const small = new SmallTensors(source)
  const modules = await readDiffusionModules(tensors, readDiffusionMetadata(metadata, source.name), small, source.name)
  if (modules.length === 0) throw new MismatchError('holds no tensors at all: nothing would be merged.', { file: source.name })
  return {
    label: folder.label,
    kind: kindOf(modules),
    modules,
    fanInFanOut: false,
    isOfPipeline: true,
    read: small.read,
    files: [name],
    facts: factsOf(modules, metadata),
    notes: [...alphaNotes(modules, small), ...splitNotes(metadata)],
  }
}

/** `kohya LoRA`, `LyCORIS LoHa and LoKr with DoRA`, `diffusers LoRA`. */
function kindOf(modules: readonly AdapterModule[]): string {
  const names = new Set(modules.map(({ kind }) => DIFFUSION_KINDS.find((row) => row.kind === kind)?.name ?? kind))
  const isPlain = modules.every(({ kind, factors }) => kind === 'locon' && !factors.has('mid'))
  const isOfKohya = modules.every(({ factors }) => [...factors.values()].every(({ name }) => name.startsWith('oft_unet_')))
  const format = isOfKohya ? 'kohya' : !isPlain ? 'LyCORIS' : modules.some(({ isFlattened }) => isFlattened === true) ? 'kohya' : 'diffusers'
  const isDecomposed = modules.some(({ factors }) => factors.has('doraScale') || factors.has('magnitude'))
  return `${format} ${[...names].join(' and ')}${isDecomposed ? ' with DoRA' : ''}`
}

/** A file that has alphas for some modules only was put together from others. */
function alphaNotes(modules: readonly AdapterModule[], { read }: SmallTensors): string[] {
  const scaled = modules.filter(({ kind, rank }) => rank > 0 && kind !== 'difference')
  const alphas = read.filter(({ tensor }) => tensor.endsWith('.alpha')).length
  const without = scaled.length - alphas
  const [first] = scaled
  if (alphas === 0 || without <= 0 || first === undefined) return []
  return [`${without} of ${scaled.length} modules have no alpha: theirs is the rank, so their scale is 1.`]
}

/** sd-scripts trains query, key and value of FLUX and SD3 with ranks of their own when asked to, and saves them as one of three times the rank with the same alpha. */
function splitNotes(metadata: ReadonlyMap<string, string>): string[] {
  if (!/"split_qkv"\s*:\s*"?true\b/i.test(metadata.get('ss_network_args') ?? '')) return []
  return [
    'Trained with split_qkv: sd-scripts, ComfyUI and diffusers divide its alphas by the rank of all parts together, which training did not; merged as they load it.',
  ]
}

function factsOf(modules: readonly AdapterModule[], metadata: ReadonlyMap<string, string>): AdapterFile['facts'] {
  const shown = SHOWN_METADATA.flatMap((key) => {
    const value = metadata.get(key)
    return value === undefined ? [] : [[key, value] as const]
  })
  return {
    format: kindOf(modules),
    components: [...new Set(modules.map(({ component }) => component ?? null))],
    scales: [...new Set(modules.map(({ scale }) => scale))].sort((a, b) => a - b),
    metadata: Object.fromEntries(shown),
    modules: modules.map(moduleFacts),
  }
}

function moduleFacts({ kind, component, name, factors, rank, alpha, scale }: AdapterModule): Fact {
  return { module: name, component: component ?? null, kind, rank, alpha, scale, tensors: [...factors.values()].map((one) => [one.name, one.dtype, one.shape]) }
}
