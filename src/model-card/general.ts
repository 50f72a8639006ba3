/**
 * What a GGUF says about its model: name, version, licence, origin, sampling -> the key-values from
 * `general.sampling.*` to `general.languages`, that is all between `general.type` and the architecture's own.
 *
 * Sources, the first that speaks counts: --model-name, --metadata, generation_config.json (sampling only),
 * README.md, `_name_or_path` of config.json, the folder's name.
 *
 * Law: gguf-py gguf/metadata.py `Metadata.load`, `set_gguf_meta_model`; conversion/base.py `prepare_metadata`. Looser
 * here: what makes the reference fail (a README that is no YAML, a version that is a number) is left out with a note.
 */
import { readAll } from '../core/bytes.js'
import type { Folder } from '../core/bytes.js'
import { ToolkitError, nameList } from '../core/errors.js'
import { isObject, kindOf, parseJson } from '../core/json.js'
import type { JsonObject } from '../core/json.js'
import { string, u32 } from '../core/key-value.js'
import type { KeyValue, MetadataValue } from '../core/key-value.js'
import { readFrontMatter } from './front-matter.js'
import { GENERAL_FIELDS, LIST_FIELDS, REFERENCE_FIELDS, REFERENCE_PARTS } from './general-fields.js'
import type { GeneralField, ListField, ReferenceField } from './general-fields.js'
import { idToTitle, modelIdComponents } from './model-id.js'
import type { ModelIdComponents } from './model-id.js'
import { cardReferences } from './references.js'
import { sizeLabel } from './size-label.js'
import type { ParameterCounts } from './size-label.js'
import { Notes, arrayOf, isCardList, joinedText, kindOfValue, numberOf, textOf } from './typed-value.js'
import type { CardMap, CardValue } from './yaml-scalar.js'

const MAX_README_BYTES = 8_388_608 // only its head is read; front-matter.ts has the tighter limit
const MAX_CONFIG_BYTES = 1_048_576 // a generation_config.json has a few hundred bytes
const MAX_REFERENCES = 10_000 // merges of merges name some dozens of models

export interface GeneralRequest {
  /** The model's folder, for README.md and generation_config.json; undefined when the user named one file. */
  readonly folder: Folder | undefined
  /** The folder's own name. */
  readonly identity: string
  /** config.json as it stands in the folder. */
  readonly config: JsonObject
  /** --model-name */
  readonly modelName?: string | undefined
  /** --metadata, parsed */
  readonly override?: JsonObject | undefined
  /** Over the tensors as written; all 0 for a vocabulary. */
  readonly parameters: ParameterCounts
}

export interface GeneralMetadata {
  readonly keyValues: readonly KeyValue[]
  /** general.name, or '' when a source says that it is empty. The others, too: undefined = not known. */
  readonly name: string
  readonly basename: string | undefined
  readonly finetune: string | undefined
  readonly version: string | undefined
  readonly sizeLabel: string | undefined
  /** What was left out and why, one sentence each. */
  readonly notes: readonly string[]
}

/** What all fields draw from. */
interface Sources {
  readonly card: CardMap
  readonly generation: JsonObject
  readonly override: JsonObject
  readonly ids: readonly ModelIdComponents[]
  readonly totalParams: number
  readonly notes: Notes
}

