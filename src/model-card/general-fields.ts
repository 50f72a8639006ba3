/**
 * The single-valued keys of `general.*`, in the order they are written, with the names under which the sources know them.
 *
 * Law: gguf-py gguf/metadata.py `Metadata.load`, `apply_metadata_heuristic`, `set_gguf_meta_model`; keys: constants.py.
 */
import type { ModelIdComponents } from './model-id.js'

export interface GeneralField {
  /** GGUF key; --metadata uses the same. */
  readonly key: string
  readonly type: 'string' | 'i32' | 'f32'
  /** Keys of generation_config.json: the first that is there counts, even if it is null. */
  readonly generation?: readonly string[]
  /** Keys of the model card, the first that is not null counts. */
  readonly card?: readonly string[]
  /** The part of a model's name that stands in when the card is silent. */
  readonly id?: keyof ModelIdComponents
  /** A list of texts is joined with commas. */
  readonly list?: true
  /** --metadata cannot set it. */
  readonly fixed?: true
}

export const GENERAL_FIELDS: readonly GeneralField[] = [
  { key: 'general.sampling.sequence', type: 'string', generation: ['sequence'] },
  { key: 'general.sampling.top_k', type: 'i32', generation: ['top_k'] },
  { key: 'general.sampling.top_p', type: 'f32', generation: ['top_p'] },
  { key: 'general.sampling.min_p', type: 'f32', generation: ['min_p'] },
  { key: 'general.sampling.xtc_probability', type: 'f32', generation: ['xtc_probability'] },
  { key: 'general.sampling.xtc_threshold', type: 'f32', generation: ['xtc_threshold'] },
  { key: 'general.sampling.temp', type: 'f32', generation: ['temperature'] },
  { key: 'general.sampling.penalty_last_n', type: 'i32', generation: ['penalty_last_n'] },
  { key: 'general.sampling.penalty_repeat', type: 'f32', generation: ['penalty_repeat', 'repetition_penalty'] },
  { key: 'general.sampling.mirostat', type: 'i32', generation: ['mirostat'] },
  { key: 'general.sampling.mirostat_tau', type: 'f32', generation: ['mirostat_tau'] },
  { key: 'general.sampling.mirostat_eta', type: 'f32', generation: ['mirostat_eta'] },
  { key: 'general.name', type: 'string', card: ['name', 'model_name'], id: 'fullName' },
  { key: 'general.author', type: 'string', card: ['author', 'model_author', 'model_creator'] },
  { key: 'general.version', type: 'string', card: ['version', 'model_version'], id: 'version' },
  { key: 'general.organization', type: 'string', card: ['organization', 'model_organization'], id: 'organization' },
  { key: 'general.finetune', type: 'string', card: ['finetune', 'model_finetune'], id: 'finetune' },
  { key: 'general.basename', type: 'string', card: ['basename', 'model_basename', 'model_type'], id: 'basename' },
  { key: 'general.description', type: 'string', card: ['description', 'model_description'] },
  { key: 'general.quantized_by', type: 'string' },
  { key: 'general.size_label', type: 'string', card: ['size_label', 'model_size_label'], id: 'sizeLabel' },
  { key: 'general.license', type: 'string', card: ['license'], list: true, fixed: true },
  { key: 'general.license.name', type: 'string', card: ['license_name'] },
  { key: 'general.license.link', type: 'string', card: ['license_link'] },
  { key: 'general.url', type: 'string' },
  { key: 'general.doi', type: 'string' },
  { key: 'general.uuid', type: 'string' },
  { key: 'general.repo_url', type: 'string' },
  { key: 'general.source.url', type: 'string', card: ['url', 'model_url'] },
  { key: 'general.source.doi', type: 'string', card: ['doi', 'model_doi'] },
  { key: 'general.source.uuid', type: 'string', card: ['uuid', 'model_uuid'] },
  { key: 'general.source.repo_url', type: 'string', card: ['repo_url', 'model_repo_url'] },
]

export interface ReferenceField {
  /** Of the keys written: `general.base_model.count`, `general.base_model.0.name`, ... */
  readonly prefix: string
  readonly override: string
  readonly card: readonly string[]
}

export const REFERENCE_FIELDS: readonly ReferenceField[] = [
  { prefix: 'general.base_model', override: 'general.base_models', card: ['base_model', 'base_models', 'base_model_sources'] },
  { prefix: 'general.dataset', override: 'general.datasets', card: ['datasets', 'dataset', 'dataset_sources'] },
]

/** What is written of a base model or data set, in this order. */
export const REFERENCE_PARTS = ['name', 'author', 'version', 'organization', 'description', 'url', 'doi', 'uuid', 'repo_url'] as const

export interface ListField {
  readonly key: string
  /** Keys of the model card whose texts and lists are strung together. */
  readonly card: readonly string[]
}

export const LIST_FIELDS: readonly ListField[] = [
  { key: 'general.tags', card: ['tags', 'pipeline_tag'] },
  { key: 'general.languages', card: ['languages', 'language'] },
]
