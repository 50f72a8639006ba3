/**
 * Special token ids, the add_bos/add_eos/add_sep switches, merges and normalizer flags of a tokenizer.
 *
 *   tokenizer.json: added_tokens, post_processor, merges, normalizer ─┐
 *   tokenizer_config.json: names of special tokens, switches ─────────┼──► SpecialVocab ──► key-values
 *   config.json: ids ─────────────────────────────────────────────────┘
 *
 * Law: gguf-py vocab.py `SpecialVocab`, followed step by step, since the order in which it finds things is the order
 * of the keys. One difference: a negative id (-1 in old LLaMA configs means "none") is skipped where the reference stops.
 */
import { FormatError } from '../core/errors.js'
import { isArray, isObject, kindOf, type Json, type JsonObject } from '../core/json.js'
import { bool, u32, type KeyValue, strings } from '../core/key-value.js'
import { chatTemplateKeyValues, readChatTemplates, type ChatTemplate } from './chat-templates.js'
import { readMergesFile } from './slow-tokenizers.js'
import { readMerges } from './merges.js'
import { contentOf, SPECIAL_NAMES } from './token-configs.js'
import { MAX_TOKEN_ID, objectAt, type TokenizerFiles } from './tokenizer-files.js'

export interface SpecialVocab {
  readonly merges: readonly string[]
  /** Kind of token (bos, eos, …) -> id, in order of discovery. */
  readonly ids: ReadonlyMap<string, number>
  /** Kind of token -> whether the runtime adds it, in order of discovery. */
  readonly adds: ReadonlyMap<string, boolean>
  readonly templates: readonly ChatTemplate[]
  readonly lowercase: boolean | undefined
  readonly stripAccents: boolean | undefined
  readonly notes: readonly string[]
}

export interface SpecialVocabOptions {
  readonly loadMerges: boolean
  /** Ids from here on are out of range and skipped. */
  readonly tokenCount?: number
  /** Kinds of tokens to look for; bos, eos, unk, sep, pad, cls, mask when not given. */
  readonly kinds?: readonly string[]
  /** Ids that hold where nothing else names one. */
  readonly fallbackIds?: readonly (readonly [string, number])[]
  /** False: no chat templates, for a second reading. */
  readonly templates?: boolean
  /** Merges that are no file's. */
  readonly merges?: readonly string[]
}

/** Keys of the ids; a kind without a key is read and not written, as in the reference. */
export const ID_KEYS: ReadonlyMap<string, string> = new Map([
  ['bos', 'tokenizer.ggml.bos_token_id'],
  ['eos', 'tokenizer.ggml.eos_token_id'],
  ['unk', 'tokenizer.ggml.unknown_token_id'],
  ['sep', 'tokenizer.ggml.seperator_token_id'], // sic: llama.cpp reads this spelling
  ['pad', 'tokenizer.ggml.padding_token_id'],
  ['mask', 'tokenizer.ggml.mask_token_id'],
  ['eot', 'tokenizer.ggml.eot_token_id'],
  ['eom', 'tokenizer.ggml.eom_token_id'],
])
const ADD_KEYS: ReadonlyMap<string, string> = new Map([
  ['bos', 'tokenizer.ggml.add_bos_token'],
  ['eos', 'tokenizer.ggml.add_eos_token'],
  ['sep', 'tokenizer.ggml.add_sep_token'],
])

/** Finds the special tokens. @param config the model's config.json @throws FormatError */
export async function readSpecialVocab(files: TokenizerFiles, config: JsonObject, options: SpecialVocabOptions): Promise<SpecialVocab> {
  const tokenizer = await files.json('tokenizer.json')
  const tokenizerConfig = await files.json('tokenizer_config.json')
  const search: Search = { kinds: [...(options.kinds ?? SPECIAL_NAMES)], config: new Map(tokenizerConfig ?? []), adds: new Map() }
  const found = new FoundIds(options.tokenCount)
  if (tokenizer !== undefined) readPostProcessor(tokenizer, search)
  if (search.config.size > 0) readNamedTokens(search, added(tokenizer), found)
  readConfigIds(config, search.kinds, found)
  for (const [kind, id] of options.fallbackIds ?? []) found.set(kind, id)
  const fromJson =
    tokenizer === undefined || !options.loadMerges ? [] : readMerges(objectAt(tokenizer, 'model', 'tokenizer.json')?.get('merges'), 'tokenizer.json')
  return {
    merges: options.merges ?? (options.loadMerges && fromJson.length === 0 ? await readMergesFile(files) : fromJson),
    ids: found.ids,
    adds: search.adds,
    templates: options.templates === false ? [] : await readChatTemplates(files, tokenizerConfig),
    ...readNormalizer(tokenizer),
    notes: found.notes,
  }
}

