/**
 * Several low-rank updates of one tensor as one, in the ways of PEFT's `add_weighted_adapter` that are not the sum of what each does.
 * `linear`, `ties` and `magnitude_prune` combine factors, not products, so every B meets every A; `svd` cuts the sum to a rank.
 *
 * Law: PEFT 0.21.2 tuners/lora/model.py `_generalized_task_arithmetic_weighted_adapter`, `_svd_generalized_task_arithmetic_weighted_adapter`: with
 * c = weight · scale of each adapter, factors count as sign(c)·√|c|·A and √|c|·B, and the new scale is 1.
 */
import type { FactorsDelta, TruncatedDelta } from '../core/combined-delta.js'
import type { Delta, LoraDelta } from '../core/delta.js'
import { InternalError, MismatchError, quoted, UnsupportedError } from '../core/errors.js'
import type { WeightedFactors } from '../core/factor.js'
import type { MatrixView } from '../core/matrix-view.js'
import type { RowProgram } from '../core/row-program.js'
import { elementCount } from '../core/shape.js'
import type { CombineRule } from './combine-rule.js'
import type { WeightedDelta } from './variants.js'

interface WeightedLora extends WeightedDelta {
  readonly delta: LoraDelta
}

type Loras = readonly [WeightedLora, ...WeightedLora[]]

/** Changes that are no update of weights: those that only one adapter makes stay as they are, whatever becomes of the others. */
const CARRIED_OVER: ReadonlySet<string> = new Set(['replace', 'tokens', 'sum'])

/**
 * Combines the deltas of one tensor, of a merge with several adapters.
 * @param rank  of what `svd` leaves
 * @throws MismatchError, UnsupportedError when they cannot be combined so
 */
export function combined(deltas: readonly WeightedDelta[], rule: CombineRule, rank: number): readonly WeightedDelta[] {
  if (rule.method === 'sum' || (isAlone(deltas) && keepsAll(rule))) return deltas
  return modulesOf(deltas.flatMap(byPieces), rule).flatMap((own) => ofModule(own, rule, rank))
}

function isAlone(deltas: readonly WeightedDelta[]): boolean {
  return deltas.every(({ adapter }) => adapter === deltas[0]?.adapter)
}

/** Whether one update by itself stays what it is. */
function keepsAll(rule: CombineRule): boolean {
  return rule.method === 'linear' || ('pruning' in rule && rule.pruning.density === 1)
}

/** Updates of parts of a fused tensor that lie one under the other, each as the module that it is. */
function byPieces(one: WeightedDelta): readonly WeightedDelta[] {
  const { delta } = one
  const isFused = (delta.variant === 'experts' && delta.lay === undefined) || (delta.variant === 'grouped' && delta.along === 'rows')
  if (!isFused || delta.rows !== undefined || delta.part !== undefined || delta.seenAs !== undefined) return [one]
  const { target, module, rank, scale, keepsTie } = delta
  const change = { target, module, rank, scale, ...(keepsTie === undefined ? {} : { keepsTie }) }
  let first = 0
  return delta.parts.flatMap((part) => {
    const count = 'zeros' in part ? part.zeros : part.B.rows
    const rows = { first, count }
    first += count
    return 'zeros' in part ? [] : [{ ...one, delta: { ...change, variant: 'lora', rows, B: part.B, A: part.A } }]
  })
}

/** Deltas of the same rows of the tensor belong to the same module of all adapters. @throws UnsupportedError when modules overlap */
function modulesOf(deltas: readonly WeightedDelta[], { method }: CombineRule): WeightedDelta[][] {
  const modules = new Map<string, WeightedDelta[]>()
  for (const one of deltas) {
    const key = JSON.stringify([one.delta.rows, one.delta.part])
    const own = modules.get(key)
    if (own === undefined) modules.set(key, [one])
    else own.push(one)
  }
  const groups = [...modules.values()].sort(([a], [b]) => rangeOf(a).first - rangeOf(b).first)
  let widest: readonly WeightedDelta[] = []
  for (const group of groups) {
    const [[one], [other]] = [widest, group]
    if (one !== undefined && other !== undefined && rangeOf(other).first < rangeOf(one).end && !isAlone([...widest, ...group]))
      throw new UnsupportedError(
        `is changed by module ${quoted(one.delta.module)} and, in other rows, by ${quoted(other.delta.module)} of another adapter: --combine ${method} is for modules that are the same in all; use sum.`,
        { tensor: one.delta.target },
      )
    if (one === undefined || rangeOf(other).end > rangeOf(one).end) widest = group
  }
  return groups
}

function rangeOf(one: WeightedDelta | undefined): { first: number; end: number } {
  const rows = one?.delta.rows
  return rows === undefined ? { first: 0, end: Number.POSITIVE_INFINITY } : { first: rows.first, end: rows.first + rows.count }
}

