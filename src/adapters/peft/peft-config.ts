/**
 * adapter_config.json of PEFT -> the facts that merging needs. Untrusted JSON goes through small readers that name
 * the key; unknown (newer) fields are ignored; every field that means a result that is not known here is refused by name.
 *
 * Law: PEFT 0.21.2 tuners/<type>/config.py. Stricter here: peft_type, r and lora_alpha must be there (PEFT
 * fills in 8 and 8 and gives a silently wrong scale), numbers are numbers.
 */
import { FormatError, quoted, UnsupportedError } from '../../core/errors.js'
import { isObject, type Json, type JsonObject } from '../../core/json.js'
import type { AdapterOptions, ExpertPacking } from '../adapter-file.js'
import {
  MAX_RANK,
  asFinite,
  asRank,
  readBoolean,
  readNames,
  readPattern,
  readString,
  readTargets,
  readTokenIds,
  saysSomething,
  valueText,
  wrong,
} from './peft-fields.js'
import { peftTypeRow, refusedPeftType, type OptionRow, type OptionValue } from './peft-types.js'

export interface PeftConfig {
  readonly peftType: string
  /** 0 for types without one. */
  readonly rank: number
  /** 0 for types without one. */
  readonly alpha: number
  /** use_rslora: scale is alpha / sqrt(rank). */
  readonly rankStabilized: boolean
  /** Pattern and rank, in file order: the first that matches wins. */
  readonly rankPattern: ReadonlyMap<string, number>
  readonly alphaPattern: ReadonlyMap<string, number>
  readonly fanInFanOut: boolean
  readonly dora: boolean
  /** The base loses its smallest singular components before anything is added. */
  readonly kasa: boolean
  /** The initialisation that changed the base before training, when it was one. */
  readonly residualInit: string | undefined
  /** Modules whose inputs are scaled, not outputs: IA3. */
  readonly feedforwardModules: string | readonly string[]
  /** What else this kind's config says of its tensors: peft-types.ts. */
  readonly options: ReadonlyMap<string, OptionValue>
  /** "bias" is all, or those of the trained modules only. */
  readonly trainsBiases: boolean
  /** Names of parameters, not of modules, that have factors: fused experts. */
  readonly targetParameters: readonly string[]
  /** How B of a parameter of many experts is packed; undefined when nothing says so. */
  readonly expertPacking: (parameter: string) => ExpertPacking | undefined
  /** Rows that are trained as a whole: of the input embedding, or by the end of a module's name. */
  readonly tokenIds: readonly number[] | ReadonlyMap<string, readonly number[]>
  /** Embedding and output were trained as one. */
  readonly ensuresTie: boolean
  /** A pattern, a list of names, or undefined. Not needed to merge. */
  readonly targetModules: string | readonly string[] | undefined
  readonly modulesToSave: readonly string[]
  /** Data for messages and receipts, never a path to open. */
  readonly baseModel: string | undefined
  readonly taskType: string | undefined
  readonly peftVersion: string | undefined
}

interface Asked extends AdapterOptions {
  readonly converted?: string | undefined
}

/** Fields that change the result; each is refused while its value says anything at all. */
const REFUSED_FIELDS: readonly { readonly field: string; readonly what: string; readonly wayOut: string }[] = [
  {
    field: 'layer_replication',
    what: 'copied layers',
    wayOut: 'is not merged here: PEFT itself adds the updates of all copies to one; copy the layers into a base of its own and renumber the adapter.',
  },
  { field: 'use_qalora', what: 'QA-LoRA', wayOut: 'is not supported: it is merged into a quantized base only.' },
  {
    field: 'alora_invocation_tokens',
    what: 'activated LoRA',
    wayOut: 'cannot be merged: it acts only after its invocation tokens. Serve it with PEFT or vLLM.',
  },
  { field: 'arrow_config', what: 'Arrow routing', wayOut: 'cannot be merged: it chooses adapters by input at run time. Serve it with PEFT.' },
]

/** Initialisations that change the base before training, by how their word in the config begins (`pissa_niter_4`). */
export const RESIDUAL_INITS: readonly { readonly word: string; readonly name: string }[] = [
  { word: 'pissa', name: 'PiSSA' },
  { word: 'olora', name: 'OLoRA' },
  { word: 'corda', name: 'CorDA' },
  { word: 'lora_ga', name: 'LoRA-GA' },
  { word: 'loftq', name: 'LoftQ' },
]

const CHANGES_BASE = 'this initialisation changes the base before training, so merging into the original base gives wrong weights'

