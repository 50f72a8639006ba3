/**
 * Rotary embedding parameters of a config, whatever generation wrote it: `rope_parameters` (transformers 5), or
 * `rope_scaling` with `rope_theta` at the root (4), `type` or `rope_type`, flat or one object per kind of layer.
 *
 * Law: transformers 5.23 `RotaryEmbeddingConfigMixin.standardize_rope_params`, then conversion/base.py
 * `TextModel.__init__`. Both forms of one model must come out equal.
 */
import { UnsupportedError, quoted } from '../core/errors.js'
import { isObject } from '../core/json.js'
import { readSection, readString, spelling, type Config } from './config.js'

export interface RopeParameters {
  /** Of all layers, or of those with full attention. */
  readonly full: Config
  /** Of layers with a sliding window, where they differ. */
  readonly sliding: Config | undefined
  /** Lower case; `default` when nothing is scaled. */
  readonly type: string
  /** What the config says, flat or nested. */
  readonly section: Config
}

const GLOBAL_THETA = ['global_rope_theta', 'rope_global_theta', 'rope_theta_global', 'rope_theta', 'rotary_emb_base']
const SLIDING_THETA = ['local_rope_theta', 'rope_local_theta', 'rope_theta_local', 'swa_rope_theta', 'rope_local_base_freq']
const PARTIAL_FACTOR = ['partial_rotary_factor', 'rope_pct', 'rope_percent']
const STRETCHED_TYPES = new Set(['llama3', 'yarn', 'longrope'])
// Types that the reference knows what to do with. It warns about others and converts as if nothing were scaled.
const KNOWN_TYPES = new Set(['default', 'linear', 'dynamic', 'yarn', 'su', 'longrope', 'llama3', 'mrope', 'proportional', 'xdrope'])

/** @throws FormatError for sections that are no objects, UnsupportedError for an unknown scaling */
export function ropeParameters(config: Config): RopeParameters {
  const section = ropeSection(config)
  const nested = section.values.has('full_attention') || section.values.has('sliding_attention')
  const full = completed(config, nested && isObject(section.values.get('full_attention')) ? readSection(section, 'full_attention') : section)
  const type = full.values.has('rope_type') ? readString(full, 'rope_type').toLowerCase() : 'default'
  if (!KNOWN_TYPES.has(type)) {
    throw new UnsupportedError(`rope scaling ${quoted(type)} is not supported; supported: ${[...KNOWN_TYPES].join(', ')}.`, { file: config.file })
  }
  return { full, sliding: slidingPart(config, section, nested), type, section }
}

/** An empty rope_scaling counts as none; when both generations are there, transformers takes the older one. */
function ropeSection(config: Config): Config {
  const older = readSection(config, 'rope_scaling')
  return older.values.size > 0 ? older : readSection(config, 'rope_parameters')
}

function slidingPart(config: Config, section: Config, nested: boolean): Config | undefined {
  if (nested) return isObject(section.values.get('sliding_attention')) ? completed(config, readSection(section, 'sliding_attention')) : undefined
  const key = spelling(config, SLIDING_THETA)
  return key === undefined ? undefined : { ...config, values: new Map([['rope_theta', config.values.get(key) ?? null]]) }
}

/** The section with the root's values in the places it leaves empty. */
function completed(config: Config, section: Config): Config {
  const values = new Map(section.values)
  const mirror = (key: string, from: readonly string[]): void => {
    const found = spelling(config, from)
    if (!values.has(key) && found !== undefined) values.set(key, config.values.get(found) ?? null)
  }
  mirror('rope_theta', GLOBAL_THETA)
  mirror('partial_rotary_factor', PARTIAL_FACTOR)
  if (!values.has('rope_type') && values.has('type')) values.set('rope_type', values.get('type') ?? null)
  if ((values.get('rope_type') ?? null) === null) values.set('rope_type', 'default')
  // The length before stretching: the section's, else the root's, else transformers knows no other than the whole length.
  const type = values.get('rope_type')
  const stretched = typeof type === 'string' && STRETCHED_TYPES.has(type)
  mirror('original_max_position_embeddings', stretched ? ['original_max_position_embeddings', 'max_position_embeddings'] : ['original_max_position_embeddings'])
  return { ...section, values }
}
