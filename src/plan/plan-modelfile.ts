/** Plans the Modelfile beside a GGUF: what Ollama needs to know that the file itself does not say. */
import { readAll, type Folder } from '../core/bytes.js'
import { isArray, parseJsonObject, type JsonObject } from '../core/json.js'
import type { KeyValue } from '../core/key-value.js'
import { chooseModelfileName, isModelfileFor } from '../ollama/modelfile.js'
import { modelfileFor } from '../ollama/plan-modelfile.js'
import type { TokenTables } from '../tokenizers/token-tables.js'
import type { SideFile } from './plan.js'

const MOST_GENERATION_CONFIG_BYTES = 1_048_576

export interface ModelfileRequest {
  /** Of a split file all parts, the first one first. */
  readonly ggufNames: readonly string[]
  readonly folder: Folder
  readonly config: JsonObject
  readonly tables: TokenTables
  readonly readExisting: ReadExisting
}

/** Gives the text of a file beside the GGUF, if there is one. */
export type ReadExisting = (name: string) => Promise<string | undefined>

/** A Modelfile, or the reason why there is none. */
export interface PlannedModelfile {
  readonly file: SideFile | undefined
  readonly notes: readonly string[]
}

/** Text and name of the Modelfile of a converted folder. */
export async function planModelfile({ ggufNames, folder, config, tables, readExisting }: ModelfileRequest): Promise<PlannedModelfile> {
  const generation = await generationConfig(folder)
  const eosIds = [config, ...(generation === undefined ? [] : [generation])].flatMap((source) => tokenIds(source.get('eos_token_id')))
  if (tables.special.eos !== undefined) eosIds.unshift(tables.special.eos)
  const token = (id: number | undefined): string | undefined => (id === undefined ? undefined : tables.tokens[id])
  const { text, notes } = await modelfileFor({
    ...partsOf(ggufNames),
    chatTemplate: tables.chatTemplate,
    eosTokens: [...new Set(eosIds)].flatMap((id) => token(id) ?? []),
    bosToken: token(tables.special.bos),
    eosToken: token(tables.special.eos),
    generationConfig: generation,
  })
  return named(text, notes, ggufNames, readExisting)
}

/** The same from the metadata of a GGUF, where a token table and a template stand already. */
export async function modelfileOfGguf(ggufNames: readonly string[], keyValues: readonly KeyValue[], readExisting: ReadExisting): Promise<PlannedModelfile> {
  const values = new Map(keyValues.map(({ key, value }) => [key, value]))
  const tokens = values.get('tokenizer.ggml.tokens')
  const template = values.get('tokenizer.chat_template')
  const token = (key: string): string | undefined => {
    const id = values.get(`tokenizer.ggml.${key}_token_id`)
    return id?.type === 'u32' && tokens?.type === 'array' && tokens.items === 'string' ? tokens.value[id.value] : undefined
  }
  const { text, notes } = await modelfileFor({
    ...partsOf(ggufNames),
    chatTemplate: template?.type === 'string' ? template.value : undefined,
    eosTokens: ['eos', 'eot', 'eom'].flatMap((key) => token(key) ?? []),
    bosToken: token('bos'),
    eosToken: token('eos'),
  })
  return named(text, notes, ggufNames, readExisting)
}

function partsOf([ggufName = '', ...otherParts]: readonly string[]): { ggufName: string; otherParts: readonly string[] } {
  return { ggufName, otherParts }
}

/** One that we did not write is never replaced, and where all names are taken there is no file. */
async function named(text: string, notes: readonly string[], [ggufName = '']: readonly string[], readExisting: ReadExisting): Promise<PlannedModelfile> {
  const name = chooseModelfileName(await readExisting('Modelfile'), ggufName)
  const existing = await readExisting(name)
  if (existing !== undefined && !isModelfileFor(existing, ggufName)) {
    return { file: undefined, notes: [`no Modelfile is written: Modelfile and ${name} are there already and are not ours`] }
  }
  return { file: { name, stage: 'last', content: { kind: 'text', text }, replaces: true }, notes }
}

async function generationConfig(folder: Folder): Promise<JsonObject | undefined> {
  if (!folder.has('generation_config.json')) return undefined
  return parseJsonObject(await readAll(await folder.open('generation_config.json'), MOST_GENERATION_CONFIG_BYTES), 'generation_config.json')
}

function tokenIds(value: ReturnType<JsonObject['get']>): number[] {
  const ids = isArray(value) ? value : [value]
  return ids.filter((id): id is number => typeof id === 'number' && Number.isInteger(id) && id >= 0)
}
