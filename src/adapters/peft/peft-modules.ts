/**
 * Tensors of a PEFT adapter -> its modules with ranks and scales. Every rule that needs no base is checked here: factors
 * are complete, ranks are the config's, no tensor is empty or left over.
 *
 * Law: PEFT 0.21.2 tuners/<type>/layer.py `update_layer`. Stricter here: PEFT only warns of a missing B, and says nothing
 * of keys that it does not use.
 */
import { FormatError, MismatchError, quoted, UnsupportedError } from '../../core/errors.js'
import { shapeText } from '../../core/shape.js'
import type { TensorInfo } from '../../core/tensor-info.js'
import type { AdapterModule, ModuleKind } from '../adapter-file.js'
import type { FactorRole } from '../key-suffixes.js'
import type { KindRow } from './module-kinds.js'
import { patternLookup } from './patterns.js'
import type { PeftConfig } from './peft-config.js'
import { collect, giveShared, takeShared, type Factors } from './peft-keys.js'
import { splitFactors, type Part } from './peft-parts.js'
import { peftTypeRow } from './peft-types.js'
import { compilePattern, patternBudget } from '../../core/safe-pattern.js'

/** Which dimension of a factor is the rank. */
const RANK_AXES: Readonly<Partial<Record<FactorRole, number>>> = {
  A: 0,
  B: 1,
  diagonal: 0,
  embeddingA: 0,
  embeddingB: 1,
  hiraEmbeddingA: 0,
  hiraEmbeddingB: 1,
  hiraA: 0,
  hiraB: 1,
  deloraA: 0,
  deloraB: 1,
  hra: 1,
  randLambda: 0,
  vbLogitsA: 0,
  vbLogitsB: 1,
  vbIdsA: 0,
  vbIdsB: 1,
  graA: 2,
  graB: 1,
  peanutA: 0,
  peanutB: 1,
}
/**
 * @param file        name of the weights file, for messages
 * @param configFile  name of adapter_config.json, for messages
 * @param groups      TinyLoRA: which of the shared vectors a module has; the first where it does not say
 */
export function readModules(
  tensors: readonly TensorInfo[],
  config: PeftConfig,
  file: string,
  configFile: string,
  groups: ReadonlyMap<string, number> = new Map(),
): AdapterModule[] {
  const byModule = collect(tensors, config, file)
  const shared = takeShared(byModule)
  const parts = [...byModule].flatMap(([name, factors]) => splitFactors(name, factors, config, file))
  if (!parts.some(({ row }) => config.peftType !== 'LORA' || row.types !== undefined || row.kind === 'tokens'))
    throw new MismatchError(
      `holds no ${config.peftType === 'LORA' ? 'LoRA' : 'trained'} tensors at all: nothing would be merged. Was it saved before training?`,
      { file },
    )
  const lookups = {
    rankOf: patternLookup(config.rankPattern, 'rank_pattern', configFile),
    alphaOf: patternLookup(config.alphaPattern, 'alpha_pattern', configFile),
  }
  const used = new Set<FactorRole>()
  const modules = parts.map((part) => {
    giveShared(part, shared, groups, used)
    return moduleOf(part, config, lookups, file, configFile)
  })
  for (const [role, tensor] of shared)
    if (!used.has(role)) throw new MismatchError(`is shared by modules of which the file holds none, so it would be left over.`, { file, tensor: tensor.name })
  return modules
}

type Lookups = Record<'rankOf' | 'alphaOf', (module: string) => number | undefined>

function moduleOf({ row, name, factors }: Part, config: PeftConfig, { rankOf, alphaOf }: Lookups, file: string, configFile: string): AdapterModule {
  if (row.kind === 'whole') return { kind: 'whole', name, factors, rank: 0, alpha: 0, scale: 1 }
  if (row.kind === 'tokens') return { kind: 'tokens', name, factors, rank: 0, alpha: 0, scale: 1, ids: tokenIds(name, config, configFile) }
  const settings = (path: string): Pick<AdapterModule, 'rank' | 'alpha' | 'scale'> & { field: string } => {
    const own = rankOf(path)
    const [rank, alpha] = [own ?? config.rank, alphaOf(path) ?? config.alpha]
    return { rank, alpha, scale: scaleOf(alpha, rank, config, name, configFile), field: own === undefined ? '"r"' : '"rank_pattern"' }
  }
  const { field, ...own } = settings(name)
  const parameters = row.kind === 'lora' ? parametersOf(name, config) : []
  const module = { kind: row.kind, name, factors, ...own, options: optionsOf(row, name, config) }
  if (parameters.length > 0) {
    const choices = parameters.map((parameter) => {
      const { rank, alpha, scale } = settings(`${withoutBaseLayer(name)}.${parameter}`)
      return { name: parameter, rank, alpha, scale, packing: config.expertPacking(parameter) }
    })
    return { ...module, parameters: choices, ...parameterDirection(config) }
  }
  checkFactors(row, factors, own.rank, field, config, file)
  return config.peftType === 'ADALORA' ? { ...module, rank: factors.get('bareA')?.shape[0] ?? 0 } : module
}

