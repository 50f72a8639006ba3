/**
 * What the steps of a recipe share: the key-values made so far, and the few ways in which a step adds to them.
 *
 * Law: gguf-py gguf_writer.py `add_key_value`: a key keeps the place of its first addition and the value of its last.
 */
import { FileSystemError, InternalError } from '../core/errors.js'
import type { JsonObject } from '../core/json.js'
import { string, strings, u32, type MetadataValue } from '../core/key-value.js'
import type { TokenizerRecipe } from '../core/tokenizer-recipes.js'
import { ID_KEYS, readSpecialVocab, specialKeyValues, type SpecialVocab, type SpecialVocabOptions } from './special-vocab.js'
import type { TokenizerFiles } from './tokenizer-files.js'
import type { TokenTable } from './vocabularies.js'

export interface Draft {
  readonly files: TokenizerFiles
  /** config.json as read. */
  readonly config: JsonObject
  /** Rows of the embedding as config.json has them; 0 when it does not say. Recipes that round it up change it. */
  vocabSize: number
  readonly recipe: TokenizerRecipe
  /** Value of general.architecture, for a recipe that writes a key of the architecture. */
  readonly architecture: string | undefined
  /** The user's --pre. */
  readonly givenPre: string | undefined
  readonly keyValues: Map<string, MetadataValue>
  readonly special: Map<string, number>
  readonly notes: string[]
  table?: TokenTable
  vocab?: SpecialVocab
  pre?: string
}

/** One step of a recipe. Tells whether it did its work; the steps of an alternative are tried until one does. */
export type Step = (draft: Draft) => Promise<boolean>

/** The first step that does its work. */
export function firstOf(...steps: readonly Step[]): Step {
  return async (draft) => {
    for (const step of steps) if (await step(draft)) return true
    return false
  }
}

/** Model, pre-tokenizer, tokens, scores and types. @param pre undefined: no such key */
export function addTable(draft: Draft, table: TokenTable, pre: string | undefined): void {
  const { keyValues } = draft
  keyValues.set('tokenizer.ggml.model', string(table.model))
  if (pre !== undefined) keyValues.set('tokenizer.ggml.pre', string(pre))
  keyValues.set('tokenizer.ggml.tokens', strings(table.tokens))
  if (table.scores !== undefined)
    keyValues.set('tokenizer.ggml.scores', { type: 'array', items: table.scores instanceof Int32Array ? 'i32' : 'f32', value: table.scores })
  keyValues.set('tokenizer.ggml.token_type', { type: 'array', items: 'i32', value: table.types })
  draft.table = table
  if (pre !== undefined) draft.pre = pre
  draft.notes.push(...table.notes)
}

/** Sets the id of a special token, whatever was there. */
export function setSpecialId(draft: Draft, kind: string, id: number): void {
  const key = ID_KEYS.get(kind)
  if (key === undefined) throw new InternalError(`no key holds the id of ${kind}`)
  draft.keyValues.set(key, u32(id))
  draft.special.set(kind, id)
}

/** Reads a special vocabulary and adds it. */
export async function addSpecial(draft: Draft, options: SpecialVocabOptions): Promise<void> {
  mergeSpecial(draft, await readSpecialVocab(draft.files, draft.config, options))
}

/** Merges, special ids, switches and chat templates. */
export function mergeSpecial(draft: Draft, special: SpecialVocab): void {
  for (const { key, value } of specialKeyValues(special)) draft.keyValues.set(key, value)
  for (const [kind, id] of special.ids) draft.special.set(kind, id)
  draft.vocab ??= special
  draft.notes.push(...special.notes)
}

/** The error of a folder without any of the files that a recipe reads. */
export function noTokenizer({ files }: Draft, wanted: string): FileSystemError {
  return new FileSystemError(`holds no tokenizer: ${wanted} wanted. Copy the files of the base model there.`, { file: files.folder.label })
}
