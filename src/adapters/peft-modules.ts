/**
 * Tensors of a PEFT adapter -> its modules with ranks and scales. Every rule that needs no base is checked here: factors
 * are complete, ranks are the config's, no tensor is empty or left over.
 *
 * Law: PEFT 0.21.2 tuners/<type>/layer.py `update_layer`. Stricter here: PEFT only warns of a missing B, and says nothing
 * of keys that it does not use.
 */
import { isPlainFloat } from '../core/dtypes.js'
import { FormatError, MismatchError, quoted, UnsupportedError } from '../core/errors.js'
import { shapeText } from '../core/shape.js'
import type { TensorInfo } from '../core/tensor-info.js'
import type { AdapterModule, ModuleKind } from './adapter-file.js'
import { splitKey, type FactorRole } from './key-suffixes.js'
import { MODULE_KINDS, ROLE_KEYS, type KindRow } from './module-kinds.js'
import { patternLookup } from './patterns.js'
import type { PeftConfig } from './peft-config.js'

const PREFIX = 'base_model.model.'
/** Module of tensors that all modules share: VeRA's projections lie outside the model. */
const SHARED = 'base_model'
const SHARED_FACTORS: ReadonlySet<FactorRole> = new Set<FactorRole>(['veraA', 'veraB'])
const EMPTY = 'saved under DeepSpeed ZeRO-3 without gathering. Save it again with stage3_gather_16bit_weights_on_model_save, or from zero_to_fp32.py.'
/** Which dimension of a factor is the rank. */
const RANK_AXES: Readonly<Partial<Record<FactorRole, number>>> = {
  A: 0,
  B: 1,
  embeddingA: 0,
  embeddingB: 1,
  hada1A: 1,
  hada1B: 0,
  hada2A: 1,
  hada2B: 0,
  deloraA: 0,
  deloraB: 1,
}
const VECTORS: ReadonlySet<FactorRole> = new Set<FactorRole>([
  'deloraLambda',
  'deloraNorm',
  'magnitude',
  'trainedBias',
  'veraRowsOfA',
  'veraRowsOfB',
  'weight',
  'bias',
  'baseWeight',
  'baseBias',
])

/** Kinds without an alpha. */
const UNSCALED: ReadonlySet<ModuleKind> = new Set<ModuleKind>(['ia3', 'vera', 'pvera', 'hira', 'miss', 'delora'])

type Factors = Map<FactorRole, TensorInfo>

/**
 * @param file        name of the weights file, for messages
 * @param configFile  name of adapter_config.json, for messages
 */
export function readModules(tensors: readonly TensorInfo[], config: PeftConfig, file: string, configFile: string): AdapterModule[] {
  const byModule = collect(tensors, config, file)
  const shared = takeShared(byModule)
  const parts = [...byModule].flatMap(([name, factors]) => splitFactors(name, factors, config, file))
  if (!parts.some(({ row }) => config.peftType !== 'LORA' || row.types !== undefined || row.kind === 'tokens'))
    throw new MismatchError(
      `holds no ${config.peftType === 'LORA' ? 'LoRA' : 'trained'} tensors at all: nothing would be merged. Was it saved before training?`,
      { file },
    )

  const rankOf = patternLookup(config.rankPattern, 'rank_pattern', configFile)
  const alphaOf = patternLookup(config.alphaPattern, 'alpha_pattern', configFile)
  return parts.map(({ row, name, factors }): AdapterModule => {
    if (row.kind === 'whole') return { kind: 'whole', name, factors, rank: 0, alpha: 0, scale: 1 }
    if (row.kind === 'tokens') return { kind: 'tokens', name, factors, rank: 0, alpha: 0, scale: 1, ids: tokenIds(name, config, configFile) }
    const settings = (path: string): Pick<AdapterModule, 'rank' | 'alpha' | 'scale'> & { field: string } => {
      const own = rankOf(path)
      const [rank, alpha] = [own ?? config.rank, alphaOf(path) ?? config.alpha]
      return { rank, alpha, scale: scaleOf(row, alpha, rank, config, name, configFile), field: own === undefined ? '"r"' : '"rank_pattern"' }
    }
    const { field, ...own } = settings(name)
    if (row.kind === 'vera' || row.kind === 'pvera') for (const [role, tensor] of shared) factors.set(role, tensor)
    const parameters = row.kind === 'lora' ? parametersOf(name, config) : []
    const module = { kind: row.kind, name, factors, ...own }
    if (parameters.length > 0) {
      const choices = parameters.map((parameter) => {
        const { rank, alpha, scale } = settings(`${withoutBaseLayer(name)}.${parameter}`)
        return { name: parameter, rank, alpha, scale, packing: config.expertPacking(parameter) }
      })
      return { ...module, parameters: choices, ...parameterDirection(config) }
    }
    checkFactors(row, factors, own.rank, field, config, file)
    return config.peftType === 'ADALORA' ? { ...module, rank: factors.get('bareA')?.shape[0] ?? 0 } : module
  })
}

