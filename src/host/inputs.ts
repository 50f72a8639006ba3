/** Opens what the user named as base and adapters. */
import { existsSync, statSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import type { AdapterFile, FormatOptionName } from '../adapters/adapter-file.js'
import { refuseFactorsInBase, withoutFactors } from '../adapters/full-state.js'
import { openAdapterFile } from '../adapters/formats.js'
import { LITGPT_LORA } from '../adapters/litgpt.js'
import { bindAdapter, type ResolveOptions } from '../adapters/resolve.js'
import { knownBackwards, readBackwards, type Backwards } from '../architectures/backwards.js'
import { isReadableType } from '../core/arithmetic.js'
import type { ByteDescriptor, Folder } from '../core/bytes.js'
import { textOf } from '../core/key-value.js'
import { UsageError } from '../core/errors.js'
import type { GgufFacts, Model } from '../core/model.js'
import type { TensorInfo } from '../core/tensor-info.js'
import { weightsLikePeft, type WeightedAdapter } from '../merge/combine.js'
import { combineRule, type CombineRule } from '../merge/combine-rule.js'
import type { Task } from '../quantized/treatment.js'
import { fileDigest } from '../sources/digest.js'
import { openFolder } from '../sources/files.js'
import { openGgufModel } from '../sources/gguf-model.js'
import { openModel } from '../sources/model.js'
import type { TokenizerFiles } from '../plan/side-files.js'
import { chooseTokenizer } from './choose-tokenizer.js'
import { inKnownState, isFileOf } from './full-state.js'
import { ggufNamesOf } from './gguf-names.js'
import type { AdapterOption, CommonOptions } from './options.js'
import { openQuantizedBase, plainTensors, treatedBase } from './quantized-base.js'

/** Base and adapters, opened. */
export interface Inputs {
  readonly base: Model
  readonly adapters: readonly WeightedAdapter[]
  readonly combine: CombineRule
  /** Set when the tokenizer is not the base's. */
  readonly tokenizer: TokenizerFiles | undefined
  /** The prompt style that a LitGPT adapter was trained with, for a LitGPT base. */
  readonly promptStyle?: TokenizerFiles | undefined
  readonly decisions: readonly string[]
  /** What the user should worry about. */
  readonly warnings: readonly string[]
  /** Every file that was opened in the folders above so far, and that will be. */
  readonly consulted: ReadonlySet<ByteDescriptor>
}

/** @throws ToolkitError of whatever does not fit */
export async function openInputs(basePath: string, adapters: readonly AdapterOption[], kind: Task['kind'], options: CommonOptions): Promise<Inputs> {
  const combine = combineRule(options)
  const consulted = new Set<ByteDescriptor>()
  const named = await watchedModel(await openBase(basePath, adapters), consulted)
  const opened = await openAdapters(adapters, options, consulted)
  const own = new Set(opened.filter(({ file, weightsPath }) => file.fullState !== undefined && isFileOf(named, weightsPath)))
  if (own.size === 0 && named.gguf === undefined) refuseFactorsInBase(named.tensors, named.label)
  const base = own.size === 0 ? named : withoutFactors(named)
  const quantized = await openQuantizedBase(base)
  const known = adapters.length > 0 && base.gguf !== undefined ? knownToAdapters(base, base.gguf) : plainTensors(base, quantized)
  const bound: ResolveOptions = { ...options, config: base.config, part: base.component?.name, ggufNames: () => ggufNamesOf(base) }
  const all: WeightedAdapter[] = []
  for (const one of opened) {
    if (base.gguf !== undefined && one.file.ggufArchitecture === undefined) backwardsOf(base, base.gguf) // refuses what only GGUF adapters can name
    const file = await inKnownState(one, { base, isBase: own.has(one), isQuantized: quantized !== undefined, bound }, options)
    all.push({ adapter: { ...bindAdapter(file, known, bound), label: one.path }, weight: one.weight, digest: one.digest })
  }
  const weighted = options.likePeft === true ? weightsLikePeft(all, combine) : all
  if (base.gguf !== undefined) return { base, adapters: weighted, combine, tokenizer: undefined, decisions: [], warnings: [], consulted }
  const folders = opened.map(({ folder }) => folder)
  const treated = await treatedBase(base, quantized, { kind, adapters: weighted, folders, dequantize: options.dequantizeBase ?? false })
  const chosen = await chooseTokenizer(treated.base, folders, options.tokenizer)
  const styled = base.litgpt === true ? folders.find((folder) => folder.has(PROMPT_STYLE)) : undefined
  const promptStyle = styled && { folder: styled, names: [PROMPT_STYLE] }
  const decisions = [...treated.decisions, ...chosen.decisions]
  return { ...treated, adapters: weighted, combine, tokenizer: chosen.tokenizer, promptStyle, decisions, consulted }
}

/** An adapter as the user gave it, not yet bound to a base. */
export interface OpenedAdapter {
  readonly file: AdapterFile
  readonly folder: Folder
  readonly path: string
  /** Of its file of weights. */
  readonly weightsPath: string
  readonly weight: number
  /** Of its files; empty when it is the only one. */
  readonly digest: string
}

/** Opens adapters. @param consulted  takes every file that is opened */
export async function openAdapters(adapters: readonly AdapterOption[], options: CommonOptions, consulted: Set<ByteDescriptor>): Promise<OpenedAdapter[]> {
  const opened: OpenedAdapter[] = []
  for (const { path, weight = 1 } of adapters) {
    if (!Number.isFinite(weight)) throw new UsageError(`the weight of ${path} is ${weight}; a finite number is wanted.`)
    const place = adapterPlace(path)
    const folder = watched(await openFolder(place.folder), consulted)
    const file = await openAdapterFile(folder, place.weightsName, options)
    // one adapter needs no order; several are ordered by what they hold, not by how they were typed
    const digests = adapters.length < 2 ? [] : await Promise.all(file.files.map((name) => fileDigest(join(place.folder, name))))
    opened.push({ file, folder, path, weightsPath: join(place.folder, file.files[0] ?? ''), weight, digest: digests.join('+') })
  }
  refuseUnusedOptions(
    options,
    opened.map(({ file }) => file),
  )
  return opened
}

/** LitGPT's name of how prompts are written. */
const PROMPT_STYLE = 'prompt_style.yaml'

/** Options of formats, and how they are typed. */
const FORMAT_OPTIONS: { readonly [O in FormatOptionName]: string } = {
  alpha: '--alpha',
  enableLora: '--enable-lora',
  fanInFanOut: '--fan-in-fan-out',
  state: '--state',
  baseIsResidual: '--base-is-residual',
}

/** What kind of adapters an option is for, where that is not loralib's. */
const OF_KIND: { readonly [O in FormatOptionName]?: string } = {
  state: 'full state dicts of loralib',
  baseIsResidual: 'PiSSA, OLoRA, CorDA, LoRA-GA, LoftQ',
}

/** What was said for an adapter that is not there would otherwise be lost in silence. */
function refuseUnusedOptions(options: CommonOptions, adapters: readonly AdapterFile[]): void {
  for (const [name, typed] of Object.entries(FORMAT_OPTIONS) as [FormatOptionName, string][]) {
    if (options[name] === undefined || adapters.some(({ takes = [] }) => takes.includes(name))) continue
    throw new UsageError(
      `${typed} is for adapters whose files do not say it (${OF_KIND[name] ?? 'loralib'}); ${adapters.length === 1 ? 'this one is not' : 'none of these is'} of that kind.`,
    )
  }
}

/** A folder that notes which of its files are opened. */
export function watched<F extends Folder>(folder: F, opened: Set<ByteDescriptor>): F {
  return {
    ...folder,
    open: async (name: string) => {
      const source = await folder.open(name)
      opened.add(source.descriptor)
      return source
    },
  }
}

export async function watchedModel(model: Model, opened: Set<ByteDescriptor>): Promise<Model> {
  if (model.folder === undefined) return model
  const folder = watched(model.folder, opened)
  if (model.config !== undefined) await folder.open('config.json') // read before it was watched
  return { ...model, folder }
}

/** A GGUF by its name, everything else as a model of Hugging Face or LitGPT. */
async function openBase(path: string, adapters: readonly AdapterOption[]): Promise<Model> {
  if (/\.gguf$/i.test(path)) return openGgufModel(path)
  return openModel(path, { prefersLitGpt: adapters.some((adapter) => adapter.path.endsWith('.pth.lora') || existsSync(join(adapter.path, LITGPT_LORA))) })
}

/** The tensors of a GGUF as adapters know them: under their Hugging Face names, where they have one. What blocks they are stored in is not the adapters' business. */
function knownToAdapters({ tensors, label }: Model, gguf: GgufFacts): ReadonlyMap<string, TensorInfo> {
  const backwards = knownBackwards(textOf(gguf.keyValues, 'general.architecture') ?? '', gguf.keyValues, label)
  const known = new Map<string, TensorInfo>()
  for (const tensor of tensors.values()) {
    const name = backwards?.(tensor)?.name ?? tensor.name
    known.set(name, { ...tensor, name, dtype: isReadableType(tensor.dtype) ? 'F32' : tensor.dtype })
  }
  return known
}

/** @throws UnsupportedError when the architecture is not in the table */
function backwardsOf({ label }: Model, gguf: GgufFacts): Backwards {
  return readBackwards(textOf(gguf.keyValues, 'general.architecture') ?? '', gguf.keyValues, label)
}

/** An adapter is a folder; who names a weights file means the folder it lies in, and that file. */
function adapterPlace(path: string): { folder: string; weightsName?: string } {
  return statSync(path, { throwIfNoEntry: false })?.isFile() === true ? { folder: dirname(path), weightsName: basename(path) } : { folder: path }
}
