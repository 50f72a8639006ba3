/**
 * adapter_config.json of PEFT -> the facts that merging needs. Untrusted JSON goes through small readers that name
 * the key; unknown (newer) fields are ignored; every field that means a result that is not known here is refused by name.
 *
 * Law: PEFT 0.21.2 tuners/<type>/config.py. Stricter here: peft_type, r and lora_alpha must be there (PEFT
 * fills in 8 and 8 and gives a silently wrong scale), numbers are numbers.
 */
import { FormatError, quoted, UnsupportedError } from '../core/errors.js'
import { isArray, isObject, kindOf, type Json, type JsonObject } from '../core/json.js'
import type { ExpertPacking } from './adapter-file.js'
import { peftTypeRow, refusedPeftType } from './peft-types.js'

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
  /** "bias" is all or lora_only. */
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

const MAX_RANK = 65_536 // largest seen: 2,048 (full-rank experiments)

/** Fields that change the result; each is refused while its value says anything at all. */
const REFUSED_FIELDS: readonly { readonly field: string; readonly what: string; readonly wayOut: string }[] = [
  { field: 'kasa_config', what: 'KaSA', wayOut: 'is not yet supported; merge it with PEFT.' },
  { field: 'use_bdlora', what: 'block-diagonal LoRA', wayOut: 'is not yet supported; merge it with PEFT.' },
  { field: 'layer_replication', what: 'copied layers', wayOut: 'is not yet supported; copy the layers into a base of its own and renumber the adapter.' },
  { field: 'use_qalora', what: 'QA-LoRA', wayOut: 'is not supported: it is merged into a quantized base only.' },
  {
    field: 'alora_invocation_tokens',
    what: 'activated LoRA',
    wayOut: 'cannot be merged: it acts only after its invocation tokens. Serve it with PEFT or vLLM.',
  },
  { field: 'arrow_config', what: 'Arrow routing', wayOut: 'cannot be merged: it chooses adapters by input at run time. Serve it with PEFT.' },
]

/** Fields of a config that are refused while they say anything. */
export function refusedFields(): typeof REFUSED_FIELDS {
  return REFUSED_FIELDS
}

/** Initialisations that leave the base as it is. */
const PLAIN_INITS: ReadonlySet<Json> = new Set<Json>([true, false, 'gaussian', 'orthogonal', 'eva', 'mica'])
const BIASES: ReadonlySet<Json> = new Set<Json>(['none', 'all', 'lora_only'])
const MOST_TOKENS = 1_048_576

/**
 * Reads the facts.
 * @param config  the parsed file
 * @param file    its name, for messages
 * @param beside  what lies beside it: `converted`, a folder with the same adapter as plain LoRA
 * @throws FormatError for values of the wrong kind, UnsupportedError for what is not plain LoRA
 */
export function readPeftConfig(config: JsonObject, file: string, beside: { readonly converted?: string | undefined } = {}): PeftConfig {
  const peftType = readString(config, 'peft_type', file)
  if (peftType === undefined) throw new FormatError('has no "peft_type": this is not the adapter_config.json of a PEFT adapter.', { file })
  const refused = refusedPeftType(peftType)
  if (refused !== undefined) throw new UnsupportedError(`an adapter of peft_type ${quoted(peftType)} ${refused}`, { file })

  const { rank, alpha, init } = peftTypeRow(peftType)
  const hasRankPatterns = rank === 'r' // AdaLoRA's are masks
  const facts: PeftConfig = {
    peftType,
    rank: rank === undefined ? 0 : asRank(config.get(rank), quoted(rank), file),
    alpha: alpha === undefined ? 0 : asFinite(config.get(alpha), quoted(alpha), file),
    rankStabilized: readBoolean(config, 'use_rslora', file),
    rankPattern: hasRankPatterns ? readPattern(config, 'rank_pattern', file, asRank) : new Map(),
    alphaPattern: hasRankPatterns ? readPattern(config, 'alpha_pattern', file, asFinite) : new Map(),
    fanInFanOut: readBoolean(config, 'fan_in_fan_out', file),
    trainsBiases: config.get('bias') === 'all' || config.get('bias') === 'lora_only',
    dora: peftType === 'LORA' && readBoolean(config, 'use_dora', file),
    targetParameters: peftType === 'LORA' ? readNames(config, 'target_parameters', file) : [],
    expertPacking: readPacking(config, file),
    tokenIds: readTokenIds(config, peftType === 'TRAINABLE_TOKENS' ? 'token_indices' : 'trainable_token_indices', file),
    ensuresTie: readBoolean(config, 'ensure_weight_tying', file),
    targetModules: readTargets(config, file),
    modulesToSave: readNames(config, 'modules_to_save', file),
    baseModel: readString(config, 'base_model_name_or_path', file),
    taskType: readString(config, 'task_type', file),
    peftVersion: readString(config, 'peft_version', file),
  }
  refuseOtherThanKnown(config, facts, init, file, beside.converted)
  return facts
}

