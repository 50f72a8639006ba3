/** Opens what the user named as base and adapters, and decides whose tokenizer the model speaks. */
import { statSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { openAdapter } from '../adapters/resolve.js'
import type { Folder } from '../core/bytes.js'
import { MismatchError, UsageError } from '../core/errors.js'
import { lastPart } from '../core/paths.js'
import type { Model } from '../core/model.js'
import type { WeightedAdapter } from '../merge/combine.js'
import { fileDigest } from '../sources/digest.js'
import { openFolder } from '../sources/files.js'
import { openModel } from '../sources/model.js'
import { compareTokenizers } from '../tokenizers/compare.js'
import { isTokenizerFile, TEMPLATE_FOLDER, TOKENIZER_FILES } from '../tokenizers/tokenizer-files.js'
import type { TokenizerFiles } from '../plan/side-files.js'
import type { AdapterOption, CommonOptions } from './options.js'

/** Base and adapters, opened. */
export interface Inputs {
  readonly base: Model
  readonly adapters: readonly WeightedAdapter[]
  /** Set when the tokenizer is not the base's. */
  readonly tokenizer: TokenizerFiles | undefined
  readonly decisions: readonly string[]
}

/** @throws ToolkitError of whatever does not fit */
export async function openInputs(basePath: string, adapters: readonly AdapterOption[], { tokenizer }: CommonOptions): Promise<Inputs> {
  const base = await openModel(basePath)
  const opened: { weighted: WeightedAdapter; folder: Folder }[] = []
  for (const { path, weight = 1 } of adapters) {
    if (!Number.isFinite(weight)) throw new UsageError(`the weight of ${path} is ${weight}; a finite number is wanted.`)
    const folder = await openFolder(adapterFolder(path))
    const adapter = await openAdapter(folder, base.tensors)
    // one adapter needs no order; several are ordered by what they hold, not by how they were typed
    const digests = adapters.length < 2 ? [] : await Promise.all(adapter.files.map((name) => fileDigest(join(adapterFolder(path), name))))
    opened.push({ weighted: { adapter: { ...adapter, label: path }, weight, digest: digests.join('+') }, folder })
  }
  const chosen = await chooseTokenizer(base, opened.map(({ folder }) => folder), tokenizer)
  return { base, adapters: opened.map(({ weighted }) => weighted), ...chosen }
}

/** An adapter is a folder; who names its weights file means the folder. */
function adapterFolder(path: string): string {
  try {
    return statSync(path).isFile() && /^adapter_model\.(?:safetensors|bin)$/.test(basename(path)) ? dirname(path) : path
  } catch {
    return path
  }
}

/**
 * The model was trained with the tokenizer beside the adapter: where that differs from the base's in what decides
 * ids or prompts, it is the one to use.
 */
async function chooseTokenizer(base: Model, adapters: readonly Folder[], asked: string | undefined): Promise<{ tokenizer: TokenizerFiles | undefined; decisions: string[] }> {
  if (base.folder === undefined || asked === 'base') return { tokenizer: undefined, decisions: [] }
  if (asked !== undefined && asked !== 'adapter') return { tokenizer: filesOf(await openFolder(asked)), decisions: [`tokenizer of ${lastPart(asked)}, as asked`] }
  const own = adapters.filter((folder) => folder.entries.some(({ name }) => isTokenizerFile(name)))
  if (asked === 'adapter') {
    const [only] = own
    if (only === undefined) throw new UsageError('--tokenizer adapter: no tokenizer files lie beside the adapter.')
    return { tokenizer: filesOf(only), decisions: [`tokenizer of ${only.baseName}, as asked`] }
  }
  const different: { folder: Folder; reasons: readonly string[] }[] = []
  for (const folder of own) {
    const { differs, reasons } = await compareTokenizers(base.folder, folder)
    if (differs) different.push({ folder, reasons })
  }
  const [first, second] = different
  if (first === undefined) return { tokenizer: undefined, decisions: [] }
  if (second !== undefined && (await compareTokenizers(first.folder, second.folder)).differs) {
    throw new MismatchError(`the adapters ${first.folder.label} and ${second.folder.label} bring different tokenizers. Choose with --tokenizer base|DIR.`)
  }
  return { tokenizer: filesOf(first.folder), decisions: [`tokenizer of ${first.folder.baseName}, which the adapter was trained with: ${first.reasons.join('; ')}`] }
}

function filesOf(folder: Folder): TokenizerFiles {
  return { folder, names: [...TOKENIZER_FILES, TEMPLATE_FOLDER] }
}