/** Derives the key-values; never fails on what the files say. */
export async function generalKeyValues(request: GeneralRequest): Promise<GeneralMetadata> {
  const notes = new Notes()
  const sources: Sources = {
    card: await readCard(request.folder, notes),
    generation: await readGenerationConfig(request.folder, notes),
    override: request.override ?? new Map(),
    ids: modelIds(request, notes),
    totalParams: request.parameters.total,
    notes,
  }
  noteUnusedOverrides(sources)
  const values = new Map<string, MetadataValue>()
  for (const field of GENERAL_FIELDS) {
    const value = fieldValue(field, sources)
    if (value !== undefined) values.set(field.key, value)
  }
  if (request.modelName !== undefined) values.set('general.name', string(request.modelName))
  if (!values.has('general.name')) values.set('general.name', string(request.identity))
  if (!values.has('general.size_label') && request.parameters.total > 0) values.set('general.size_label', string(sizeLabel(request.parameters)))

  const text = (key: string): string | undefined => {
    const value = values.get(key)
    return value?.type === 'string' ? value.value : undefined
  }
  return {
    keyValues: [
      ...inOrder(values),
      ...REFERENCE_FIELDS.flatMap((field) => referenceKeyValues(field, sources)),
      ...LIST_FIELDS.flatMap((field) => listKeyValues(field, sources)),
    ],
    name: text('general.name') ?? '',
    basename: text('general.basename'),
    finetune: text('general.finetune'),
    version: text('general.version'),
    sizeLabel: text('general.size_label'),
    notes: notes.list(),
  }
}

/** Empty texts are given, but not written. */
function inOrder(values: ReadonlyMap<string, MetadataValue>): readonly KeyValue[] {
  return GENERAL_FIELDS.flatMap(({ key }) => {
    const value = values.get(key)
    return value === undefined || value.value === '' ? [] : [{ key, value }]
  })
}

function fieldValue(field: GeneralField, sources: Sources): MetadataValue | undefined {
  const { override, generation, notes } = sources
  const typed = (value: CardValue | undefined, place: string): MetadataValue | undefined => {
    if (field.type !== 'string') return numberOf(field.type, value, place, notes)
    const text = (field.list === true ? joinedText : textOf)(value, place, notes)
    return text === undefined ? undefined : string(text)
  }
  if (!field.fixed && override.has(field.key)) {
    const value = override.get(field.key)
    const given = typed(value, `--metadata: ${field.key}`)
    if (given !== undefined || value === null) return given // null takes back what the other sources say
  }
  const setting = field.generation?.find((key) => generation.has(key))
  if (setting !== undefined) return typed(generation.get(setting), `generation_config.json: ${setting}`)
  for (const key of field.card ?? []) {
    const value = typed(sources.card.get(key), `README.md: ${key}`)
    if (value !== undefined) return value
  }
  const part = field.id
  if (part === undefined) return undefined
  const named = sources.ids.map((id) => id[part]).find((value) => value !== undefined)
  if (named === undefined) return undefined
  return string(part === 'fullName' || part === 'organization' ? idToTitle(named) : named)
}

function referenceKeyValues(field: ReferenceField, sources: Sources): readonly KeyValue[] {
  const { override, card, notes } = sources
  const fromOverride = override.get(field.override)
  const place = fromOverride === undefined ? `README.md: ${field.card[0]}` : `--metadata: ${field.override}`
  if (fromOverride === null) return []
  const given = asList(fromOverride)
  if (given !== undefined && !isCardList(given)) notes.leftOut(place, kindOfValue(given), 'a list of objects')
  const all = isCardList(given) ? given : cardReferences(card, field.card, sources.totalParams)
  if (all === undefined) return []
  if (all.length > MAX_REFERENCES) notes.add(`${place} has ${all.length} entries; the first ${MAX_REFERENCES} are written.`)
  const entries = all.slice(0, MAX_REFERENCES)
  return [
    { key: `${field.prefix}.count`, value: u32(entries.length) },
    ...entries.flatMap((entry, index) => referenceParts(entry, `${field.prefix}.${index}`, `${place}, entry ${index}`, notes)),
  ]
}

/** An entry that is no map is counted, and says nothing. */
function referenceParts(entry: CardValue, prefix: string, place: string, notes: Notes): readonly KeyValue[] {
  if (!(entry instanceof Map)) {
    notes.leftOut(place, kindOfValue(entry), 'an object')
    return []
  }
  const parts = entry as CardMap
  return REFERENCE_PARTS.flatMap((part) => {
    const text = textOf(parts.get(part), `${place}: ${part}`, notes)
    return text === undefined || text === '' ? [] : [{ key: `${prefix}.${part}`, value: string(text) }]
  })
}

