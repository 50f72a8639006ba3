/**
 * generation_config.json ──► Ollama's sampling parameters, and notes on values that it cannot take.
 *
 * Only what the model's makers state is written; what they leave open stays with Ollama's defaults. `do_sample: false` is a statement (greedy decoding, in
 * transformers as here): temperature 0, and the values that transformers then ignores are left out. A missing do_sample is none: values without it are
 * recommendations, as llama.cpp's converter takes them (general.sampling.*).
 */
import { kindOf } from '../core/json.js'
import type { Json, JsonObject } from '../core/json.js'

interface SamplingRule {
  readonly key: string
  readonly parameter: string
  /** Has no effect when nothing is sampled. */
  readonly samplesOnly: boolean
  readonly integer: boolean
  readonly least: number
  readonly most: number
}

const ANY = Number.MAX_VALUE
const RULES: readonly SamplingRule[] = [
  { key: 'temperature', parameter: 'temperature', samplesOnly: true, integer: false, least: 0, most: ANY },
  { key: 'top_k', parameter: 'top_k', samplesOnly: true, integer: true, least: 0, most: 2 ** 31 - 1 }, // 0 switches it off, here and there
  { key: 'top_p', parameter: 'top_p', samplesOnly: true, integer: false, least: 0, most: 1 },
  { key: 'min_p', parameter: 'min_p', samplesOnly: true, integer: false, least: 0, most: 1 },
  { key: 'repetition_penalty', parameter: 'repeat_penalty', samplesOnly: false, integer: false, least: Number.MIN_VALUE, most: ANY },
]

export interface Sampling {
  readonly parameters: ReadonlyMap<string, number>
  readonly notes: readonly string[]
}

/** @param config  generation_config.json, when there is one */
export function samplingFrom(config: JsonObject | undefined): Sampling {
  const parameters = new Map<string, number>()
  const notes: string[] = []
  const greedy = config?.get('do_sample') === false
  if (greedy) {
    parameters.set('temperature', 0)
    notes.push('generation_config.json says do_sample false: temperature is 0.')
  }
  for (const rule of RULES) {
    const value = config?.get(rule.key)
    if (value === undefined || value === null || (greedy && rule.samplesOnly)) continue
    if (fits(value, rule)) parameters.set(rule.parameter, value)
    else notes.push(`generation_config.json's ${rule.key} is ${kindOf(value)}, which Ollama cannot use: left out.`)
  }
  return { parameters, notes }
}

function fits(value: Json, rule: SamplingRule): value is number {
  return typeof value === 'number' && value >= rule.least && value <= rule.most && (!rule.integer || Number.isInteger(value))
}
