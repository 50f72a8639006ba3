/**
 * Inputs are never written to, whatever --force says: not only the weights, which the engine guards, but every file that
 * a plan was made from: configs, tokenizers, model cards, the file of --metadata.
 */
import { readdirSync, statSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { UsageError } from '../core/errors.js'
import { outputNames } from '../engine/check-outputs.js'
import type { Plan } from '../plan/plan.js'

/** What runs of ours leave in a model's folder; these are outputs, and may be written again. */
const OUTPUTS = /\.gguf$|\.receipt\.json$|(?:^|\.)Modelfile$|\.tmp$/i

/**
 * @param paths  files and folders that the user named as inputs; of a folder, the files directly in it are guarded
 * @throws UsageError naming the output that is one of them
 */
export function refuseInputFiles(plan: Plan, paths: readonly string[]): void {
  const inputs = new Set(paths.flatMap(filesOf).flatMap(identity))
  for (const name of outputNames(plan)) {
    const [own] = identity(resolve(plan.root, name))
    if (own !== undefined && inputs.has(own)) throw new UsageError('the output is an input; inputs are never written to. Name another output.', { file: name })
  }
}

function filesOf(path: string): readonly string[] {
  try {
    return statSync(path).isDirectory()
      ? readdirSync(path)
          .filter((name) => !OUTPUTS.test(name))
          .map((name) => join(path, name))
      : [path]
  } catch {
    return [] // `base` and `adapter` of --tokenizer are no paths
  }
}

/** Device and inode, which links share; nothing for what is not there. */
function identity(path: string): readonly string[] {
  try {
    const found = statSync(path, { bigint: true })
    return found.isDirectory() ? [] : [`${found.dev}:${found.ino}`]
  } catch {
    return [] // missing, or below a file: the engine says so
  }
}