function listKeyValues(field: ListField, sources: Sources): readonly KeyValue[] {
  const given = asList(sources.override.get(field.key))
  if (given === null) return []
  const place = `--metadata: ${field.key}`
  let value: MetadataValue | undefined
  if (isCardList(given)) value = arrayOf(given, place, sources.notes)
  else {
    if (given !== undefined) sources.notes.leftOut(place, kindOfValue(given), 'a list of texts')
    value = arrayOf(cardItems(sources.card, field.card), `README.md: ${field.card[0]}`, sources.notes)
  }
  return value === undefined ? [] : [{ key: field.key, value }]
}

/** To the reference, a text of --metadata is the list of its characters, and {} an empty list. */
function asList(value: CardValue | undefined): CardValue | undefined {
  if (typeof value === 'string') return [...value]
  return value instanceof Map && value.size === 0 ? [] : value
}

function cardItems(card: CardMap, keys: readonly string[]): readonly CardValue[] {
  return keys.flatMap((key) => {
    const value = card.get(key)
    return typeof value === 'string' ? [value] : isCardList(value) ? value : []
  })
}

/** The names that parts are taken from: `_name_or_path` when it is a name and no path of someone's disk, then the folder's. */
function modelIds({ config, identity, parameters }: GeneralRequest, notes: Notes): readonly ModelIdComponents[] {
  const path = config.get('_name_or_path')
  const ids = [identity]
  if (typeof path === 'string') {
    if (path.split('/', 3).length <= 2) ids.unshift(path)
  } else if (path !== undefined && path !== null) notes.leftOut('config.json: _name_or_path', kindOfValue(path), 'a text')
  return ids.map((id) => modelIdComponents(id, parameters.total))
}

async function readCard(folder: Folder | undefined, notes: Notes): Promise<CardMap> {
  if (folder?.has('README.md') !== true) return new Map()
  try {
    const source = await folder.open('README.md')
    const bytes = new Uint8Array(Math.min(source.byteLength, MAX_README_BYTES))
    await source.read(bytes, 0)
    const text = decoded(bytes, bytes.length < source.byteLength)
    if (text === undefined) notes.add('The metadata of README.md is not used: the file is not valid UTF-8.')
    const front = await readFrontMatter(text ?? '')
    notes.add(...front.notes)
    return front.data
  } catch (error) {
    return unreadable(error, notes)
  }
}

/** @param cut  the bytes may end inside a character */
function decoded(bytes: Uint8Array, cut: boolean): string | undefined {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes, { stream: cut })
  } catch {
    return undefined
  }
}

async function readGenerationConfig(folder: Folder | undefined, notes: Notes): Promise<JsonObject> {
  const file = 'generation_config.json'
  if (folder?.has(file) !== true) return new Map()
  try {
    const root = parseJson(await readAll(await folder.open(file), MAX_CONFIG_BYTES), file)
    if (isObject(root)) return root
    notes.add(`${file} holds ${kindOf(root)} where a JSON object is wanted; it is not used.`)
    return new Map()
  } catch (error) {
    return unreadable(error, notes)
  }
}

/** The reference goes on without a generation_config.json that it cannot read; so do we, and without a README. */
function unreadable(error: unknown, notes: Notes): JsonObject {
  if (!(error instanceof ToolkitError)) throw error
  notes.add(`${error.message} It is not used.`)
  return new Map()
}

function noteUnusedOverrides({ override, notes }: Sources): void {
  const known = new Set([
    ...GENERAL_FIELDS.filter(({ fixed }) => !fixed).map(({ key }) => key),
    ...REFERENCE_FIELDS.map((field) => field.override),
    ...LIST_FIELDS.map(({ key }) => key),
  ])
  const unknown = [...override.keys()].filter((key) => !known.has(key))
  if (unknown.length > 0) notes.add(`--metadata: ${nameList(unknown)} cannot be set that way and ${unknown.length === 1 ? 'is' : 'are'} not used.`)
}