/** The key-values of a special vocabulary, in the reference's order. */
export function specialKeyValues(special: SpecialVocab): KeyValue[] {
  const keyValues: KeyValue[] = []
  if (special.merges.length > 0) keyValues.push({ key: 'tokenizer.ggml.merges', value: strings(special.merges) })
  for (const [kind, id] of special.ids) {
    const key = ID_KEYS.get(kind)
    if (key !== undefined) keyValues.push({ key, value: u32(id) })
  }
  for (const [kind, value] of special.adds) {
    const key = ADD_KEYS.get(kind)
    if (key !== undefined) keyValues.push({ key, value: bool(value) })
  }
  keyValues.push(...chatTemplateKeyValues(special.templates))
  if (special.lowercase !== undefined) keyValues.push({ key: 'tokenizer.ggml.normalizer.lowercase', value: bool(special.lowercase) })
  if (special.stripAccents !== undefined) keyValues.push({ key: 'tokenizer.ggml.normalizer.strip_accents', value: bool(special.stripAccents) })
  return keyValues
}

/** What the steps below share and change: the reference changes its copy of tokenizer_config.json on the way. */
interface Search {
  readonly kinds: string[]
  /** tokenizer_config.json; empty when there is none. */
  readonly config: Map<string, Json>
  readonly adds: Map<string, boolean>
}

/** The first id of each kind wins. */
class FoundIds {
  readonly ids = new Map<string, number>()
  readonly notes: string[] = []
  private readonly tokenCount: number

  constructor(tokenCount = MAX_TOKEN_ID + 1) {
    this.tokenCount = tokenCount
  }

  /** Takes an id; anything but an integer (a list of end tokens, null) says nothing. */
  set(kind: string, id: Json | undefined): void {
    if (typeof id === 'bigint') throw new FormatError(`the id of the ${kind} token is ${kindOf(id)}; an integer below 2^31 wanted.`, { file: 'config.json' })
    if (typeof id !== 'number' || !Number.isInteger(id)) return
    if (id < 0 || id >= this.tokenCount) this.notes.push(`the ${kind} token's id ${id} is out of range and was left out`)
    else if (!this.ids.has(kind)) this.ids.set(kind, id)
  }
}

/** content -> id, of the first of equal contents. */
function added(tokenizer: JsonObject | undefined): ReadonlyMap<string, Json> {
  const ids = new Map<string, Json>()
  const list = tokenizer?.get('added_tokens')
  for (const token of isArray(list) ? list : []) {
    const content = isObject(token) ? token.get('content') : undefined
    if (isObject(token) && typeof content === 'string' && !ids.has(content)) ids.set(content, token.get('id') ?? null)
  }
  return ids
}

function readNamedTokens(search: Search, ids: ReadonlyMap<string, Json>, found: FoundIds): void {
  for (const kind of search.kinds) {
    const adds = search.config.get(`add_${kind}_token`)
    if (typeof adds === 'boolean' && !search.adds.has(kind)) search.adds.set(kind, adds)
    const content = contentOf(search.config.get(`${kind}_token`))
    if (content !== undefined) found.set(kind, ids.get(content))
  }
}

function readConfigIds(config: JsonObject, kinds: readonly string[], found: FoundIds): void {
  const text = config.get('text_config')
  for (const kind of kinds) found.set(kind, config.get(`${kind}_token_id`) ?? (isObject(text) ? text.get(`${kind}_token_id`) : undefined))
}

/** Values of tokenizer_config.json that count as absent: Python's false. */
function blank(value: Json | undefined): boolean {
  return value === undefined || value === null || value === '' || value === false || value === 0
}

function readPostProcessor(tokenizer: JsonObject, search: Search): void {
  const { config } = search
  const hasConfig = config.size > 0
  const names: Names = { bos: config.get('bos_token'), cls: config.get('cls_token'), eos: config.get('eos_token'), sep: config.get('sep_token') }
  if (hasConfig && blank(names.bos) && !blank(names.cls)) assign(search, names, 'bos', names.cls)
  if (hasConfig && blank(names.eos) && !blank(names.sep)) assign(search, names, 'eos', names.sep)
  const root = tokenizer.get('post_processor')
  if (!isObject(root)) return
  const processors = root.get('processors')
  for (const processor of isArray(processors) ? processors : [root]) if (isObject(processor)) readProcessor(processor, search, names)
}

/** The special tokens as the post-processors are read: they start as tokenizer_config.json names them. */
type Names = { bos: Json | undefined; cls: Json | undefined; eos: Json | undefined; sep: Json | undefined }

function assign(search: Search, names: Names, kind: keyof Names, value: Json | undefined): void {
  names[kind] = value
  if (value !== undefined) search.config.set(`${kind}_token`, value)
}

