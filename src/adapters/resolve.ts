/**
 * Modules of an adapter + tensors of a base -> deltas. Strict accounting: every module finds exactly one tensor of the right
 * shape, no two the same, or an error names the adapter's tensor and the nearest names of the base.
 *
 * No table of architectures is needed: a module's path plus `.weight` names the tensor (module-paths.ts has the rest).
 */
import { isPlainFloat } from '../core/dtypes.js'
import { MismatchError, quoted, UnsupportedError, nameList } from '../core/errors.js'
import type { Adapter } from '../core/adapter.js'
import type { Delta } from '../core/delta.js'
import type { JsonObject } from '../core/json.js'
import type { TensorInfo } from '../core/tensor-info.js'
import type { AdapterFile, AdapterFolder, AdapterModule, AdapterOptions } from './adapter-file.js'
import { bindParameter, modelTypes, packingWarnings, type BoundParameter, type ParameterFacts } from './bind/bind-experts.js'
import { bindPlaces, placedModules, type GgufNames } from './bind/bind-gguf.js'
import { bindSwitch } from './bind/bind-switch.js'
import { bindModule, isCertain, orientation } from './bind/bind.js'
import type { Bound } from './bind/bound.js'
import { findPieces, pieceDeltas, type Piece } from './bind/bind-pieces.js'
import { placeOf } from './bind/factors.js'
import { openAdapterFile } from './formats.js'
import { refuseFullState } from './full-state.js'
import { ModulePaths } from './module-paths.js'
import { partsOf } from './diffusion/parts.js'
import { withoutBaseLayer } from './peft/peft-modules.js'
import { resolveParts } from './diffusion/resolve-parts.js'
import { isTiedHead, tiedEmbedding, untiedName } from './tied.js'

/** What a user may ask for. */
export interface ResolveOptions extends AdapterOptions {
  /** B of fused experts is packed expert by expert, as Unsloth had it until September 2026: for adapters that do not say so themselves. */
  readonly expertMajorB?: boolean | undefined
  /** What the base's tensors are called in GGUF, when that is known: for adapters in GGUF. */
  readonly ggufNames?: (() => GgufNames | undefined) | undefined
  /** The base's config.json: the model's type tells where shapes do not. */
  readonly config?: JsonObject | undefined
  /** The same of a base that has no config.json and is known otherwise. */
  readonly modelTypes?: ReadonlySet<string> | undefined
  /** Which model of a diffusion pipeline the base is, where its folder or config says so. */
  readonly part?: string | undefined
  /** The models of a pipeline to merge into; undefined: all that the adapter has something for. */
  readonly components?: readonly string[] | undefined
}

/** A module with the tensor that it is of. */
interface Found {
  readonly module: AdapterModule
  readonly weight: TensorInfo
}

/**
 * Opens an adapter of any known format and binds it to a base.
 * @param folder       the folder that the user named, or that holds the file
 * @param weightsName  name of the weights file in it, when the user named a file
 * @throws what openAdapterFile and resolveTargets throw
 */
export async function openAdapter(
  folder: AdapterFolder,
  base: ReadonlyMap<string, TensorInfo>,
  weightsName?: string,
  options: ResolveOptions = {},
): Promise<Adapter> {
  return bindAdapter(await openAdapterFile(folder, weightsName, options), base, options)
}

/** Binds an opened adapter to a base that is one model. @throws what resolveTargets and resolveParts throw */
export function bindAdapter(file: AdapterFile, base: ReadonlyMap<string, TensorInfo>, options: ResolveOptions = {}): Adapter {
  if (file.isOfPipeline !== true) return resolveTargets(file, base, options)
  const { deltas, notes } = resolveParts(file, partsOf(base, options.part), options.components)
  return { ...adapterOf(file), deltas: deltas.flat(), notes: [...file.notes, ...notes] }
}

/** What an adapter takes over from its file. */
export function adapterOf({ label, kind, files, notes, read = [], takes = [], lora, ggufArchitecture }: AdapterFile): Adapter {
  return { label, kind, files, notes, read, takes, hasGgufNames: ggufArchitecture !== undefined, ...(lora === undefined ? {} : { lora }), deltas: [] }
}