function refuseOtherThanKnown(config: JsonObject, { peftType }: PeftConfig, initField: string | undefined, file: string, converted?: string): void {
  for (const { field, what, wayOut } of REFUSED_FIELDS) {
    if (saysSomething(config.get(field))) throw new UnsupportedError(`peft_type ${peftType} with ${quoted(field)} (${what}) ${wayOut}`, { file })
  }
  const bias = config.get('bias')
  if (saysSomething(bias) && !(typeof bias === 'string' && BIASES.has(bias)))
    throw new UnsupportedError(`peft_type ${peftType} with "bias" ${valueText(bias)}, which is not known here ("none", "all" and "lora_only" are).`, { file })
  if (initField === undefined) return
  const init = config.get(initField) ?? true
  if (PLAIN_INITS.has(typeof init === 'string' ? init.toLowerCase() : init)) return
  const known = typeof init === 'string' && /^(?:pissa|olora|corda|lora_ga|loftq)/i.test(init)
  const why = known
    ? 'this initialisation changes the base before training, so merging into the original base gives wrong weights'
    : 'this initialisation is not known here and may have changed the base, or the formula'
  const wayOut = known
    ? converted === undefined
      ? 'convert the adapter to plain LoRA (PEFT: save_pretrained with path_initial_model_for_weight_conversion).'
      : `name the folder ${quoted(converted)} in it, which holds the adapter converted to plain LoRA.`
    : "merge it with PEFT's merge_and_unload() and give the result as the base."
  throw new UnsupportedError(`peft_type ${peftType} with ${quoted(initField)} ${valueText(init)}: ${why}; ${wayOut}`, { file })
}

function saysSomething(value: Json | undefined): boolean {
  if (value === undefined || value === null || value === false || value === 0 || value === '') return false
  if (isArray(value)) return value.length > 0
  return !isObject(value) || value.size > 0
}

function valueText(value: Json | undefined): string {
  return typeof value === 'string' ? quoted(value) : kindOf(value)
}

function wrong(file: string, key: string, wanted: string, value: Json | undefined): FormatError {
  return new FormatError(`${key} must be ${wanted}, found ${valueText(value)}.`, { file })
}

function asRank(value: Json | undefined, key: string, file: string): number {
  if (typeof value !== 'number' || !Number.isInteger(value) || value < 1 || value > MAX_RANK)
    throw wrong(file, key, `a whole number from 1 to ${MAX_RANK}`, value)
  return value
}

function asFinite(value: Json | undefined, key: string, file: string): number {
  const number = typeof value === 'bigint' ? Number(value) : value
  if (typeof number !== 'number' || !Number.isFinite(number)) throw wrong(file, key, 'a finite number', value)
  return number
}

function readBoolean(config: JsonObject, key: string, file: string): boolean {
  const value = config.get(key) ?? false
  if (typeof value !== 'boolean') throw wrong(file, quoted(key), 'true or false', value)
  return value
}

function readString(config: JsonObject, key: string, file: string): string | undefined {
  const value = config.get(key) ?? undefined
  if (value !== undefined && typeof value !== 'string') throw wrong(file, quoted(key), 'a string', value)
  return value
}

function readNames(config: JsonObject, key: string, file: string): readonly string[] {
  const value = config.get(key) ?? []
  if (!isArray(value) || !value.every((name) => typeof name === 'string')) throw wrong(file, quoted(key), 'a list of strings', value)
  return value
}

function readTargets(config: JsonObject, file: string): string | readonly string[] | undefined {
  const value = config.get('target_modules') ?? undefined
  if (value === undefined) return undefined
  return typeof value === 'string' ? value : readNames(config, 'target_modules', file)
}

function readPattern(config: JsonObject, key: string, file: string, read: (value: Json, key: string, file: string) => number): ReadonlyMap<string, number> {
  const value = config.get(key) ?? undefined
  if (value === undefined) return new Map()
  if (!isObject(value)) throw wrong(file, quoted(key), 'an object of patterns and numbers', value)
  return new Map([...value].map(([pattern, number]) => [pattern, read(number, `${quoted(key)} of ${quoted(pattern)}`, file)]))
}

function readTokenIds(config: JsonObject, key: string, file: string): readonly number[] | ReadonlyMap<string, readonly number[]> {
  const value = config.get(key) ?? []
  if (isObject(value)) return new Map([...value].map(([module, ids]) => [module, asIds(ids, `${quoted(key)} of ${quoted(module)}`, file)]))
  return asIds(value, quoted(key), file)
}

function asIds(value: Json, key: string, file: string): readonly number[] {
  if (!isArray(value) || value.length > MOST_TOKENS || !value.every((id) => typeof id === 'number' && Number.isInteger(id) && id >= 0))
    throw wrong(file, key, 'a list of token ids', value)
  return value as readonly number[] // every one is a number, as checked
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