/** What becomes of them, in a sentence. */
export const RESIDUAL_WAY_OUT = `${CHANGES_BASE}; convert the adapter to plain LoRA (PEFT: save_pretrained with path_initial_model_for_weight_conversion); or, if the base given is the changed one, say --base-is-residual.`

/** Fields of a config that are refused while they say anything. */
export function refusedFields(): typeof REFUSED_FIELDS {
  return REFUSED_FIELDS
}

/** Initialisations that leave the base as it is. */
const PLAIN_INITS: ReadonlySet<Json> = new Set<Json>([true, false, 'gaussian', 'orthogonal', 'eva', 'mica'])
const BIASES = /^(?:none|all|[a-z0-9]+_only)$/i

/**
 * Reads the facts.
 * @param config  the parsed file
 * @param file    its name, for messages
 * @param asked   `converted`: a folder beside it with the same adapter as plain LoRA; `baseIsResidual`: the base is the one that an initialisation left
 * @throws FormatError for values of the wrong kind, UnsupportedError for what is not plain LoRA
 */
export function readPeftConfig(config: JsonObject, file: string, asked: Asked = {}): PeftConfig {
  const peftType = readString(config, 'peft_type', file)
  if (peftType === undefined) throw new FormatError('has no "peft_type": this is not the adapter_config.json of a PEFT adapter.', { file })
  const refused = refusedPeftType(peftType)
  if (refused !== undefined) throw new UnsupportedError(`an adapter of peft_type ${quoted(peftType)} ${refused}`, { file })

  const { rank, alpha, init, patterns = false, options = {} } = peftTypeRow(peftType)
  const facts: PeftConfig = {
    peftType,
    rank: rank === undefined ? 0 : asRank(config.get(rank), quoted(rank), file),
    alpha: alpha === undefined ? 0 : asFinite(config.get(alpha), quoted(alpha), file),
    rankStabilized: readBoolean(config, 'use_rslora', file),
    rankPattern: patterns ? readPattern(config, 'rank_pattern', file, asRank) : new Map(),
    alphaPattern: patterns ? readPattern(config, 'alpha_pattern', file, asFinite) : new Map(),
    fanInFanOut: readBoolean(config, 'fan_in_fan_out', file),
    options: new Map([...readOptions(config, options, file), ...(DERIVED.get(peftType)?.(config, file, asked) ?? [])]),
    trainsBiases: saysSomething(config.get('bias')) && config.get('bias') !== 'none',
    dora: peftType === 'LORA' && readBoolean(config, 'use_dora', file),
    kasa: peftType === 'LORA' && saysSomething(config.get('kasa_config')),
    residualInit: residualInit(init === undefined ? undefined : config.get(init)),
    targetParameters: peftType === 'LORA' ? readNames(config, 'target_parameters', file) : [],
    expertPacking: readPacking(config, file),
    tokenIds: readTokenIds(config, peftType === 'TRAINABLE_TOKENS' ? 'token_indices' : 'trainable_token_indices', file),
    ensuresTie: readBoolean(config, 'ensure_weight_tying', file),
    feedforwardModules: readTargets(config, 'feedforward_modules', file) ?? [],
    targetModules: readTargets(config, 'target_modules', file),
    modulesToSave: readNames(config, 'modules_to_save', file),
    baseModel: readString(config, 'base_model_name_or_path', file),
    taskType: readString(config, 'task_type', file),
    peftVersion: readString(config, 'peft_version', file),
  }
  refuseOtherThanKnown(config, facts, file)
  refuseInit(config, facts, init, file, asked)
  return facts
}

function refuseOtherThanKnown(config: JsonObject, { peftType }: PeftConfig, file: string): void {
  for (const { field, what, wayOut } of REFUSED_FIELDS) {
    if (saysSomething(config.get(field))) throw new UnsupportedError(`peft_type ${peftType} with ${quoted(field)} (${what}) ${wayOut}`, { file })
  }
  const bias = config.get('bias')
  if (saysSomething(bias) && !(typeof bias === 'string' && BIASES.test(bias)))
    throw new UnsupportedError(`peft_type ${peftType} with "bias" ${valueText(bias)}, which is not known here ("none", "all" and "…_only" are).`, { file })
}

