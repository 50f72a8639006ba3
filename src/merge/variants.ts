/** How all deltas of a tensor change it, as one row program: sums first, then what is no sum. Knows no file format. */
import type { AdditiveDelta, Delta } from '../core/delta.js'
import { InternalError, quoted, UnsupportedError } from '../core/errors.js'
import { rowRange } from '../core/row-maps.js'
import { programShape, type RowProgram } from '../core/row-program.js'
import { ADDITIVE, type Context } from './additive.js'
import { FIRST, OTHERS, type OtherVariant } from './others.js'
import { asStored, seen } from './parts.js'

/** A delta with the weight that the user gave its adapter. */
export interface WeightedDelta {
  readonly delta: Delta
  readonly weight: number
  /** Position of its adapter in the plan's list. */
  readonly adapter: number
}

/** The factor that the arithmetic uses: weight · alpha / rank in f64, rounded to f32 once. */
export function effectiveScale(delta: Pick<Delta, 'scale'>, weight: number): number {
  return Math.fround(weight * delta.scale)
}

/**
 * The program of one base tensor with all its deltas, in the order given (the canonical one: combine.ts).
 * @param base    gives the tensor's rows, as the adapter knows them; without deltas it is returned as it is
 * @param tensor  gives other tensors of the base, by the names that adapters know
 * @throws UnsupportedError when a change that is no sum is weighted, or meets another adapter
 */
export function mergedProgram(base: RowProgram, deltas: readonly WeightedDelta[], tensor: Context['tensor'] = unknownTensor): RowProgram {
  const isOfRows = deltas.some(({ delta }) => delta.rows !== undefined)
  return isOfRows ? mergedByRows(base, deltas, tensor) : mergedWhole(base, deltas, (delta, weight, begun) => additive(delta, weight, begun, tensor))
}

/** Changes of some rows each: the base is cut between them, and so is what others add to all of it. */
function mergedByRows(base: RowProgram, deltas: readonly WeightedDelta[], tensor: Context['tensor']): RowProgram {
  const { rows } = programShape(base)
  const whole = deltas.find(({ delta }) => delta.rows === undefined && !isAdditive(delta))
  if (whole !== undefined)
    throw new UnsupportedError(
      `is changed as a whole by ${whole.delta.variant} (module ${quoted(whole.delta.module)}), and another adapter changes parts of it: merge one after the other.`,
      { tensor: whole.delta.target },
    )
  const cuts = [...new Set([0, rows, ...deltas.flatMap(({ delta: { rows: own } }) => (own === undefined ? [] : [own.first, own.first + own.count]))])]
  cuts.sort((a, b) => a - b)
  const parts = cuts.slice(1).map((end, i): RowProgram => {
    const first = cuts[i] ?? 0
    const own = deltas.filter(({ delta: { rows: range } }) => range === undefined || (range.first === first && range.count === end - first))
    return mergedWhole(rowRange(base, first, end - first), own, (delta, weight, begun) =>
      delta.rows === undefined ? rowRange(additive(delta, weight, base, tensor), first, end - first) : additive(delta, weight, begun, tensor),
    )
  })
  const used = deltas.filter(({ delta: { rows: own } }) => own === undefined || cuts[cuts.indexOf(own.first) + 1] === own.first + own.count)
  const [unused] = deltas.filter((one) => !used.includes(one))
  if (unused !== undefined)
    throw new UnsupportedError(`module ${quoted(unused.delta.module)} changes rows that another adapter cuts apart: merge one after the other.`, {
      tensor: unused.delta.target,
    })
  return { op: 'stack', parts }
}

/** @param update  what a sum adds, to a base as the first changes leave it */
function mergedWhole(
  base: RowProgram,
  deltas: readonly WeightedDelta[],
  update: (delta: AdditiveDelta, weight: number, begun: RowProgram) => RowProgram,
): RowProgram {
  if (deltas.length === 0) return base
  const others = deltas.filter(({ delta }) => !isAdditive(delta))
  checkAlone(others, deltas)
  const act = (before: RowProgram, { delta }: WeightedDelta): RowProgram => other(delta, before)
  let program = others.filter(({ delta }) => FIRST.has(delta.variant)).reduce(act, base)
  const begun = program
  const sums = deltas.flatMap(({ delta, weight }) => (isAdditive(delta) ? [update(delta, weight, begun)] : []))
  if (sums.length > 0) program = { op: 'add', base: program, deltas: sums }
  program = others.filter(({ delta }) => !FIRST.has(delta.variant)).reduce(act, program)
  if (others.length === 0 || elements(program) !== elements(base)) return program
  return { op: 'become', base, changed: program }
}

function isAdditive(delta: Delta): delta is AdditiveDelta {
  return delta.variant in ADDITIVE
}

function additive(delta: AdditiveDelta, weight: number, base: RowProgram, tensor: Context['tensor']): RowProgram {
  const row = ADDITIVE[delta.variant] as (delta: AdditiveDelta, context: Context) => RowProgram // each row takes its own kind of delta
  const context = { scale: effectiveScale(delta, weight), base: seen(base, delta.seenAs), tensor }
  const update = row(delta, context)
  const own = delta.part === undefined ? update : rowRange(update, delta.part.first, delta.part.count)
  return asStored(own, delta.seenAs, programShape(base))
}

function other(delta: Delta, before: RowProgram): RowProgram {
  const row = OTHERS[delta.variant as OtherVariant] as (delta: Delta, before: RowProgram) => RowProgram // the same
  const program = row(delta, seen(before, delta.seenAs))
  return delta.seenAs === undefined ? program : asStored(program, delta.seenAs, programShape(before))
}

/** Sums commute and have weights; everything else is trained for exactly this base. */
function checkAlone(others: readonly WeightedDelta[], deltas: readonly WeightedDelta[]): void {
  for (const { delta, weight, adapter } of others) {
    const place = { tensor: delta.target }
    if (weight !== 1)
      throw new UnsupportedError(
        `is changed by ${delta.variant} (module ${quoted(delta.module)}), which is no sum and cannot have weight ${weight}: use weight 1.`,
        place,
      )
    if (deltas.some((one) => one.adapter !== adapter))
      throw new UnsupportedError(
        `is changed by several adapters, one of them by ${delta.variant}, which is no sum: merge one after the other, in the order wanted.`,
        place,
      )
  }
}

function unknownTensor(name: string): RowProgram {
  throw new InternalError('a delta needs another tensor of the base, and none is given', { tensor: name })
}

function elements(program: RowProgram): number {
  const { rows, cols } = programShape(program)
  return rows * cols
}