function ofModule(deltas: readonly WeightedDelta[], rule: CombineRule, rank: number): readonly WeightedDelta[] {
  if (isAlone(deltas) && keepsAll(rule)) return deltas
  const carried = isAlone(deltas) ? deltas.filter(({ delta }) => CARRIED_OVER.has(delta.variant)) : []
  if (carried.length === deltas.length) return deltas
  const plain = plainLoras(
    deltas.filter((one) => !carried.includes(one)),
    rule,
  )
  return [...carried, ...(rule.method === 'svd' ? truncated(plain, rank) : ofFactors(plain, rule))]
}

function ofFactors([first, ...others]: Loras, rule: CombineRule): readonly WeightedDelta[] {
  const factorsOf = ({ delta, weight }: WeightedLora): WeightedFactors => {
    if (delta.A.rows !== first.delta.A.rows)
      throw new MismatchError(
        `has ranks ${first.delta.A.rows} and ${delta.A.rows} in the adapters: --combine ${rule.method} adds factors, which needs the same rank; use sum or svd.`,
        { tensor: delta.target },
      )
    const factor = weight * delta.scale
    const root = Math.fround(Math.sqrt(Math.abs(factor)))
    const ofA = factor < 0 ? -root : root // of the adapter's own A
    return { B: delta.B, A: delta.A, ...(delta.turned === true ? { ofB: ofA, ofA: root } : { ofB: root, ofA }) }
  }
  const parts: FactorsDelta['parts'] = [factorsOf(first), ...others.map(factorsOf)]
  const pruning = 'pruning' in rule ? { pruning: rule.pruning } : {}
  return [{ delta: { ...placeOf(first), variant: 'factors', parts, ...pruning }, weight: 1, adapter: first.adapter }]
}

/** A sum that has no more components than are kept is what it is, bit by bit. */
function truncated(deltas: Loras, rank: number): readonly WeightedDelta[] {
  const [first, ...others] = deltas
  const { B, A } = first.delta
  const components = deltas.reduce((sum, { delta }) => sum + delta.A.rows, 0)
  if (rank >= Math.min(components, B.rows, A.cols)) return deltas
  const part = ({ delta, weight }: WeightedLora): WeightedFactors => ({ B: delta.B, A: delta.A, ofB: 1, ofA: Math.fround(weight * delta.scale) })
  const parts: TruncatedDelta['parts'] = [part(first), ...others.map(part)]
  return [{ delta: { ...placeOf(first), variant: 'truncated', rank, parts }, weight: 1, adapter: first.adapter }]
}

/** Where an update goes, and how it lies there. */
function placeOf({ delta }: WeightedLora): Omit<LoraDelta, 'variant' | 'B' | 'A'> {
  const { variant: _, B: __, A: ___, ...place } = delta
  return { ...place, scale: 1 }
}

/** @throws UnsupportedError unless all are plain LoRA of the same form */
function plainLoras(deltas: readonly WeightedDelta[], { method }: CombineRule): Loras {
  const loras = deltas.filter(isLora)
  const [first, ...others] = loras
  const [other] = deltas.filter((one) => !isLora(one))
  const refusal = (what: string): UnsupportedError =>
    new UnsupportedError(`${what}: --combine ${method} is for factors of plain LoRA only, as in PEFT; use sum.`, { tensor: deltas[0]?.delta.target ?? '' })
  const named = ({ module }: Delta): string => `(module ${quoted(module)})`
  if (other !== undefined) throw refusal(`is changed by ${other.delta.variant} ${named(other.delta)}`)
  if (first === undefined) throw new InternalError('nothing is there to combine')
  for (const { delta } of loras) {
    if (delta.rowsOfB !== undefined || delta.rowsOfA !== undefined) throw refusal(`is changed by factors that are scaled row by row ${named(delta)}`)
    if (formOf(delta, first.delta) !== formOf(first.delta, first.delta))
      throw refusal(`has its rows in another order in one adapter than in another ${named(delta)}`)
    if (method !== 'linear' && !(isWhole(delta.B) && isWhole(delta.A))) throw refusal(`takes a part of larger factors ${named(delta)}`)
  }
  return [first, ...others]
}

function isLora(one: WeightedDelta): one is WeightedLora {
  return one.delta.variant === 'lora'
}

/** What must be the same for factors to be added element by element: how their product lies in the tensor. */
function formOf({ seenAs, lay, turned }: LoraDelta, { B, A }: LoraDelta): string {
  const product: RowProgram = { op: 'lowRank', B, A, scale: 1 }
  return JSON.stringify([seenAs, turned, lay === undefined ? product : lay(product)])
}

/** Whether a factor is all of a tensor: which elements are the largest, and what components a product has, depends on all of it. */
function isWhole({ tensor, rows, cols }: MatrixView): boolean {
  return rows * cols === elementCount(tensor.shape)
}
