/**
 * LoRA on a module whose weight is a piece of a tensor of the base -> deltas of some rows: adapters of transformers 4 on
 * experts that the base keeps fused, and layers that a checkpoint keeps as one. And the other way round: LoRA on a fused
 * layer whose parts the base keeps apart.
 */
import type { Delta, GroupedDelta, LowRank } from '../../core/delta.js'
import { MismatchError, quoted, UnsupportedError } from '../../core/errors.js'
import { elementCount, shapeText } from '../../core/shape.js'
import type { TensorInfo } from '../../core/tensor-info.js'
import type { AdapterModule } from '../adapter-file.js'
import { EXPERT_LAYOUTS, FUSED_LINEARS } from './expert-layouts.js'
import { factor, placeOf } from './factors.js'
import type { ModulePaths } from '../module-paths.js'
import { withoutBaseLayer } from '../peft/peft-modules.js'
import { rowSlice } from '../../core/matrix-view.js'

/** Some rows of a tensor, all dimensions but the last being rows, and what is added to them. */
export interface Piece {
  readonly module: AdapterModule
  readonly weight: TensorInfo
  readonly first: number
  readonly pair: LowRank
}

/**
 * @returns undefined when the base has no tensor that the module is a piece of
 * @throws MismatchError when it does not fit; UnsupportedError when it is more than plain LoRA
 */
export function findPieces(module: AdapterModule, paths: ModulePaths): Piece[] | undefined {
  if (module.kind !== 'lora') return undefined
  const found = ofFusedExperts(module, paths) ?? ofFusedLinear(module, paths) ?? ofSeparateLinears(module, paths)
  const other = [...module.factors.keys()].find((role) => role !== 'A' && role !== 'B')
  if (found !== undefined && other !== undefined)
    throw new UnsupportedError(
      `the base keeps this module as a part of ${quoted(found[0]?.weight.name ?? '')}, where only plain LoRA can be merged, not ${other}: merge it with PEFT.`,
      placeOf(module),
    )
  return found
}

/** One delta for each tensor and scale; rows between the pieces stay as they are. */
export function pieceDeltas(pieces: readonly Piece[]): Delta[] {
  const groups = new Map<string, Piece[]>()
  for (const piece of pieces) {
    const key = `${piece.module.scale} ${piece.weight.name}`
    groups.set(key, [...(groups.get(key) ?? []), piece])
  }
  checkOverlap(pieces)
  return [...groups.values()].flatMap((group) => {
    const [one] = group
    if (one === undefined) return []
    const parts: GroupedDelta['parts'][number][] = []
    let row = 0
    for (const { first, pair } of group.sort((a, b) => a.first - b.first)) {
      if (first > row) parts.push({ zeros: first - row })
      parts.push(pair)
      row = first + pair.B.rows
    }
    const all = elementCount(one.weight.shape.slice(0, -1))
    if (all > row) parts.push({ zeros: all - row })
    const rank = group.reduce((most, { module }) => Math.max(most, module.rank), 0)
    const name = group.length === 1 ? one.module.name : one.module.name.replace(/\.\d+\.([^.]+)$/, '.*.$1')
    return [{ variant: 'grouped', along: 'rows', target: one.weight.name, module: name, rank, scale: one.module.scale, parts }]
  })
}

function ofFusedExperts(module: AdapterModule, paths: ModulePaths): Piece[] | undefined {
  const [, path, number, part] = /^(.+)\.(\d{1,6})\.([^.]+)$/.exec(withoutBaseLayer(module.name)) ?? []
  if (path === undefined || part === undefined) return undefined
  for (const { parameter, parts } of EXPERT_LAYOUTS) {
    const at = parts.indexOf(part)
    if (at < 0) continue
    const whole = paths.find(path, placeOf(module), parameter)
    const [tensor, pieces, index] = whole === undefined ? [paths.find(`${path}.${part}`, placeOf(module)), 1, 0] : [whole, parts.length, at]
    if (tensor?.shape.length === 3) return [piece(module, tensor, Number(number), pieces, index)]
  }
  return undefined
}