/**
 * Binds an adapter to a base.
 * @param base  by name; only names, shapes and dtypes are looked at
 * @throws MismatchError when a module has no tensor, several, or one of another shape; UnsupportedError for bases whose
 *         weights are quantized
 */
export function resolveTargets(file: AdapterFile, base: ReadonlyMap<string, TensorInfo>, options: ResolveOptions = {}): Adapter {
  refuseFullState(file)
  const { likePeft = false, expertMajorB = false } = options
  const types = options.modelTypes ?? modelTypes(options.config)
  const paths = new ModulePaths(base, types)
  const untied = new Map<string, string>()
  const parameters: BoundParameter[] = []
  const facts: ParameterFacts = { types, packing: expertMajorB ? 'expert' : undefined, taken: new Set() }
  const found: Found[] = []
  const pieces: Piece[] = []
  for (const module of placedModules(file, options.ggufNames)) {
    for (const { name } of module.ggufPlaces ?? []) checkDtype(module, base.get(name))
    const parameter =
      bindPlaces(module) ?? (module.kind === 'switch' ? bindSwitch(module, paths, types) : module.parameters && bindParameter(module, paths, facts))
    if (parameter !== undefined) {
      parameters.push(parameter)
      continue
    }
    const one = findWeight(module, base, paths) ?? findTied(module, file, base, likePeft, untied)
    const some = one === undefined ? findPieces(module, paths) : []
    if (some === undefined) throw notFound(module, base, paths)
    pieces.push(...some)
    if (one !== undefined && one !== 'shared') found.push(one)
  }
  const replaced = resizedBy(found)
  const seen = found.map(({ module, weight }) => ({ module, weight: module.kind === 'whole' ? weight : (replaced.get(weight.name) ?? weight) }))
  for (const { module, weight } of [...seen, ...pieces]) checkDtype(module, weight)
  checkBiases(file, seen, base)
  const transposedOnes = transposedModules(file, seen, base)
  const deltas = seen.flatMap(({ module, weight }) => bindModule(boundOf(module, weight, base, transposedOnes)))
  const all = [...deltas, ...parameters.flatMap((one) => one.deltas)].map((delta) =>
    file.ensuresTie === true && !likePeft ? { ...delta, keepsTie: true } : delta,
  )
  const merged = likePeft ? all.map((delta): Delta => ({ ...delta, keepsTie: delta.keepsTie === true || delta.variant !== 'replace' })) : all
  const fused = pieceDeltas(pieces)
  checkTwice([...merged, ...fused.filter(({ target }, i) => fused.findIndex((other) => other.target === target) === i)], likePeft)
  const note = renameNote(seen)
  const notes = note === undefined ? file.notes : [...file.notes, note]
  const warnings = packingWarnings(file, parameters, facts.packing)
  return { ...adapterOf(file), deltas: [...merged, ...fused], untied, notes, warnings }
}

function boundOf(module: AdapterModule, weight: TensorInfo, base: ReadonlyMap<string, TensorInfo>, transposedOnes: ReadonlySet<AdapterModule>): Bound {
  const bias = weight.name.endsWith('.weight') ? base.get(`${weight.name.slice(0, -'weight'.length)}bias`) : undefined
  return { module, weight, bias, isTransposed: transposedOnes.has(module) }
}

/** The weight of a module, whatever wraps it. nn.MultiheadAttention keeps its own in parameters, and merges its output's twice, in training too. */
function findWeight(module: AdapterModule, base: ReadonlyMap<string, TensorInfo>, paths: ModulePaths): Found | undefined {
  const place = placeOf(module)
  const name = withoutBaseLayer(module.name)
  const attention = module.name.endsWith('.base_layer.out_proj') ? name.slice(0, -'.out_proj'.length) : undefined
  if (attention !== undefined && base.has(`${attention}.in_proj_weight`)) {
    const weight = base.get(`${attention}.out_proj.weight`)
    return weight && { module: { ...module, scale: 2 * module.scale }, weight }
  }
  for (const one of [name, ...(module.aliases ?? [])]) {
    // a parameter of the model itself has no module
    const own = module.factors.has('parameter') && !one.includes('.') ? base.get(one) : undefined
    const weight = own ?? leavesOf(module, one).reduce<TensorInfo | undefined>((found, [path, leaf]) => found ?? paths.find(path, place, leaf), undefined)
    if (weight !== undefined) return { module, weight }
  }
  return undefined
}

