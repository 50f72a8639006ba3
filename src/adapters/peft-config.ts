/**
 * adapter_config.json of PEFT -> the facts that merging needs. Untrusted JSON goes through small readers that name
 * the key; unknown (newer) fields are ignored; every field that means another result than plain LoRA is refused by name.
 *
 * Law: PEFT 0.21.2 tuners/lora/config.py `LoraConfig`. Stricter here: peft_type, r and lora_alpha must be there (PEFT
 * fills in 8 and 8 and gives a silently wrong scale), numbers are numbers.
 */
import { FormatError, quoted, UnsupportedError } from '../core/errors.js'
import { isArray, isObject, kindOf, type Json, type JsonObject } from '../core/json.js'
import { refusedPeftType } from './peft-types.js'

export interface PeftConfig {
  readonly peftType: 'LORA'
  readonly rank: number
  readonly alpha: number
  /** use_rslora: scale is alpha / sqrt(rank). */
  readonly rankStabilized: boolean
  /** Pattern and rank, in file order: the first that matches wins. */
  readonly rankPattern: ReadonlyMap<string, number>
  readonly alphaPattern: ReadonlyMap<string, number>
  readonly fanInFanOut: boolean
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
  { field: 'use_dora', what: 'DoRA', wayOut: 'is not yet supported; merge it with PEFT.' },
  { field: 'lora_bias', what: 'trained biases of LoRA', wayOut: 'is not yet supported; merge it with PEFT.' },
  { field: 'target_parameters', what: 'LoRA on parameters (fused experts)', wayOut: 'is not yet supported; merge it with PEFT.' },
  { field: 'trainable_token_indices', what: 'trained token rows', wayOut: 'is not yet supported; merge it with PEFT.' },
  { field: 'ensure_weight_tying', what: 'LoRA on tied embeddings', wayOut: 'is not yet supported; PEFT adds such a delta twice.' },
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

/** Initialisations that leave the base as it is. */
const PLAIN_INITS: ReadonlySet<Json> = new Set<Json>([true, false, 'gaussian', 'orthogonal', 'eva', 'mica'])
/** PEFT writes these for SEQ_CLS and TOKEN_CLS whether the model has them or not. */
const DEFAULT_CLASSIFIERS: ReadonlySet<string> = new Set(['classifier', 'score'])

/**
 * Reads the facts.
 * @param config  the parsed file
 * @param file    its name, for messages
 * @throws FormatError for values of the wrong kind, UnsupportedError for what is not plain LoRA
 */
export function readPeftConfig(config: JsonObject, file: string): PeftConfig {
  const peftType = readString(config, 'peft_type', file)
  if (peftType === undefined) throw new FormatError('has no "peft_type": this is not the adapter_config.json of a PEFT adapter.', { file })
  const refused = refusedPeftType(peftType)
  if (refused !== undefined) throw new UnsupportedError(`an adapter of peft_type ${quoted(peftType)} ${refused}`, { file })

  const facts: PeftConfig = {
    peftType: 'LORA',
    rank: asRank(config.get('r'), '"r"', file),
    alpha: asFinite(config.get('lora_alpha'), '"lora_alpha"', file),
    rankStabilized: readBoolean(config, 'use_rslora', file),
    rankPattern: readPattern(config, 'rank_pattern', file, asRank),
    alphaPattern: readPattern(config, 'alpha_pattern', file, asFinite),
    fanInFanOut: readBoolean(config, 'fan_in_fan_out', file),
    targetModules: readTargets(config, file),
    modulesToSave: readNames(config, 'modules_to_save', file),
    baseModel: readString(config, 'base_model_name_or_path', file),
    taskType: readString(config, 'task_type', file),
    peftVersion: readString(config, 'peft_version', file),
  }
  refuseOtherThanPlain(config, facts, file)
  return facts
}

function refuseOtherThanPlain(config: JsonObject, facts: PeftConfig, file: string): void {
  for (const { field, what, wayOut } of REFUSED_FIELDS) {
    if (saysSomething(config.get(field))) throw new UnsupportedError(`peft_type LORA with ${quoted(field)} (${what}) ${wayOut}`, { file })
  }
  const bias = config.get('bias')
  if (saysSomething(bias) && bias !== 'none') {
    throw new UnsupportedError(`peft_type LORA with "bias" ${valueText(bias)}: trained biases are not yet supported (only "none" is); merge it with PEFT.`, {
      file,
    })
  }
  if (facts.modulesToSave.some((name) => !DEFAULT_CLASSIFIERS.has(name))) {
    throw new UnsupportedError(`peft_type LORA with "modules_to_save": wholly trained modules are not yet supported; merge it with PEFT.`, { file })
  }
  const init = config.get('init_lora_weights') ?? true
  if (PLAIN_INITS.has(typeof init === 'string' ? init.toLowerCase() : init)) return
  const known = typeof init === 'string' && /^(?:pissa|olora|corda|lora_ga|loftq)/i.test(init)
  const why = known
    ? 'this initialisation changes the base before training, so merging into the original base gives wrong weights'
    : 'this initialisation is not known here and may have changed the base'
  const wayOut = 'convert the adapter to plain LoRA (PEFT: save_pretrained with path_initial_model_for_weight_conversion).'
  throw new UnsupportedError(`peft_type LORA with "init_lora_weights" ${valueText(init)}: ${why}; ${wayOut}`, { file })
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