function ofFusedLinear(module: AdapterModule, paths: ModulePaths): Piece[] | undefined {
  for (const { parts, whole } of FUSED_LINEARS) {
    for (const [at, part] of parts.entries()) {
      const path = pathBefore(module, part)
      const tensor = path === undefined ? undefined : paths.find(path + whole, placeOf(module))
      if (tensor?.shape.length === 2) return [piece(module, tensor, 0, parts.length, at)]
    }
  }
  return undefined
}

/** B's rows are those of all parts, one after the other. */
function ofSeparateLinears(module: AdapterModule, paths: ModulePaths): Piece[] | undefined {
  for (const { parts, whole } of FUSED_LINEARS) {
    const path = pathBefore(module, whole)
    if (path === undefined) continue
    const tensors = parts.flatMap((part) => paths.find(path + part, placeOf(module)) ?? [])
    if (tensors.length < parts.length || tensors.some(({ shape }) => shape.length !== 2)) continue
    const { A, B } = pairOf(module)
    let row = 0
    const pieces = tensors.map((weight): Piece => {
      const rows = weight.shape[0] ?? 0
      row += rows
      return { module, weight, first: 0, pair: { A, B: rowSlice(B, row - rows, rows) } }
    })
    const [misfit = tensors[0]] = tensors.filter(({ shape }) => shape[1] !== A.cols)
    if (row !== B.rows || misfit?.shape[1] !== A.cols) throw doesNotFit(module, misfit, `${row} rows`)
    return pieces
  }
  return undefined
}

/** One of `pieces` equal parts of a matrix; of a stack, of the matrix of one expert. */
function piece(module: AdapterModule, weight: TensorInfo, expert: number, pieces: number, index: number): Piece {
  const [experts, rows, cols] = weight.shape.length === 3 ? weight.shape : [1, ...weight.shape]
  const pair = pairOf(module)
  const own = (rows ?? 0) / pieces
  if (expert >= (experts ?? 0) || pair.A.cols !== cols || pair.B.rows !== own)
    throw doesNotFit(module, weight, `part ${index + 1} of ${pieces}, expert ${expert}`)
  return { module, weight, first: expert * (rows ?? 0) + index * own, pair }
}

function pairOf(module: AdapterModule): LowRank {
  return { B: factor(module, 'B'), A: factor(module, 'A') }
}

/** What stands before an end of a module's path, its dot included. */
function pathBefore(module: AdapterModule, end: string): string | undefined {
  const name = withoutBaseLayer(module.name)
  return name === end || name.endsWith(`.${end}`) ? name.slice(0, name.length - end.length) : undefined
}

function checkOverlap(pieces: readonly Piece[]): void {
  const ends = new Map<string, Piece[]>()
  for (const one of pieces) {
    const others = ends.get(one.weight.name) ?? []
    ends.set(one.weight.name, [...others, one])
  }
  for (const own of ends.values()) {
    own.sort((a, b) => a.first - b.first)
    for (const [i, one] of own.entries()) {
      const next = own[i + 1]
      if (next !== undefined && next.first < one.first + one.pair.B.rows)
        throw new MismatchError(
          `module ${quoted(next.module.name)} would change rows of ${quoted(one.weight.name)} that ${quoted(one.module.name)} changes already.`,
          placeOf(next.module),
        )
    }
  }
}

function doesNotFit(module: AdapterModule, weight: TensorInfo | undefined, where: string): MismatchError {
  const { A, B } = pairOf(module)
  return new MismatchError(
    `A ${shapeText([A.rows, A.cols])} and B ${shapeText([B.rows, B.cols])} do not fit the base's ${quoted(weight?.name ?? '')} ${shapeText(weight?.shape ?? [])} (${where}). Is it the base that the adapter was trained on?`,
    placeOf(module),
  )
}
