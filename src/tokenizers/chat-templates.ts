/**
 * Chat templates: where they lie, and the key-values they become.
 *
 * Law: gguf-py vocab.py `SpecialVocab._try_load_from_tokenizer_json` (which one wins) and gguf_writer.py
 * `add_chat_template` (the keys). One difference: tokenizer.chat_templates is in the given order; the reference writes
 * it in the order of a Python set, which changes from run to run.
 */
import { FormatError, quoted } from '../core/errors.js'
import { isArray, isObject, kindOf, type Json, type JsonObject } from '../core/json.js'
import { string, strings, type KeyValue } from '../core/key-value.js'
import { TEMPLATE_FOLDER, type TokenizerFiles } from './tokenizer-files.js'

/** A template and its name; the name of the usual one is `default`. */
export interface ChatTemplate {
  readonly name: string
  readonly template: string
}

/** Names that models give their additional templates, for hosts whose folder listing stops at subfolders. */
const USUAL_NAMES = ['tool_use', 'rag', 'tools', 'thinking']

/**
 * The templates of a tokenizer: tokenizer_config.json's `chat_template` (even null), else chat_template.jinja with
 * additional_chat_templates/, else chat_template.json. Without a tokenizer_config.json with content there are none.
 */
export async function readChatTemplates(files: TokenizerFiles, config: JsonObject | undefined): Promise<ChatTemplate[]> {
  if (config === undefined || config.size === 0) return []
  if (config.has('chat_template')) return templatesOf(config.get('chat_template'), 'tokenizer_config.json')
  return readTemplateFiles(files)
}

/** The templates in files of their own, whatever tokenizer_config.json says. */
export async function readTemplateFiles(files: TokenizerFiles): Promise<ChatTemplate[]> {
  const jinja = await files.text('chat_template.jinja')
  if (jinja === undefined) return templatesOf((await files.json('chat_template.json'))?.get('chat_template'), 'chat_template.json')
  const templates = [{ name: 'default', template: jinja }]
  for (const path of additionalFiles(files))
    templates.push({ name: path.slice(TEMPLATE_FOLDER.length, -'.jinja'.length), template: (await files.text(path)) ?? '' })
  return templates
}

function additionalFiles(files: TokenizerFiles): string[] {
  const listed = files.folder.entries
    .map((entry) => entry.name)
    .filter((name) => name.startsWith(TEMPLATE_FOLDER) && name.endsWith('.jinja') && name.split('/').length === 2)
  const usual = USUAL_NAMES.map((name) => `${TEMPLATE_FOLDER}${name}.jinja`).filter((path) => files.has(path))
  return [...new Set([...listed, ...usual])].sort()
}

/** A string, or a list of {name, template}; anything else but null is skipped, as the reference does. */
function templatesOf(value: Json | undefined, file: string): ChatTemplate[] {
  if (typeof value === 'string') return [{ name: 'default', template: value }]
  if (!isArray(value)) return []
  return value.flatMap((entry) => {
    if (!isObject(entry)) throw new FormatError(`"chat_template" holds ${kindOf(entry)}, objects with name and template wanted.`, { file })
    const name = entry.get('name') ?? ''
    const template = entry.get('template') ?? undefined
    if (typeof name !== 'string') throw new FormatError(`a chat template's name is ${kindOf(name)}, a string wanted.`, { file })
    if (template === undefined) return []
    if (typeof template !== 'string') throw new FormatError(`the chat template ${quoted(name)} is ${kindOf(template)}, a string wanted.`, { file })
    return [{ name, template }]
  })
}

/** The key-values: each named template, the list of names, then the default. Empty texts are not written. */
export function chatTemplateKeyValues(templates: readonly ChatTemplate[]): KeyValue[] {
  const keyValues: KeyValue[] = []
  const names = new Set<string>()
  for (const { name, template } of templates) {
    const safe = name.replace(/[^A-Za-z0-9]/gu, '_')
    if (safe === '' || safe === 'default') continue
    names.add(safe)
    if (template !== '') keyValues.push({ key: `tokenizer.chat_template.${safe}`, value: string(template) })
  }
  if (names.size > 0) keyValues.push({ key: 'tokenizer.chat_templates', value: strings([...names]) })
  const usual = defaultTemplate(templates)
  if (usual !== undefined && usual !== '') keyValues.push({ key: 'tokenizer.chat_template', value: string(usual) })
  return keyValues
}

/** The last template named `default`, as the reference takes it. */
export function defaultTemplate(templates: readonly ChatTemplate[]): string | undefined {
  return templates.findLast(({ name }) => name === 'default')?.template
}
