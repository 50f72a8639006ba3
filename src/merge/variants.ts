/** How each kind of delta changes a tensor, as row programs: one row of a table per variant. Knows no file format. */
import type { AdditiveDelta, Delta, LowRank, WeightedFactors } from '../core/delta.js'
import { quoted, UnsupportedError } from '../core/errors.js'
import { rowRange } from '../core/row-maps.js'
import { inRows, programShape, rowsOf, transposed, type MatrixView, type RowProgram } from '../core/row-program.js'
import { elementCount } from '../core/shape.js'

/** A delta with the weight that the user gave its adapter. */
export interface WeightedDelta {
  readonly delta: Delta
  readonly weight: number
  /** Position of its adapter in the plan's list. */
  readonly adapter: number
}

type Of<V extends Delta['variant']> = Extract<Delta, { variant: V }>
type OtherVariant = Exclude<Delta['variant'], AdditiveDelta['variant']>

/** Variants that are `W + something`: the program gives the something, its elements in W's order. `scale` is an f32 and holds the weight. */
const ADDITIVE: { readonly [V in AdditiveDelta['variant']]: (delta: Of<V>, scale: number, base: RowProgram) => RowProgram } = {
  lora: ({ B, A, rowsOfB, rowsOfA, rowOrders = [] }, scale) => {
    const isPlain = rowsOfB === undefined && rowsOfA === undefined
    const product: RowProgram = isPlain ? { op: 'lowRank', B, A, scale } : { op: 'product', B: withFactors(B, rowsOfB), A: withFactors(A, rowsOfA), scale }
    return rowOrders.reduce<RowProgram>((input, { shape, order }) => ({ op: 'permuteRows', input, shape, order }), product)
  },
  sum: ({ value }, scale) => scaled(view(value), scale),
  loha: ({ left, right }, scale) => scaled({ op: 'multiply', left: lowRank(left), right: lowRank(right) }, scale),
  lokr: ({ left, right }, scale) => scaled({ op: 'kron', left: matrix(left), right: matrix(right) }, scale),
  experts: ({ parts }, scale) => ({ op: 'stack', parts: parts.map(({ B, A }) => ({ op: 'lowRank', B, A, scale })) }),
  grouped: ({ along, parts }, scale, base) => {
    const { rows, cols } = programShape(base)
    return {
      op: along === 'rows' ? 'stack' : 'beside',
      parts: parts.map((part): RowProgram => {
        if ('B' in part) return { op: 'lowRank', ...part, scale }
        return { op: 'fill', rows: along === 'rows' ? part.zeros : rows, cols: along === 'rows' ? cols : part.zeros, value: 0 }
      }),
    }
  },
  linear: ({ parts }, scale) => {
    const [first, ...others] = parts
    const sum = (term: (part: WeightedFactors) => RowProgram): RowProgram => ({ op: 'add', base: term(first), deltas: others.map(term) })
    return { op: 'product', B: sum(({ B, ofB }) => scaled(view(B), ofB)), A: sum(({ A, ofA }) => scaled(view(A), ofA)), scale }
  },
  hira: ({ B, A }, scale, base) => ({ op: 'multiply', left: base, right: { op: 'lowRank', B, A, scale } }),
  delora: ({ B, A, strength, norms }, scale) => {
    const ones = (rows: number, cols: number): RowProgram => ({ op: 'values', rows, cols, values: Array.from({ length: rows * cols }, () => 1) })
    const lengths = scaled({ op: 'kron', left: ones(A.rows, 1), right: view(strength) }, Math.fround(1 / A.rows))
    const rows: RowProgram = { op: 'rescaleRows', input: view(A), lengths }
    const cols: RowProgram = { op: 'rescaleColumns', input: view(B), lengths: ones(1, B.cols) }
    return { op: 'multiply', left: { op: 'product', B: cols, A: rows, scale }, right: view(transposed(norms)) }
  },
  miss: ({ value }, scale, base) => {
    const times = programShape(base).cols / value.cols
    return scaled({ op: 'kron', left: { op: 'values', rows: 1, cols: times, values: Array.from({ length: times }, () => 1) }, right: view(value) }, scale)
  },
}

/** Variants that are no sum: what they make of the tensor before them. In the order in which they act. */
const OTHERS: { readonly [V in OtherVariant]: (delta: Of<V>, before: RowProgram) => RowProgram } = {
  replace: ({ tensor }) => view(rowsOf(tensor)),
  dora: ({ B, A, scale, magnitude, along, features }, before) => {
    const shape = programShape(before)
    const sum: RowProgram = { op: 'add', base: before, deltas: [inRows({ op: 'lowRank', B, A, scale: Math.fround(scale) }, shape)] }
    const lengths = { ...rowsOf(magnitude), rows: features, cols: 1, rowStride: 1 }
    if (along === 'columns') return { op: 'rescaleColumns', input: sum, lengths: view(transposed(lengths)) }
    const byFeature = inRows(sum, { rows: features, cols: (shape.rows * shape.cols) / features })
    return inRows({ op: 'rescaleRows', input: byFeature, lengths: view(lengths) }, shape)
  },
  rescale: ({ by }, before) => ({ op: 'multiply', left: before, right: view(by) }),
  tokens: ({ ids, values }, before) => ({ op: 'replaceRows', input: before, ids, values: view(rowsOf(values)) }),
}

