/** Which row a tensor of a checkpoint belongs to, or why it belongs to none. */
import { InternalError, nameList, quoted } from '../core/errors.js'
import type { Config } from './config.js'
import type { Architecture, PieceOfRule } from './define.js'
import { skipReason, type SkippedTensor } from './skipped.js'
import type { Captures } from './templates.js'

/** A piece of a rule, with the numbers in its name. */
export interface MatchedPiece extends PieceOfRule {
  readonly captures: Captures
}

/** A row's piece; `leftOut` for a tensor that has no place in the file on purpose; undefined for one that nobody knows. */
export function matched(architecture: Architecture, given: string, config?: Config): MatchedPiece | 'leftOut' | undefined {
  const { rename } = architecture.definition
  const name = rename === undefined || config === undefined ? given : rename(bareName(architecture, given), config)
  if (name === undefined) return 'leftOut'
  const exact = architecture.names.match(name)
  const bare = exact.length > 0 ? name : bareName(architecture, name)
  const matches = bare === name ? exact : architecture.names.match(bare)
  if (matches.length > 1)
    throw new InternalError(
      `${architecture.name}: ${matches.length} rows claim ${quoted(name)}: ${nameList(architecture.rules.map(({ group }) => group ?? ''))}`,
    )
  const [match] = matches
  if (match === undefined) return skipReason(name) === undefined ? undefined : 'leftOut'
  return match.value === 'leftOut' ? 'leftOut' : { ...match.value, captures: match.captures }
}

/** Layer that a name speaks of: its first number, as the reference reads it. */
export function layerIn(name: string): number | undefined {
  const number = name.split('.').find((part) => /^\d{1,9}$/.test(part))
  return number === undefined ? undefined : Number(number)
}

/** Tensors of the checkpoint that are left out on purpose: tell the user. */
export function skippedTensors(
  architecture: Architecture,
  { blockCount, config }: { readonly blockCount: number; readonly config?: Config },
  names: Iterable<string>,
): SkippedTensor[] {
  const skipped: SkippedTensor[] = []
  for (const name of names) {
    const match = matched(architecture, name, config)
    if (match === 'leftOut') skipped.push({ name, reason: skipReason(name) ?? (/\bmtp\b/.test(name) ? 'prediction' : 'unused') })
    else if (architecture.definition.laterBlocks === 'leftOut' && (layerIn(name) ?? 0) >= blockCount) skipped.push({ name, reason: 'prediction' })
  }
  return skipped
}

/** The name without the parts that say only that it belongs to a text model. */
function bareName({ definition }: Architecture, name: string): string {
  let bare = name.includes('language_model.') ? name.replace('language_model.', '') : name
  for (const part of definition.strip ?? []) bare = bare.replace(part, '')
  return bare
}
