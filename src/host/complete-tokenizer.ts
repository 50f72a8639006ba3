/**
 * Trainers save parts of a tokenizer beside the adapter: only a chat template, or a tokenizer without one. What is missing
 * is the base's; nothing that the adapter brings is lost.
 */
import { memorySource, readAll, type ByteSource, type Folder } from '../core/bytes.js'
import { decodeUtf8 } from '../core/json.js'
import { tokenizerFacts } from '../tokenizers/compare.js'
import { isTokenizerFile, TEMPLATE_FOLDER } from '../tokenizers/tokenizer-files.js'

const CONFIG = 'tokenizer_config.json'
const VOCABULARIES = ['tokenizer.json', 'tokenizer.model', 'vocab.json', 'vocab.txt', 'tekken.json']
const MOST_CONFIG_BYTES = 64_000_000

/** A folder that holds a whole tokenizer, and what is taken from the base for it. */
export interface CompleteTokenizer {
  readonly folder: Folder
  readonly notes: readonly string[]
}

/** @param base  undefined where there is none: then the folder is all there is */
export async function completed(folder: Folder, base: Folder | undefined): Promise<CompleteTokenizer> {
  if (base === undefined) return { folder, notes: [] }
  if (!VOCABULARIES.some((name) => folder.has(name))) return withVocabulary(folder, base)
  if ((await tokenizerFacts(folder)).chatTemplates.size > 0) return { folder, notes: [] }
  const templates = [...(await tokenizerFacts(base)).chatTemplates].map(([name, text]): [string, Uint8Array] => [
    name === 'default' ? 'chat_template.jinja' : `${TEMPLATE_FOLDER}${name}.jinja`,
    new TextEncoder().encode(text),
  ])
  if (templates.length === 0) return { folder, notes: [] }
  return { folder: overlaid(folder, inMemory(templates)), notes: ['its chat template is the base’s, for it brings none'] }
}

/** All of the base's files that the adapter lacks. A template in the base's config would win over the adapter's file: it is taken out. */
async function withVocabulary(folder: Folder, base: Folder): Promise<CompleteTokenizer> {
  const bringsTemplates = (await tokenizerFacts(folder)).chatTemplates.size > 0
  const missing = base.entries.filter(({ name }) => isTokenizerFile(name) && !folder.has(name) && !(bringsTemplates && isTemplate(name)))
  const files = new Map(missing.map(({ name, byteLength }) => [name, { byteLength, open: () => base.open(name) }]))
  if (bringsTemplates && files.has(CONFIG)) {
    const text = decodeUtf8(await readAll(await base.open(CONFIG), MOST_CONFIG_BYTES), CONFIG)
    for (const [name, file] of inMemory([[CONFIG, new TextEncoder().encode(withoutTemplate(text))]])) files.set(name, file)
  }
  return { folder: overlaid(folder, files), notes: ['its vocabulary is the base’s, for it brings none'] }
}

function isTemplate(name: string): boolean {
  return name.startsWith('chat_template.') || name.startsWith(TEMPLATE_FOLDER)
}

/** The JSON without `chat_template`; it is checked before, and its other numbers and texts stay as they are. */
function withoutTemplate(text: string): string {
  const found = /"chat_template"\s*:\s*"(?:[^"\\]|\\.)*"\s*,?\s*/.exec(text)
  if (found === null) return JSON.stringify({ ...(JSON.parse(text) as object), chat_template: undefined })
  const rest = text.slice(found.index + found[0].length)
  const before = text.slice(0, found.index)
  return (found[0].trimEnd().endsWith(',') ? before : before.replace(/,\s*$/, '')) + rest
}

interface MoreFile {
  readonly byteLength: number
  readonly open: () => Promise<ByteSource>
}

function inMemory(files: readonly (readonly [string, Uint8Array])[]): Map<string, MoreFile> {
  return new Map(files.map(([name, bytes]) => [name, { byteLength: bytes.byteLength, open: async () => memorySource(name, bytes) }]))
}

/** A folder with some files more, which win over its own. */
function overlaid(folder: Folder, files: ReadonlyMap<string, MoreFile>): Folder {
  const added = [...files].map(([name, { byteLength }]) => ({ name, byteLength }))
  return {
    ...folder,
    entries: [...folder.entries.filter(({ name }) => !files.has(name)), ...added],
    has: (name) => files.has(name) || folder.has(name),
    open: (name) => files.get(name)?.open() ?? folder.open(name),
  }
}
