/** Opens what the user named as base and adapters. */
import { existsSync, statSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import type { AdapterFile, FormatOptionName } from '../adapters/adapter-file.js'
import { refuseFactorsInBase, withoutFactors } from '../adapters/full-state.js'
import { openAdapterFile } from '../adapters/formats.js'
import { LITGPT_LORA } from '../adapters/litgpt.js'
import { bindAdapter, type ResolveOptions } from '../adapters/resolve.js'
import type { Backwards } from '../architectures/backwards.js'
import type { ByteDescriptor, Folder } from '../core/bytes.js'
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
import { inKnownState } from './full-state.js'
import { boundBackwards, ggufNamesOf, tensorsByGgufName } from './gguf-names.js'
import type { AdapterOption, CommonOptions } from './options.js'
import { isFileOf } from './own-files.js'
import { openQuantizedBase, plainTensors, treatedBase } from './quantized-base.js'

/** Base and adapters, opened. */
export interface Inputs {
  readonly base: Model
  readonly adapters: readonly WeightedAdapter[]
  readonly combine: CombineRule
  /** For a base that is a GGUF: by what names adapters found its tensors; undefined where none needs them. */
  readonly backwards?: Backwards | undefined
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
  const bound: ResolveOptions = { ...options, config: base.config, part: base.component?.name, ggufNames: () => ggufNamesOf(base) }
  const ready: OpenedAdapter[] = []
  for (const one of opened)
    ready.push({ ...one, file: await inKnownState(one, { base, isBase: own.has(one), isQuantized: quantized !== undefined, bound }, options) })
  const bind = ({ file, path, weight, digest }: OpenedAdapter, known: ReadonlyMap<string, TensorInfo>, more: ResolveOptions = {}): WeightedAdapter => {
    const adapter = bindAdapter(file, known, { ...bound, ...more })
    return { adapter: { ...adapter, label: path }, weight, digest }
  }
  if (base.gguf !== undefined) {
    const inGguf = bindToGguf(base, base.gguf, ready, bind)
    const { backwards } = inGguf
    return { base, backwards, adapters: weighted(inGguf.bound, options, combine), combine, tokenizer: undefined, decisions: [], warnings: [], consulted }
  }
  const known = plainTensors(base, quantized)
  const all = weighted(
    ready.map((one) => bind(one, known)),
    options,
    combine,
  )
  const folders = opened.map(({ folder }) => folder)
  const treated = await treatedBase(base, quantized, { kind, adapters: all, folders, dequantize: options.dequantizeBase ?? false })
  const chosen = await chooseTokenizer(treated.base, folders, options.tokenizer)
  const styled = base.litgpt === true ? folders.find((folder) => folder.has(PROMPT_STYLE)) : undefined
  const promptStyle = styled && { folder: styled, names: [PROMPT_STYLE] }
  const decisions = [...treated.decisions, ...chosen.decisions]
  return { ...treated, adapters: all, combine, tokenizer: chosen.tokenizer, promptStyle, decisions, consulted }
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

function weighted(adapters: readonly WeightedAdapter[], { likePeft }: CommonOptions, combine: CombineRule): readonly WeightedAdapter[] {
  return likePeft === true ? weightsLikePeft(adapters, combine) : adapters
}

/** Adapters that are GGUFs themselves need no table of architectures. @throws UnsupportedError when it lacks one that another needs */
function bindToGguf(
  base: Model,
  gguf: GgufFacts,
  opened: readonly OpenedAdapter[],
  bind: (one: OpenedAdapter, known: ReadonlyMap<string, TensorInfo>, more?: ResolveOptions) => WeightedAdapter,
): { bound: readonly WeightedAdapter[]; backwards: Backwards | undefined } {
  const stored = tensorsByGgufName(base)
  if (opened.every(({ file }) => file.ggufArchitecture !== undefined)) return { bound: opened.map((one) => bind(one, stored)), backwards: undefined }
  return boundBackwards(base, gguf, (known, { modelTypes }) =>
    opened.map((one) => (one.file.ggufArchitecture === undefined ? bind(one, known, { modelTypes }) : bind(one, stored))),
  )
}

/** An adapter is a folder; who names a weights file means the folder it lies in, and that file. */
function adapterPlace(path: string): { folder: string; weightsName?: string } {
  return statSync(path, { throwIfNoEntry: false })?.isFile() === true ? { folder: dirname(path), weightsName: basename(path) } : { folder: path }
}
