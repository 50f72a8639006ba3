/**
 * Checks the numbers of a config.json that sizes, loops and divisions depend on, and takes out the facts that people
 * ask for. Keys that are not in the table are not judged: there are thousands.
 *
 * Law: rule JS15 (docs/formats.md). Integers may be written 64.0, as some writers do.
 */
import { FormatError, quoted, UnsupportedError } from '../core/errors.js'
import { isArray, isObject, kindOf, type Json, type JsonObject } from '../core/json.js'
import { ARCHITECTURE_NAMES } from './architecture-names.js'

/** What a config says about its model; undefined where it is silent. */
export interface ConfigFacts {
  readonly architectures: readonly string[]
  readonly modelType: string | undefined
  readonly layers: number | undefined
  readonly hiddenSize: number | undefined
  readonly heads: number | undefined
  readonly keyValueHeads: number | undefined
  readonly vocabularySize: number | undefined
  readonly contextLength: number | undefined
  /** As the config spells it: `bfloat16`. */
  readonly dtype: string | undefined
}

interface IntegerRule {
  readonly keys: readonly string[]
  readonly least: number
  readonly most: number
}

// The limits are some 100 times what exists (126 layers, 53,248 wide, 262,208 tokens, 10 M context): what lies beyond is
// damage or an attack on loops and buffers.
const INTEGERS = {
  layers: { keys: ['num_hidden_layers', 'n_layers', 'n_layer', 'num_layers'], least: 1, most: 10_000 },
  hiddenSize: { keys: ['hidden_size', 'n_embd', 'd_model', 'dim'], least: 1, most: 10_000_000 },
  heads: { keys: ['num_attention_heads', 'n_heads', 'n_head'], least: 1, most: 1_000_000 },
  keyValueHeads: { keys: ['num_key_value_heads', 'n_kv_heads', 'multi_query_group_num'], least: 1, most: 1_000_000 },
  vocabularySize: { keys: ['vocab_size'], least: 1, most: 100_000_000 },
  contextLength: { keys: ['max_position_embeddings', 'n_positions', 'n_ctx', 'seq_length'], least: 1, most: 10_000_000_000 },
  headSize: { keys: ['head_dim'], least: 1, most: 1_000_000 },
  feedForward: { keys: ['intermediate_size', 'n_inner', 'ffn_dim', 'd_ff'], least: 0, most: 100_000_000 }, // 0: models without (Mamba)
  experts: { keys: ['num_local_experts', 'num_experts', 'n_routed_experts'], least: 0, most: 1_000_000 }, // 0: dense models of a family with experts
} as const satisfies Record<string, IntegerRule>

/** Numbers that may not be negative. */
const EPSILONS = ['rms_norm_eps', 'layer_norm_eps', 'layer_norm_epsilon', 'layernorm_epsilon', 'norm_eps', 'norm_epsilon']

/** Bases of the rotary frequencies: they are divided by and raised to powers. */
const POSITIVE = ['rope_theta', 'rotary_emb_base', 'rope_local_base_freq']

/** Where models of several parts keep the text model's numbers. */
const NESTED = ['text_config', 'llm_config', 'language_config']

/**
 * Checks a config.
 * @param file          name for messages
 * @param needsAModel   the config stands alone, so that only it can say what the model is: architecture wanted, and known
 * @throws FormatError naming the key; UnsupportedError for an architecture that the reference converter does not know
 */
export function checkConfig(config: JsonObject, file: string, needsAModel: boolean): ConfigFacts {
  const architectures = readArchitectures(config, file, needsAModel)
  const modelType = config.get('model_type') ?? undefined
  if (modelType !== undefined && typeof modelType !== 'string') throw new FormatError(`model_type is ${kindOf(modelType)}; a string is wanted.`, { file })
  const parts = [config, ...NESTED.map((key) => config.get(key)).filter(isObject)]
  for (const part of parts) checkNumbers(part, file)
  const fact = (name: keyof typeof INTEGERS): number | undefined =>
    parts.map((part) => firstNumber(part, INTEGERS[name].keys)).find((value) => value !== undefined)
  return {
    architectures,
    modelType,
    layers: fact('layers'),
    hiddenSize: fact('hiddenSize'),
    heads: fact('heads'),
    keyValueHeads: fact('keyValueHeads'),
    vocabularySize: fact('vocabularySize'),
    contextLength: fact('contextLength'),
    dtype: [config.get('dtype'), config.get('torch_dtype')].find((value) => typeof value === 'string'),
  }
}

function readArchitectures(config: JsonObject, file: string, needed: boolean): readonly string[] {
  const value = config.get('architectures') ?? undefined
  if (value === undefined && !needed) return []
  if (!isArray(value)) throw new FormatError(`architectures is ${kindOf(value)}; a list such as ["LlamaForCausalLM"] is wanted.`, { file })
  const names = value.map((name) => {
    if (typeof name !== 'string') throw new FormatError(`architectures holds ${kindOf(name)}; class names are wanted.`, { file })
    return name
  })
  const [first] = names
  if (needed && first === undefined) throw new FormatError('architectures is empty; the class name of the model is wanted.', { file })
  if (needed && first !== undefined && !ARCHITECTURE_NAMES.has(first)) {
    throw new UnsupportedError(`unknown architecture ${quoted(first)}: it is none of the ${ARCHITECTURE_NAMES.size} that the reference converter knows.`, {
      file,
    })
  }
  return names
}

function checkNumbers(config: JsonObject, file: string): void {
  for (const { keys, least, most } of Object.values(INTEGERS)) {
    for (const key of keys) for (const value of valuesOf(config.get(key))) checkInteger(value, key, least, most, file)
  }
  for (const key of EPSILONS) {
    for (const value of valuesOf(config.get(key))) {
      if (typeof value !== 'number' || value < 0) throw new FormatError(`${key} is ${shown(value)}; a number of at least 0 is wanted.`, { file })
    }
  }
  for (const key of POSITIVE) {
    for (const value of valuesOf(config.get(key))) {
      if ((typeof value !== 'number' && typeof value !== 'bigint') || value <= 0)
        throw new FormatError(`${key} is ${shown(value)}; a number above 0 is wanted.`, { file })
    }
  }
}

function checkInteger(value: Json, key: string, least: number, most: number, file: string): void {
  if (typeof value === 'number' && Number.isInteger(value) && value >= least && value <= most) return
  throw new FormatError(`${key} is ${shown(value)}; an integer from ${least} to ${most} is wanted.`, { file })
}

/** One value, a list with a value for each layer (OpenELM, Gemma 3n), or none. */
function valuesOf(value: Json | undefined): readonly Json[] {
  if (value === undefined || value === null) return []
  return isArray(value) ? value.filter((one) => one !== null) : [value]
}

function firstNumber(config: JsonObject, keys: readonly string[]): number | undefined {
  return keys.map((key) => config.get(key)).find((value) => typeof value === 'number')
}

function shown(value: Json): string {
  return typeof value === 'string' ? `the text ${quoted(value)}` : kindOf(value)
}
