/** Opens what the user named as base and adapters. */
import { statSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { openAdapter } from '../adapters/resolve.js'
import type { Folder } from '../core/bytes.js'
import { UsageError } from '../core/errors.js'
import type { Model } from '../core/model.js'
import type { WeightedAdapter } from '../merge/combine.js'
import { fileDigest } from '../sources/digest.js'
import { openFolder } from '../sources/files.js'
import { openModel } from '../sources/model.js'
import type { TokenizerFiles } from '../plan/side-files.js'
import { chooseTokenizer } from './choose-tokenizer.js'
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
    const place = adapterPlace(path)
    const folder = await openFolder(place.folder)
    const adapter = await openAdapter(folder, base.tensors, place.weightsName)
    // one adapter needs no order; several are ordered by what they hold, not by how they were typed
    const digests = adapters.length < 2 ? [] : await Promise.all(adapter.files.map((name) => fileDigest(join(place.folder, name))))
    opened.push({ weighted: { adapter: { ...adapter, label: path }, weight, digest: digests.join('+') }, folder })
  }
  const chosen = await chooseTokenizer(base, opened.map(({ folder }) => folder), tokenizer)
  return { base, adapters: opened.map(({ weighted }) => weighted), ...chosen }
}

/** An adapter is a folder; who names a weights file means the folder it lies in, and that file. */
function adapterPlace(path: string): { folder: string; weightsName?: string } {
  return statSync(path, { throwIfNoEntry: false })?.isFile() === true ? { folder: dirname(path), weightsName: basename(path) } : { folder: path }
}