/** The factor that the arithmetic uses: weight · alpha / rank in f64, rounded to f32 once. */
export function effectiveScale(delta: Pick<Delta, 'scale'>, weight: number): number {
  return Math.fround(weight * delta.scale)
}

/**
 * The program of one base tensor with all its deltas, in the order given (the canonical one: combine.ts).
 * @param base  gives the tensor's rows, as the adapter knows them; without deltas it is returned as it is
 * @throws UnsupportedError when a change that is no sum is weighted, or meets another adapter
 */
export function mergedProgram(base: RowProgram, deltas: readonly WeightedDelta[]): RowProgram {
  const ofRows = deltas.filter(({ delta }) => delta.rows !== undefined)
  if (ofRows.length === 0) return mergedWhole(base, deltas)
  return mergedByRows(
    mergedWhole(
      base,
      deltas.filter((one) => !ofRows.includes(one)),
    ),
    ofRows,
  )
}

/** Changes of some rows each: the base is cut between them. */
function mergedByRows(base: RowProgram, deltas: readonly WeightedDelta[]): RowProgram {
  const { rows } = programShape(base)
  const cuts = [...new Set([0, rows, ...deltas.flatMap(({ delta: { rows: own } }) => (own === undefined ? [] : [own.first, own.first + own.count]))])]
  cuts.sort((a, b) => a - b)
  const parts = cuts.slice(1).map((end, i): RowProgram => {
    const first = cuts[i] ?? 0
    const own = deltas.filter(({ delta }) => delta.rows?.first === first && delta.rows.count === end - first)
    return mergedWhole(rowRange(base, first, end - first), own)
  })
  const used = deltas.filter(({ delta: { rows: own } }) => own !== undefined && cuts[cuts.indexOf(own.first) + 1] === own.first + own.count)
  const [unused] = deltas.filter((one) => !used.includes(one))
  if (unused !== undefined)
    throw new UnsupportedError(`module ${quoted(unused.delta.module)} changes rows that another adapter cuts apart: merge one after the other.`, {
      tensor: unused.delta.target,
    })
  return { op: 'stack', parts }
}

function mergedWhole(base: RowProgram, deltas: readonly WeightedDelta[]): RowProgram {
  if (deltas.length === 0) return base
  const others = deltas.filter(({ delta }) => !isAdditive(delta))
  checkAlone(others, deltas)
  const replacement = others.find(({ delta }) => delta.variant === 'replace')
  let program = replacement === undefined ? base : other(replacement.delta, base)
  const sums = deltas.flatMap(({ delta, weight }) => (isAdditive(delta) ? [additive(delta, weight, program)] : []))
  if (sums.length > 0) program = { op: 'add', base: program, deltas: sums }
  for (const one of others) if (one !== replacement) program = other(one.delta, program)
  if (others.length === 0 || elements(program) !== elements(base)) return program
  return { op: 'become', base, changed: program }
}

function isAdditive(delta: Delta): delta is AdditiveDelta {
  return delta.variant in ADDITIVE
}

function additive(delta: AdditiveDelta, weight: number, base: RowProgram): RowProgram {
  const row = ADDITIVE[delta.variant] as (delta: AdditiveDelta, scale: number, base: RowProgram) => RowProgram // each row takes its own kind of delta
  return inRows(row(delta, effectiveScale(delta, weight), base), programShape(base))
}

function other(delta: Delta, before: RowProgram): RowProgram {
  const row = OTHERS[delta.variant as OtherVariant] as (delta: Delta, before: RowProgram) => RowProgram // the same
  return row(delta, before)
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

function view(matrix: MatrixView): RowProgram {
  return { op: 'view', view: matrix }
}

function lowRank({ B, A }: LowRank): RowProgram {
  return { op: 'lowRank', B, A, scale: 1 }
}

function matrix(one: LowRank | MatrixView): RowProgram {
  return 'tensor' in one ? view(one) : lowRank(one)
}

function withFactors(rows: MatrixView, factors: MatrixView | undefined): RowProgram {
  return factors === undefined ? view(rows) : { op: 'multiply', left: view(rows), right: view(factors) }
}

function scaled(input: RowProgram, factor: number): RowProgram {
  return factor === 1 ? input : { op: 'scale', input, factor }
}

function elements(program: RowProgram): number {
  const { rows, cols } = programShape(program)
  return elementCount([rows, cols])
}