function readProcessor(processor: JsonObject, search: Search, names: Names): void {
  switch (processor.get('type')) {
    case 'ByteLevel':
      if (!search.adds.has('bos')) search.adds.set('bos', false)
      if (!search.adds.has('eos')) search.adds.set('eos', false)
      return
    case 'RobertaProcessing':
      for (const kind of ['bos', 'eos', 'sep']) search.adds.set(kind, true)
      if (search.config.size === 0) return
      if (blank(names.cls)) assign(search, names, 'cls', first(processor.get('cls')) ?? names.bos)
      if (blank(names.sep)) assign(search, names, 'sep', first(processor.get('sep')) ?? names.eos)
      return
    case 'TemplateProcessing':
      readTemplate(list(processor.get('single')), list(processor.get('pair')), search, names)
  }
}

/** A crude reading of a template, the reference's own: which special token leads, which one ends, what stands between a pair. */
function readTemplate(single: readonly Json[], pair: readonly Json[], search: Search, names: Names): void {
  const leading = single.length > 1 ? specialId(single[0]) : undefined
  const trailing = single.length > 1 ? specialId(single.at(-1)) : undefined
  if (leading !== undefined) readLeading(leading, search, names)
  if (trailing !== undefined) readTrailing(trailing, search, names)
  const start = leading !== undefined && specialId(pair[0]) === leading ? 1 : 0
  const stop = trailing !== undefined && specialId(pair.at(-1)) === trailing ? pair.length - 1 : pair.length
  readPair(pair.slice(start, stop), trailing, search, names)
}

function readLeading(token: string, search: Search, names: Names): void {
  if (search.config.size === 0) names.bos = token
  else if (token !== names.bos && token !== names.cls) {
    if (blank(names.bos)) assign(search, names, 'bos', token)
    if (blank(names.cls)) assign(search, names, 'cls', token)
  }
  search.adds.set('bos', token === names.bos || token === names.cls)
}

function readTrailing(token: string, search: Search, names: Names): void {
  if (search.config.size === 0) names.eos = token
  else if (token !== names.eos) {
    // the config's eos ends a turn then, and the template's token ends the text
    const kind = ['eot', 'eom'].find((candidate) => !search.kinds.includes(candidate))
    if (kind !== undefined) {
      search.kinds.push(kind)
      search.config.set(`${kind}_token`, names.eos ?? null)
    }
    assign(search, names, 'eos', token)
  }
  search.adds.set('eos', true)
}

/** A [sep] [eos] B */
function readPair(pair: readonly Json[], trailing: string | undefined, search: Search, names: Names): void {
  if (sequenceId(pair[0]) !== 'A' || sequenceId(pair.at(-1)) !== 'B') return
  const middle = pair.slice(1, -1)
  if (middle.length === 0) return
  const separates = (entry: Json | undefined) => {
    const token = specialId(entry)
    return token !== undefined && (token === names.sep || token === names.eos)
  }
  const add = (separates(middle[0]) && trailing === undefined) || (middle.length === 2 && separates(middle[1]))
  search.adds.set('sep', add)
  if (add && blank(names.sep) && search.config.size > 0) search.config.set('sep_token', names.eos ?? null)
}

function specialId(entry: Json | undefined): string | undefined {
  return idIn(entry, 'SpecialToken')
}

function sequenceId(entry: Json | undefined): string | undefined {
  return idIn(entry, 'Sequence')
}

function idIn(entry: Json | undefined, kind: string): string | undefined {
  const inner = isObject(entry) ? entry.get(kind) : undefined
  const id = isObject(inner) ? inner.get('id') : undefined
  return typeof id === 'string' && id !== '' ? id : undefined
}

function list(value: Json | undefined): readonly Json[] {
  return isArray(value) ? value : []
}

function first(value: Json | undefined): Json | undefined {
  return isArray(value) ? value[0] : undefined
}

const MAX_NORMALIZERS = 64 // deeper or longer chains are not walked; the longest seen has 5

/** Flags of Lowercase, StripAccents and BertNormalizer, also inside sequences; the last one that says something wins. */
function readNormalizer(tokenizer: JsonObject | undefined): { lowercase: boolean | undefined; stripAccents: boolean | undefined } {
  let lowercase: boolean | undefined
  let stripAccents: boolean | undefined
  const open: (Json | undefined)[] = [tokenizer?.get('normalizer')]
  for (let steps = 0; open.length > 0 && steps < MAX_NORMALIZERS; steps++) {
    const normalizer = open.shift()
    if (!isObject(normalizer)) continue
    const type = normalizer.get('type')
    if (type === 'Lowercase') lowercase = true
    else if (type === 'StripAccents') stripAccents = true
    else if (type === 'BertNormalizer') {
      lowercase = flag(normalizer.get('lowercase'), lowercase)
      stripAccents = flag(normalizer.get('strip_accents'), normalizer.has('strip_accents') ? undefined : stripAccents)
    } else if (type === 'Sequence') open.unshift(...list(normalizer.get('normalizers')).slice(0, MAX_NORMALIZERS))
  }
  return { lowercase, stripAccents }
}

function flag(value: Json | undefined, otherwise: boolean | undefined): boolean | undefined {
  return typeof value === 'boolean' ? value : otherwise
}