/** The config's own, and what it says of this module. */
function optionsOf({ kind }: KindRow, name: string, { options, feedforwardModules }: PeftConfig): PeftConfig['options'] {
  if (kind !== 'ia3') return options
  // PEFT's rule: the end of the name, whether a part of it begins there or not
  const isFeedforward =
    typeof feedforwardModules === 'string'
      ? compilePattern(feedforwardModules, 'feedforward_modules', patternBudget()).fullMatch(name)
      : feedforwardModules.some((end) => name.endsWith(end))
  return new Map([...options, ['feedforward', isFeedforward]])
}

/** `X.base_layer.base_layer` is X, wrapped twice. */
export function withoutBaseLayer(module: string): string {
  return module
    .split('.')
    .filter((part) => part !== 'base_layer')
    .join('.')
}

/** What a kind cannot do without, though its modules may be saved without it. */
const PROJECTIONS: ReadonlyMap<ModuleKind, readonly [FactorRole, FactorRole, string]> = new Map<ModuleKind, readonly [FactorRole, FactorRole, string]>([
  ['vera', ['veraA', 'veraB', 'vera_A and vera_B']],
  ['pvera', ['veraA', 'veraB', 'pvera_A and pvera_B']],
  ['randlora', ['randA', 'randB', 'randlora_A and randlora_B']],
])

function checkFactors({ kind }: KindRow, factors: Factors, rank: number, field: string, config: PeftConfig, file: string): void {
  const [first, second, names] = PROJECTIONS.get(kind) ?? []
  if (first !== undefined && second !== undefined && !(factors.has(first) && factors.has(second))) {
    throw new UnsupportedError(
      `the file holds no ${names} (save_projection was false), and they cannot be made again without torch’s random numbers: merge it with PEFT, or save it again with save_projection=True.`,
      { file },
    )
  }
  if (kind === 'vblora' && !factors.has('vbBank'))
    throw new MismatchError('holds no vblora_vector_bank: the file is incomplete, save the adapter again.', { file })
  for (const [role, tensor] of factors) {
    const axis = RANK_AXES[role]
    if (axis === undefined || rank === 0 || tensor.shape[axis] === rank) continue
    if (role === 'B' && (tensor.shape[axis] ?? 0) * Number(config.options.get('nblocks') ?? 0) === rank) continue // BD-LoRA
    throw new MismatchError(
      `has shape ${shapeText(tensor.shape)}, rank ${tensor.shape[axis]}, but adapter_config.json gives it rank ${rank} (${field}) for peft_type ${config.peftType}.`,
      { file, tensor: tensor.name },
    )
  }
}

function scaleOf(alpha: number, rank: number, { peftType, rankStabilized, options }: PeftConfig, module: string, file: string): number {
  if (peftTypeRow(peftType).alpha === undefined) return 1
  const scale = SCALES.get(peftType)?.(alpha, rank, options) ?? alpha / (rankStabilized ? Math.sqrt(rank) : rank)
  if (!Number.isFinite(Math.fround(scale))) throw new FormatError(`lora_alpha ${alpha} gives module ${quoted(module)} a scale too large for f32.`, { file })
  return scale
}

/** Where the scale is other than alpha / rank. */
const SCALES: ReadonlyMap<string, (alpha: number, rank: number, options: PeftConfig['options']) => number> = new Map<
  string,
  (alpha: number, rank: number, options: PeftConfig['options']) => number
>([
  // PEFT adds 1e-5 to the rank that AdaLoRA began with, whatever is left of it
  ['ADALORA', (alpha, rank) => (alpha > 0 ? alpha : rank) / (rank + 1e-5)],
  ['GRALORA', (alpha, rank, options) => alpha / (rank + Number(options.get('hybrid_r') ?? 0))],
])

/** Names of the parameters that a module's factors may be of: those of target_parameters whose module it is, or that name no module. */
function parametersOf(module: string, { targetParameters }: PeftConfig): string[] {
  const name = withoutBaseLayer(module)
  return targetParameters.flatMap((target) => {
    const dot = target.lastIndexOf('.')
    const parent = target.slice(0, Math.max(0, dot))
    return parent === '' || name === parent || name.endsWith(`.${parent}`) ? [target.slice(dot + 1)] : []
  })
}

/** PEFT 0.19 exchanged inputs and outputs of parameters. */
function parameterDirection({ peftVersion }: PeftConfig): { turnsParameters?: boolean } {
  const [, major, minor] = /^(\d+)\.(\d+)/.exec(peftVersion ?? '') ?? []
  return major === undefined ? {} : { turnsParameters: Number(major) === 0 && Number(minor) < 19 }
}

function tokenIds(module: string, { tokenIds: ids }: PeftConfig, file: string): readonly number[] {
  if (!(ids instanceof Map)) return ids as readonly number[] // a list: of the input embedding
  for (const [suffix, own] of ids as ReadonlyMap<string, readonly number[]>) if (module === suffix || module.endsWith(`.${suffix}`)) return own
  throw new MismatchError(`"trainable_token_indices" names no tokens for module ${quoted(module)}, whose rows are in the weights.`, { file })
}