/** `X.base_layer.base_layer` is X, wrapped twice. */
export function withoutBaseLayer(module: string): string {
  return module
    .split('.')
    .filter((part) => part !== 'base_layer')
    .join('.')
}

/** Takes all keys apart. @throws when one is unknown or refused, or belongs to another adapter */
function collect(tensors: readonly TensorInfo[], { peftType }: PeftConfig, file: string): Map<string, Factors> {
  const byModule = new Map<string, Factors>()
  const names = new Set<string | undefined>()
  let [first, firstName]: [string | undefined, string] = [undefined, '']
  for (const tensor of tensors) {
    const place = { file, tensor: tensor.name }
    const key = splitKey(tensor.name.startsWith(PREFIX) ? tensor.name.slice(PREFIX.length) : tensor.name)
    if (key === undefined) throw new MismatchError(`is no tensor of a ${peftType} adapter (its key ends in nothing known), so it would be left over.`, place)
    if ('refused' in key.meaning)
      throw new UnsupportedError(`is ${key.meaning.refused}: not yet supported with peft_type ${peftType}; merge this adapter with PEFT.`, place)
    if ('ignored' in key.meaning) continue
    const { role } = key.meaning
    const isWhole = key.adapterName === undefined && (role === 'weight' || role === 'bias' || role === 'baseWeight' || role === 'baseBias')
    if (!isWhole) {
      if (names.size === 0) [first, firstName] = [key.adapterName, tensor.name]
      names.add(key.adapterName)
      if (names.size > 1 && key.adapterName !== first)
        throw new MismatchError(`belongs to another adapter than ${quoted(firstName)}: save each adapter in a folder of its own.`, place)
    }
    const module = role === 'tokens' ? key.module.replace(/\.token_adapter$/, '') : key.module
    const factors = byModule.get(module) ?? new Map<FactorRole, TensorInfo>()
    byModule.set(module, factors)
    if (factors.has(role)) throw new MismatchError(`says the same as ${quoted(factors.get(role)?.name ?? '')}: one of them would be left over.`, place)
    factors.set(role, tensor)
  }
  return byModule
}

function takeShared(byModule: Map<string, Factors>): Factors {
  const found = byModule.get(SHARED) ?? new Map<FactorRole, TensorInfo>()
  const shared = new Map([...found].filter(([role]) => SHARED_FACTORS.has(role)))
  for (const role of shared.keys()) found.delete(role)
  if (found.size === 0) byModule.delete(SHARED)
  return shared
}

