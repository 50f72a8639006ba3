/**
 * The tokenizer.* key-values of a GGUF, from the tokenizer files of a folder: the room's main door.
 *
 *   Folder + config.json ──► recipe (recipes.ts) ──► token table ──► + special vocabulary ──► key-values
 *
 * Law: llama.cpp conversion/base.py, conversion/llama.py `LlamaModel.set_vocab` and gguf-py; docs of each step lie in the
 * files that do it. Later keys replace earlier ones of the same name in place, as gguf-py's writer does.
 */
import type { Folder } from '../core/bytes.js'
import { quoted, UnsupportedError } from '../core/errors.js'
import type { JsonObject } from '../core/json.js'
import type { KeyValue } from '../core/key-value.js'
import type { TokenizerRecipe } from '../core/tokenizer-recipes.js'
import { defaultTemplate } from './chat-templates.js'
import type { Draft } from './draft.js'
import { checkPreTokenizerName } from './pre-tokenizer.js'
import { runRecipe } from './recipes.js'
import { TOKEN_TYPES } from './token-types.js'
import { tokenizerFiles } from './tokenizer-files.js'
import type { TokenTable } from './vocabularies.js'

export { PRE_TOKENIZERS } from './pre-tokenizer-names.js'
export { TOKENIZER_FILES } from './tokenizer-files.js'

export interface TokenTablesRequest {
  /** Where the tokenizer files are. */
  readonly folder: Folder
  /** The model's config.json as read. */
  readonly config: JsonObject
  /** Rows of the embedding; 0 when the model does not say. */
  readonly vocabSize: number
  readonly recipe: TokenizerRecipe
  /** Value of general.architecture: Mistral's own tokenizers set the architecture's vocab_size. */
  readonly architecture?: string
  /** The user's --pre. */
  readonly pre?: string
}

export interface TokenTables {
  /** In the reference's order. */
  readonly keyValues: readonly KeyValue[]
  readonly tokenCount: number
  readonly chatTemplate?: string
  /** Every template by name, the usual one as `default`; only where there is one. */
  readonly chatTemplates?: ReadonlyMap<string, string>
  /** Index = token id. */
  readonly tokens: readonly string[]
  /** Kind (bos, eos, unk, sep, pad, cls, mask, eot, eom) -> id. */
  readonly special: Readonly<Partial<Record<SpecialKind, number>>>
  /** tokenizer.ggml.pre */
  readonly pre: string | undefined
  /** Decisions to tell the user. */
  readonly notes: readonly string[]
}

export type SpecialKind = (typeof SPECIAL_KINDS)[number]
const SPECIAL_KINDS = ['bos', 'eos', 'unk', 'sep', 'pad', 'cls', 'mask', 'eot', 'eom'] as const

const MAX_TOKENS = 2 ** 22 // the largest vocabulary seen has 262,400 tokens; a config that says billions must not take memory

/**
 * Makes the token tables of a model.
 * @throws FormatError (broken tokenizer files), UnsupportedError (a tokenizer or pre-tokenizer that is not known),
 *         MismatchError (ids beyond vocabSize), UsageError (unknown --pre), FileSystemError (no tokenizer in the folder)
 */
export async function tokenTables(request: TokenTablesRequest): Promise<TokenTables> {
  const { pre, vocabSize } = request
  if (pre !== undefined) checkPreTokenizerName(pre)
  if (!Number.isInteger(vocabSize) || vocabSize < 0 || vocabSize > MAX_TOKENS)
    throw new UnsupportedError(`vocab_size ${vocabSize}: a vocabulary of up to ${MAX_TOKENS} tokens is supported.`, { file: 'config.json' })
  const draft: Draft = {
    files: tokenizerFiles(request.folder),
    config: request.config,
    vocabSize,
    recipe: request.recipe,
    architecture: request.architecture,
    givenPre: pre,
    keyValues: new Map(),
    special: new Map(),
    notes: [],
  }
  await runRecipe(draft)
  return result(draft)
}

function result(draft: Draft): TokenTables {
  const templates = draft.vocab?.templates ?? []
  const chatTemplate = defaultTemplate(templates)
  const tokens = draft.table?.tokens ?? []
  const twice = draft.table === undefined ? undefined : twiceThere(draft.table)
  return {
    keyValues: [...draft.keyValues].map(([key, value]) => ({ key, value })),
    tokenCount: tokens.length,
    ...(chatTemplate === undefined ? {} : { chatTemplate }),
    ...(templates.length === 0 ? {} : { chatTemplates: new Map(templates.map(({ name, template }) => [name, template])) }),
    tokens,
    special: Object.fromEntries(SPECIAL_KINDS.flatMap((kind) => (draft.special.has(kind) ? [[kind, draft.special.get(kind)]] : []))),
    pre: draft.pre,
    notes: twice === undefined ? draft.notes : [...draft.notes, twice],
  }
}

/** llama.cpp stops at a file in which two ids have one text. Vocabularies have each text once; added tokens and padding may repeat one. */
function twiceThere({ tokens, types }: TokenTable): string | undefined {
  const suspects = new Set(tokens.filter((_, id) => types[id] !== TOKEN_TYPES.normal && types[id] !== TOKEN_TYPES.byte))
  const seen = new Map<string, number>()
  for (const [id, token] of tokens.entries()) {
    if (!suspects.has(token)) continue
    const before = seen.get(token)
    if (before !== undefined) return `the ids ${before} and ${id} are both the token ${quoted(token)}: llama.cpp will refuse the file`
    seen.set(token, id)
  }
  return undefined
}
