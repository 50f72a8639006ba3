/**
 * Whose tokenizer the merged model speaks. It was trained with the one beside the adapter: where that differs from the
 * base's in what decides ids or prompts, it is the one to use.
 */
import { readAll, type Folder } from '../core/bytes.js'
import { FileSystemError, MismatchError, UsageError } from '../core/errors.js'
import type { Model } from '../core/model.js'
import { lastPart } from '../core/paths.js'
import type { TokenizerFiles } from '../plan/side-files.js'
import { openFolder } from '../sources/files.js'
import { compareTokenizers, tokenizerFacts } from '../tokenizers/compare.js'
import { isTokenizerFile, TEMPLATE_FOLDER, TOKENIZER_FILES } from '../tokenizers/tokenizer-files.js'
import { completed } from './complete-tokenizer.js'

const MOST_COMPARED = 256 * 2 ** 20 // largest tokenizer.json seen: 34 MB

export interface TokenizerChoice {
  /** Undefined: the base's own. */
  readonly tokenizer: TokenizerFiles | undefined
  readonly decisions: readonly string[]
}

/**
 * @param asked  --tokenizer: `base`, `adapter`, a folder, or undefined
 * @throws MismatchError when adapters bring different tokenizers, UsageError when the one asked for is not there
 */
export async function chooseTokenizer(model: Model, adapters: readonly Folder[], asked: string | undefined): Promise<TokenizerChoice> {
  const chosen = await choose(model.folder, adapters, asked)
  if (chosen.tokenizer !== undefined) await requireFit(chosen.tokenizer.folder, model)
  return chosen
}

async function choose(base: Folder | undefined, adapters: readonly Folder[], asked: string | undefined): Promise<TokenizerChoice> {
  const own = adapters.filter((folder) => folder.entries.some(({ name }) => isTokenizerFile(name)))
  if (asked === 'base') return { tokenizer: undefined, decisions: [] }
  if (asked === 'adapter') {
    const [only] = own
    if (only === undefined) throw new UsageError('--tokenizer adapter: no tokenizer files lie beside the adapter.')
    return choice(only, base, 'as asked')
  }
  if (asked !== undefined) return choice(await openFolder(asked), base, 'as asked')
  const different: { folder: Folder; reasons: readonly string[] }[] = []
  for (const folder of own) {
    if (base !== undefined && (await isSame(base, folder))) continue
    const { differs, reasons } = base === undefined ? { differs: true, reasons: ['the base has none'] } : await compareTokenizers(base, folder)
    if (differs) different.push({ folder, reasons })
  }
  const [first, ...others] = different
  if (first === undefined) return { tokenizer: undefined, decisions: [] }
  for (const { folder } of others) {
    if (!(await compareTokenizers(first.folder, folder)).differs) continue
    throw new MismatchError(`the adapters ${first.folder.baseName} and ${folder.baseName} bring different tokenizers. Choose with --tokenizer base|DIR.`, {
      file: folder.label,
    })
  }
  return choice(first.folder, base, `which the adapter was trained with: ${first.reasons.join('; ')}`)
}

/** Whether every tokenizer file of an adapter is the base's, byte for byte: then what is in them need not be understood. */
async function isSame(base: Folder, adapter: Folder): Promise<boolean> {
  const files = adapter.entries.filter(({ name }) => isTokenizerFile(name))
  const lengths = new Map(base.entries.map(({ name, byteLength }) => [name, byteLength]))
  if (files.some(({ name, byteLength }) => lengths.get(name) !== byteLength)) return false
  for (const { name } of files) {
    const [ours, theirs] = [await readAll(await base.open(name), MOST_COMPARED), await readAll(await adapter.open(name), MOST_COMPARED)]
    if (ours.some((byte, i) => byte !== theirs[i])) return false
  }
  return true
}

/** Where checkpoints of all families keep their token embedding. */
const EMBEDDING = /(?:^|\.)(?:embed_tokens|wte|word_embeddings|tok_embeddings|embed_in|shared|embeddings)\.weight$/

/** A token without a row in the embedding would make the model fail when it is used. @throws MismatchError */
async function requireFit(tokenizer: Folder, { tensors, label }: Model): Promise<void> {
  const [embedding] = [...tensors.values()].filter(({ name, shape }) => shape.length === 2 && EMBEDDING.test(name))
  const rows = embedding?.shape[0]
  const highest = [...(await tokenizerFacts(tokenizer)).tokens.keys()].reduce((most, id) => Math.max(most, id), -1)
  if (rows === undefined || highest < rows) return
  const what = `the tokenizer has tokens up to id ${highest}, ${embedding?.name} of ${lastPart(label)} has ${rows} rows: it was trained with a resized vocabulary that this adapter does not hold.`
  throw new MismatchError(`${what} Choose with --tokenizer base|adapter|DIR.`, { file: tokenizer.label })
}

async function choice(folder: Folder, base: Folder | undefined, why: string): Promise<TokenizerChoice> {
  if (!folder.entries.some(({ name }) => isTokenizerFile(name))) throw new FileSystemError('holds no tokenizer files.', { file: folder.label })
  const { folder: complete, notes } = await completed(folder, base)
  return {
    tokenizer: { folder: complete, names: [...TOKENIZER_FILES, TEMPLATE_FOLDER] },
    decisions: [[`tokenizer of ${lastPart(folder.label)}, ${why}`, ...notes].join('; ')],
  }
}