/** Where a module's tensor may be: path and the tensor's own name. */
function leavesOf({ kind, factors }: AdapterModule, name: string): [path: string, leaf: string][] {
  const dot = name.lastIndexOf('.')
  const itself: [string, string][] = dot > 0 ? [[name.slice(0, dot), name.slice(dot + 1)]] : []
  if (factors.has('parameter')) return itself
  if (kind === 'gguf') return [[name, 'weight'], ...itself] // fused experts have no ".weight"
  if (kind === 'lora') return [[name, 'weight'], [name, 'in_proj_weight']] // prettier-ignore
  const onlyBias = kind === 'whole' && !factors.has('weight') && !factors.has('baseWeight')
  return onlyBias ? [[name, 'weight'], [name, 'bias']] : [[name, 'weight']] // prettier-ignore
}

/**
 * What a module of an output that the base shares with its embedding is of: a tensor of its own, made of the embedding.
 * `shared` when the adapter holds the embedding's own update a second time.
 */
function findTied(
  module: AdapterModule,
  file: AdapterFile,
  base: ReadonlyMap<string, TensorInfo>,
  likePeft: boolean,
  untied: Map<string, string>,
): Found | 'shared' | undefined {
  const embedding = isTiedHead(module.name) ? tiedEmbedding(base) : undefined
  if (embedding === undefined || module.kind === 'tokens') return undefined
  if (file.ensuresTie === true && (module.kind === 'whole' || !likePeft)) return 'shared'
  if (likePeft && module.kind !== 'whole') return { module, weight: embedding }
  const name = untiedName(module.name, embedding.name)
  untied.set(name, embedding.name)
  return { module, weight: { ...embedding, name } }
}

/** Weights that a wholly trained one replaces, in its shape: the other factors were trained on that. */
function resizedBy(found: readonly Found[]): Map<string, TensorInfo> {
  const resized = new Map<string, TensorInfo>()
  for (const { module, weight } of found) {
    const own = module.kind === 'whole' ? (module.factors.get('baseWeight') ?? module.factors.get('weight')) : undefined
    if (own !== undefined) resized.set(weight.name, { ...weight, shape: own.shape })
  }
  return resized
}

function notFound(module: AdapterModule, base: ReadonlyMap<string, TensorInfo>, paths: ModulePaths): Error {
  const place = placeOf(module)
  const name = withoutBaseLayer(module.name)
  if (base.has(`${name}.qweight`))
    return new UnsupportedError(`the base's ${quoted(`${name}.qweight`)} is quantized (GPTQ or AWQ): use the 16-bit base that it was made from.`, place)
  const nearest = paths.nearest(name)
  const near = nearest.length === 0 ? 'the base has no tensors' : `nearest are ${nameList(nearest)}`
  return new MismatchError(`its module ${quoted(name)} has no weight in the base; ${near}. Is it the base that the adapter was trained on?`, place)
}

function checkDtype(module: AdapterModule, weight: TensorInfo | undefined): void {
  if (weight === undefined || isPlainFloat(weight.dtype)) return
  throw new UnsupportedError(
    `the base's ${quoted(weight.name)} is ${weight.dtype} (quantized): only F32, F16 and BF16 can be merged into; use the 16-bit base.`,
    placeOf(module),
  )
}

/**
 * Which modules the base stores transposed (Conv1D). Shapes tell, except of square matrices: for these, biases and the other
 * modules do. A wrong guess would merge B·A where its transpose belongs.
 */
function transposedModules(file: AdapterFile, found: readonly Found[], base: ReadonlyMap<string, TensorInfo>): ReadonlySet<AdapterModule> {
  const seen = found.map((one) => ({ ...one, lies: orientation(one.module, one.weight) }))
  const transposedOnes = new Set(seen.filter(({ lies }) => lies === 'transposed').map(({ module }) => module))
  if (file.squares !== undefined) {
    const squares = seen.filter(({ lies }) => lies === 'square').map(({ module }) => module)
    if (squares.length > 0 && file.squares === 'ambiguous') throw ambiguousSquares(squares)
    return file.squares === 'transposed' ? new Set([...transposedOnes, ...squares]) : transposedOnes
  }
  const lists = listsStoredTransposed(base)
  for (const { module, weight } of seen.filter(({ lies }) => lies === 'transposed')) if (isCertain(module)) lists.add(listOf(weight.name))
  const storedPlain = seen.some(({ lies }) => lies === 'plain')
  for (const { module, weight, lies } of seen) {
    if (lies !== 'square') continue
    if (lists.has(listOf(weight.name))) transposedOnes.add(module)
    else if (file.fanInFanOut && !storedPlain) {
      throw new MismatchError(
        `fan_in_fan_out is true, but the base's ${quoted(weight.name)} is square and does not tell whether it is stored transposed: set fan_in_fan_out to false in adapter_config.json when the base uses nn.Linear.`,
        placeOf(module),
      )
    }
  }
  return transposedOnes
}