function refuseInit(
  config: JsonObject,
  { peftType, residualInit: residual }: PeftConfig,
  field: string | undefined,
  file: string,
  { converted, baseIsResidual = false }: Asked,
): void {
  if (field === undefined || (residual !== undefined && baseIsResidual)) return
  const init = config.get(field) ?? true
  if (PLAIN_INITS.has(typeof init === 'string' ? init.toLowerCase() : init)) return
  const why = residual === undefined ? 'this initialisation is not known here and may have changed the base, or the formula' : CHANGES_BASE
  const convert =
    converted === undefined
      ? 'convert the adapter to plain LoRA (PEFT: save_pretrained with path_initial_model_for_weight_conversion)'
      : `name the folder ${quoted(converted)} in it, which holds the adapter converted to plain LoRA`
  const wayOut =
    residual === undefined
      ? "merge it with PEFT's merge_and_unload() and give the result as the base."
      : `${convert}; or, if the base given is the changed one, say --base-is-residual.`
  throw new UnsupportedError(`peft_type ${peftType} with ${quoted(field)} ${valueText(init)}: ${why}; ${wayOut}`, { file })
}

function residualInit(init: Json | undefined): string | undefined {
  return typeof init === 'string' && RESIDUAL_INITS.some(({ word }) => init.toLowerCase().startsWith(word)) ? init : undefined
}

/** Options that are no fields of their own. */
const DERIVED: ReadonlyMap<string, (config: JsonObject, file: string, asked: Asked) => [string, OptionValue][]> = new Map<
  string,
  (config: JsonObject, file: string, asked: Asked) => [string, OptionValue][]
>([
  ['LORA', readDiagonalBlocks],
  // up to 0.17 the series counted its last power twice, and was trained so; PEFT itself has only the new one now
  ['OFT', (config, file, { likePeft = false }) => [['old_cayley_neumann', !likePeft && isBefore(readString(config, 'peft_version', file), 0, 18)]]],
])

/** Whether a version is older; one that is not named is, for PEFT names it since 0.18. */
function isBefore(version: string | undefined, major: number, minor: number): boolean {
  const [, ownMajor, ownMinor] = /^(\d+)\.(\d+)/.exec(version ?? '') ?? []
  return ownMajor === undefined || Number(ownMajor) < major || (Number(ownMajor) === major && Number(ownMinor) < minor)
}

/** BD-LoRA: of how many blocks the block-diagonal factors are. */
function readDiagonalBlocks(config: JsonObject, file: string): [string, OptionValue][] {
  const given = config.get('use_bdlora')
  if (given === undefined || !saysSomething(given)) return []
  return [['nblocks', asRank(isObject(given) ? given.get('nblocks') : undefined, '"nblocks" of "use_bdlora"', file)]]
}

function readOptions(config: JsonObject, rows: Readonly<Record<string, OptionRow>>, file: string): ReadonlyMap<string, OptionValue> {
  const found = new Map<string, OptionValue>()
  for (const [field, row] of Object.entries(rows)) {
    const value = optionValue(config.get(field) ?? row.otherwise, row, field, file)
    if (value !== undefined) found.set(field, value)
  }
  return found
}

function optionValue(value: Json | undefined, row: OptionRow, field: string, file: string): OptionValue | undefined {
  const key = quoted(field)
  if (value === undefined) return undefined
  switch (row.is) {
    case 'flag':
      if (typeof value !== 'boolean') throw wrong(file, key, 'true or false', value)
      return value
    case 'count':
      if (typeof value !== 'number' || !Number.isInteger(value) || value < row.least || value > MAX_RANK)
        throw wrong(file, key, `a whole number from ${row.least} to ${MAX_RANK}`, value)
      return value
    case 'number':
      return asFinite(value, key, file)
    case 'word':
      if ((typeof value !== 'string' && typeof value !== 'boolean') || !row.words.includes(value))
        throw new UnsupportedError(`${key} is ${valueText(value)}, which is not known here (${row.words.map(String).join(', ')} are).`, { file })
      return value
  }
}

/** What Unsloth notes: for the whole file, and for single parameters. */
const PACKINGS: ReadonlyMap<Json, ExpertPacking> = new Map<Json, ExpertPacking>([
  ['rank_major', 'rank'],
  ['grouped_by_expert', 'expert'],
])

function readPacking(config: JsonObject, file: string): PeftConfig['expertPacking'] {
  const fused = config.get('unsloth_fused_expert_lora')
  const parameters = isObject(fused) ? fused.get('parameters') : undefined
  const read = (value: Json | undefined): ExpertPacking | undefined => {
    if (value === undefined || value === null) return undefined
    const packing = PACKINGS.get(value)
    if (packing === undefined)
      throw new UnsupportedError(`"lora_B_layout" is ${valueText(value)}, which is not known here ("rank_major" and "grouped_by_expert" are).`, { file })
    return packing
  }
  const all = read(config.get('lora_B_layout'))
  const own = new Map<string, ExpertPacking | undefined>()
  for (const [name, facts] of isObject(parameters) ? parameters : []) if (isObject(facts)) own.set(name, read(facts.get('lora_B_layout')))
  return (parameter) => own.get(parameter) ?? all
}
