/**
 * What the `__metadata__` of an adapter for diffusion pipelines says of scales: diffusers keeps PEFT's config there, sd-scripts
 * how the network was made.
 *
 * Law: diffusers 0.42 loaders/lora_base.py `_load_lora_into_text_encoder`, `pack_weights`; LyCORIS 4.1 kohya.py.
 */
import { MismatchError, type Place } from '../../core/errors.js'
import { parseJsonObject, type Json, type JsonObject } from '../../core/json.js'
import { patternLookup } from '../peft/patterns.js'
import { readPeftConfig, type PeftConfig } from '../peft/peft-config.js'

const CONFIG_KEY = 'lora_adapter_metadata'
const NETWORK_KEY = 'ss_network_args'

/** What the file says of a module itself. */
interface ModuleFacts {
  readonly rank: number
  readonly alpha: number | undefined
  readonly hasMagnitude: boolean
}

export interface DiffusionMetadata {
  /** The scale of a module, when a config gives it; undefined when none does. @throws MismatchError when config and tensors disagree */
  scaleOf(component: string | undefined, module: string, facts: ModuleFacts, place: Place): number | undefined
  /** LyCORIS was told rs_lora. */
  readonly isRankStabilized: boolean
}

interface ComponentConfig {
  readonly config: PeftConfig
  readonly rankOf: (module: string) => number | undefined
  readonly alphaOf: (module: string) => number | undefined
}

/** @throws FormatError when the metadata is broken, UnsupportedError for configs whose result is not known here */
export function readDiffusionMetadata(metadata: ReadonlyMap<string, string>, file: string): DiffusionMetadata {
  const place = `${file}: ${CONFIG_KEY}`
  const all = jsonOf(metadata.get(CONFIG_KEY), place)
  const configs = new Map<string, ComponentConfig | undefined>()
  const configOf = (component: string): ComponentConfig | undefined => {
    if (!configs.has(component)) configs.set(component, readConfig(partOf(all, component), place))
    return configs.get(component)
  }
  return {
    isRankStabilized: /"rs_lora"\s*:\s*"?(?:true|1)\b/i.test(metadata.get(NETWORK_KEY) ?? ''),
    scaleOf(component, module, { rank, alpha, hasMagnitude }, where) {
      const found = all.size === 0 ? undefined : configOf(component ?? '')
      if (found === undefined) return undefined
      const wanted = found.rankOf(module) ?? found.config.rank
      if (wanted !== rank) throw new MismatchError(`has rank ${rank}, but ${CONFIG_KEY} gives it rank ${wanted}.`, where)
      if (alpha !== undefined) throw new MismatchError(`has an alpha of its own (${alpha}), and one in ${CONFIG_KEY}: which is meant cannot be told.`, where)
      if (found.config.dora && !hasMagnitude)
        throw new MismatchError(`has no lora_magnitude_vector, though ${CONFIG_KEY} says use_dora: the file is incomplete, save the adapter again.`, where)
      return (found.alphaOf(module) ?? found.config.alpha) / (found.config.rankStabilized ? Math.sqrt(wanted) : wanted)
    },
  }
}

/** The config of one model: its keys are `unet.r`, `unet.lora_alpha` …; without a prefix in a file that is of one model. */
function partOf(all: JsonObject, component: string): ReadonlyMap<string, Json> {
  if (component === '') return all
  const prefix = `${component}.`
  return new Map([...all].flatMap(([key, value]) => (key.startsWith(prefix) ? [[key.slice(prefix.length), value] as const] : [])))
}

function readConfig(part: ReadonlyMap<string, Json>, file: string): ComponentConfig | undefined {
  if (!part.has('r') && !part.has('lora_alpha')) return undefined
  const config = readPeftConfig(new Map([['peft_type', 'LORA'], ...part]), file)
  return { config, rankOf: patternLookup(config.rankPattern, 'rank_pattern', file), alphaOf: patternLookup(config.alphaPattern, 'alpha_pattern', file) }
}

function jsonOf(text: string | undefined, file: string): JsonObject {
  return text === undefined ? new Map() : parseJsonObject(new TextEncoder().encode(text), file)
}