function ambiguousSquares(modules: readonly AdapterModule[]): MismatchError {
  const [first] = modules
  return new MismatchError(
    `the base stores square matrices for ${nameList(modules.map(({ name }) => name))}, which do not tell whether they are (out x in) or (in x out): say --no-fan-in-fan-out for the first (nn.Linear), --fan-in-fan-out for the second (Conv1D of GPT-2).`,
    first === undefined ? {} : { file: placeOf(first).file ?? '' },
  )
}

/** Lists of layers in which a bias has the length of its weight's second dimension: GPT-2's Conv1D. */
function listsStoredTransposed(base: ReadonlyMap<string, TensorInfo>): Set<string> {
  const lists = new Set<string>()
  for (const [name, weight] of base) {
    if (!name.endsWith('.weight') || weight.shape.length !== 2) continue
    const [rows, columns] = weight.shape
    const bias = base.get(`${name.slice(0, -'weight'.length)}bias`)
    if (bias?.shape.length === 1 && rows !== columns && bias.shape[0] === columns) lists.add(listOf(name))
  }
  return lists
}

/** `transformer.h` of `transformer.h.3.attn.c_proj.weight`: what stands before the first number. */
function listOf(name: string): string {
  const parts = name.split('.')
  const number = parts.findIndex((part) => /^\d+$/.test(part))
  return number < 0 ? name : parts.slice(0, number).join('.')
}

/** A config that says that biases were trained, a base that has some, and a file that holds none: part of the adapter is missing. */
function checkBiases(file: AdapterFile, found: readonly Found[], base: ReadonlyMap<string, TensorInfo>): void {
  if (file.trainsBiases !== true || found.some(({ module: { factors } }) => factors.has('bias') || factors.has('baseBias'))) return
  const [bias] = found.flatMap(({ weight }) => base.get(weight.name.replace(/weight$/, 'bias')) ?? [])
  if (bias === undefined) return
  throw new MismatchError(`"bias" says that biases were trained, but the file holds none, and the base has ${quoted(bias.name)}: save the adapter again.`, {
    file: file.label,
  })
}

/** No tensor is changed twice in the same way: the adapter would name one module twice. */
function checkTwice(deltas: readonly Delta[], likePeft: boolean): void {
  const taken = new Map<string, Delta>()
  for (const delta of deltas) {
    const key = `${whatChanges(delta)} ${delta.target}`
    const other = taken.get(key)
    // one module may have several parts: its own binder made them
    if (other !== undefined && other.module !== delta.module && !(likePeft && isTiedHead(delta.module) !== isTiedHead(other.module)))
      throw new MismatchError(`module ${quoted(delta.module)} would change ${quoted(delta.target)}, which ${quoted(other.module)} changes already.`)
    taken.set(key, delta)
  }
}

/** What of its tensor a delta changes: parts of a fused matrix may be of several modules. */
function whatChanges(delta: Delta): string {
  if ('lay' in delta && delta.lay !== undefined) return `update of ${delta.module}`
  if (delta.variant === 'grouped') return `update ${delta.parts.map((part) => ('zeros' in part ? '-' : '+')).join('')}`
  return delta.variant === 'replace' || delta.variant === 'tokens' ? delta.variant : 'update'
}

function renameNote(found: readonly Found[]): string | undefined {
  const renamed = found.find(({ module, weight }) => weight.name.endsWith('.weight') && weight.name !== `${withoutBaseLayer(module.name)}.weight`)
  return renamed && `Module names differ from the base's: ${quoted(renamed.module.name)} is ${quoted(renamed.weight.name)}.`
}
