/**
 * Where the matrices of a GGUF file lie in the checkpoint that it would be made of: for adapters whose modules have GGUF
 * names. The same rows that convert.
 */
import type { RowProgram } from '../core/row-program.js'
import { rowShape } from '../core/shape.js'
import type { Config, KnownTensor } from './config.js'
import type { Architecture, TensorRule } from './define.js'
import { matched, type MatchedPiece } from './match.js'
import { ROLES } from './roles.js'
import { targetNames, unitOfSources, type NamedShape, type RowUnit } from './row-unit.js'
import { filledTemplate, TemplateTrie } from './templates.js'

/** A tensor of the checkpoint that a tensor of the file is made of, or a part of it. */
export interface CheckpointPlace {
  /** Its name. */
  readonly name: string
  /** Takes what is added to the file's tensor to what is added to this one; undefined where they are the same. */
  readonly lay: ((program: RowProgram) => RowProgram) | undefined
}

/** A tensor of the file, by the checkpoint. */
export interface PlacedTensor {
  /** Undefined where the checkpoint lacks it. */
  readonly shape: readonly number[] | undefined
  /** None where its values are others than the checkpoint's. */
  readonly places: readonly CheckpointPlace[]
}

/**
 * @param config   of the model: head counts decide the order of rows
 * @param tensors  of the checkpoint
 * @returns a lookup by the name of a tensor of the file; undefined where the checkpoint has nothing that it is made of
 */
export function checkpointPlaces(
  architecture: Architecture,
  config: Config,
  tensors: ReadonlyMap<string, KnownTensor>,
): (name: string) => PlacedTensor | undefined {
  let pieces: ReadonlyMap<string, readonly PlacedPiece[]> | undefined
  return (name) => {
    pieces ??= piecesByTarget(architecture, config, tensors)
    const own = pieces.get(name) ?? []
    const [first] = own
    if (first === undefined) return absent(architecture, name)
    const sources = own.toSorted((a, b) => indexOf(a) - indexOf(b)).map(({ source }) => source)
    const unit = unitOfSources(first.rule, first.captures.block, config, sources)
    const at = unit.targets.findIndex((target) => target.name === name)
    const target = unit.targets[at]
    return target && { shape: target.shape, places: unit.changesValues ? [] : unit.sources.map((source, i) => placeOf(unit, at, source, i)) }
  }
}

/** What a tensor would be a copy of: an output that the checkpoint shares with its embedding, or a layer that it lacks. */
function absent({ rules }: Architecture, name: string): PlacedTensor | undefined {
  const trie = new TemplateTrie<TensorRule>()
  for (const rule of rules) {
    const [role, ...more] = rule.roles
    if (role !== undefined && more.length === 0 && rule.transforms.length === 0) trie.add(ROLES[role].gguf + rule.suffix, rule)
  }
  const [match] = trie.match(name)
  return match && { shape: undefined, places: [{ name: filledTemplate(match.value.pieces[0]?.[0] ?? '', match.captures), lay: undefined }] }
}

interface PlacedPiece extends MatchedPiece {
  readonly source: NamedShape
}

function indexOf({ captures, piece }: PlacedPiece): number {
  return captures.expert ?? piece
}

/** What each tensor of the file is made of: all of one row. */
function piecesByTarget(architecture: Architecture, config: Config, tensors: ReadonlyMap<string, KnownTensor>): ReadonlyMap<string, readonly PlacedPiece[]> {
  const pieces = new Map<string, PlacedPiece[]>()
  const rules = new Map<string, TensorRule>()
  for (const [name, { shape }] of tensors) {
    const match = matched(architecture, name, config)
    if (typeof match !== 'object') continue
    for (const target of targetNames(match.rule, match.captures.block)) {
      if ((rules.get(target) ?? match.rule) !== match.rule) continue
      rules.set(target, match.rule)
      const own = pieces.get(target) ?? []
      own.push({ ...match, source: { name, shape } })
      pieces.set(target, own)
    }
  }
  return pieces
}

function placeOf(unit: RowUnit, at: number, { name }: NamedShape, index: number): CheckpointPlace {
  return { name, lay: unit.isCopy ? undefined : layOf(unit, at, index) }
}

/**
 * Takes what is added to one tensor of the file to what is added to one of the checkpoint: every row of a table that keeps
 * values is linear, and what the other tensors of the file get is zero.
 * @param at     of the file's tensor in the unit
 * @param index  of the checkpoint's
 */
export function layOf({ targets, toCheckpoint }: RowUnit, at: number, index: number): (program: RowProgram) => RowProgram {
  return (program) => {
    const all = targets.map(({ shape }, i): RowProgram => (i === at ? program : { op: 'fill', ...rowShape(shape), value: 0 }))
    return toCheckpoint(all)[index] ?? program
  }
}