/** What a module's tensors are, by the table: a module can be trained in more than one way. */
function splitFactors(name: string, all: Factors, { peftType, dora }: PeftConfig, file: string): { row: KindRow; name: string; factors: Factors }[] {
  const found: { row: KindRow; name: string; factors: Factors }[] = []
  const rest = new Map(all)
  while (rest.size > 0) {
    const row = rowFor(rest, peftType)
    const [some] = rest.values()
    const place = { file, tensor: some?.name ?? '' }
    if (row === undefined)
      throw new MismatchError(
        `belongs to a module without ${missingPartner(rest)}, so it would be left over: the file is incomplete, save the adapter again.`,
        place,
      )
    if (row.types?.includes(peftType) === false)
      throw new UnsupportedError(`is one of ${row.what}, which peft_type ${peftType} does not have: do ${file} and its config belong together?`, place)
    const missing = row.needs.find((role) => !rest.has(role))
    if (missing !== undefined) {
      const partner = ROLE_KEYS[missing] ?? missing
      throw new MismatchError(`has no partner ${partner} in the file, so its update is unknown: the file is incomplete, save the adapter again.`, place)
    }
    const factors: Factors = new Map()
    for (const role of [...row.needs, ...(row.may ?? [])]) {
      const tensor = rest.get(role)
      if (tensor !== undefined) factors.set(role, tensor)
      rest.delete(role)
    }
    if (dora && row.may?.includes('magnitude') === true && !factors.has('magnitude'))
      throw new MismatchError(
        'has no partner lora_magnitude_vector in the file, though use_dora is true: the file is incomplete, save the adapter again.',
        place,
      )
    for (const [role, tensor] of factors) checkForm(role, tensor, file)
    found.push({ row, name, factors })
  }
  return found
}

/** The complete row, or else the first that some tensor belongs to; rows of this peft_type before others. */
function rowFor(factors: Factors, peftType: string): KindRow | undefined {
  const own = MODULE_KINDS.filter(({ types }) => types?.includes(peftType) !== false)
  const has = (role: FactorRole): boolean => factors.has(role)
  return own.find(({ needs }) => needs.every(has)) ?? own.find(({ needs }) => needs.some(has)) ?? MODULE_KINDS.find(({ needs }) => needs.some(has))
}

function missingPartner(factors: Factors): string {
  const row = MODULE_KINDS.find(({ may = [] }) => may.some((role) => factors.has(role)))
  return row?.needs.map((role) => ROLE_KEYS[role] ?? role).join(' and ') ?? 'factors'
}

function checkForm(role: FactorRole, tensor: TensorInfo, file: string): void {
  const place = { file, tensor: tensor.name }
  if (tensor.shape.includes(0)) throw new MismatchError(`is empty (shape ${shapeText(tensor.shape)}): ${EMPTY}`, place)
  if (!VECTORS.has(role) && tensor.shape.length < 2)
    throw new MismatchError(`has shape ${shapeText(tensor.shape)} where a matrix of two dimensions is wanted.`, place)
  if (!isPlainFloat(tensor.dtype)) throw new UnsupportedError(`has dtype ${tensor.dtype}; factors must be F32, F16 or BF16.`, place)
}

function checkFactors({ kind }: KindRow, factors: Factors, rank: number, field: string, { peftType }: PeftConfig, file: string): void {
  if ((kind === 'vera' || kind === 'pvera') && (!factors.has('veraA') || !factors.has('veraB'))) {
    throw new UnsupportedError(
      'the file holds no vera_A and vera_B (save_projection was false), and they cannot be made again without torch’s random numbers: merge it with PEFT, or save it again with save_projection=True.',
      { file },
    )
  }
  for (const [role, tensor] of factors) {
    const axis = RANK_AXES[role]
    if (axis === undefined || tensor.shape[axis] === rank) continue
    throw new MismatchError(
      `has shape ${shapeText(tensor.shape)}, rank ${tensor.shape[axis]}, but adapter_config.json gives it rank ${rank} (${field}) for peft_type ${peftType}.`,
      { file, tensor: tensor.name },
    )
  }
}

function scaleOf({ kind }: KindRow, alpha: number, rank: number, { peftType, rankStabilized }: PeftConfig, module: string, file: string): number {
  if (UNSCALED.has(kind)) return 1
  // PEFT adds 1e-5 to the rank that AdaLoRA began with, whatever is left of it
  const scale = peftType === 'ADALORA' ? (alpha > 0 ? alpha : rank) / (rank + 1e-5) : alpha / (rankStabilized ? Math.sqrt(rank) : rank)
  if (!Number.isFinite(Math.fround(scale))) throw new FormatError(`lora_alpha ${alpha} gives module ${quoted(module)} a scale too large for f32.`, { file })
  return scale
}

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
