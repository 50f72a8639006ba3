/**
 * Variants that are `W + something`, as row programs that give the something: one row of a table per variant. Any number of them can be added
 * to one tensor, each with a weight.
 *
 * Law: PEFT 0.21.2 tuners/<type>/layer.py `get_delta_weight`; formulas in docs/adapters.md.
 */
import type { AdditiveDelta, Delta, DeftDelta, GloraDelta, MissDelta, PeanutDelta, RandloraDelta, VbloraDelta } from '../core/delta.js'
import { rowRange, transpose } from '../core/row-maps.js'
import type { MixtureChoice } from '../core/adapter-nodes.js'
import { rowSlice, transposed, type MatrixView } from '../core/matrix-view.js'
import { inRows, programShape, type RowProgram } from '../core/row-program.js'
import { combinedFactors, truncatedSum } from './combined-programs.js'
import { all, asIs, beside, broadcast, factor, identity, lowRank, repeated, scaled, stack, view } from './parts.js'

type Of<V extends Delta['variant']> = Extract<Delta, { variant: V }>

/** What a variant may use. */
export interface Context {
  /** An f32; holds the adapter's weight. */
  readonly scale: number
  /** The tensor that is changed, as the formula sees it. */
  readonly base: RowProgram
  /** Another tensor of the base, by its name, before any adapter. */
  readonly tensor: (name: string) => RowProgram
}

export const ADDITIVE: { readonly [V in AdditiveDelta['variant']]: (delta: Of<V>, context: Context) => RowProgram } = {
  lora: ({ B, A, rowsOfB, rowsOfA, lay = asIs }, { scale }) => {
    const times = (matrix: MatrixView, rows: MatrixView | undefined): RowProgram =>
      rows === undefined ? view(matrix) : { op: 'multiply', left: view(matrix), right: view(rows) }
    const isPlain = rowsOfB === undefined && rowsOfA === undefined
    const product: RowProgram = isPlain ? lowRank({ B, A }, scale) : { op: 'product', B: times(B, rowsOfB), A: times(A, rowsOfA), scale }
    return lay(product)
  },
  sum: ({ value }, { scale }) => scaled(factor(value), scale),
  modulate: ({ by, span }, { scale, base }) => {
    const factors: RowProgram = span === 1 ? view(by) : { op: 'kron', left: view(by), right: all(1, 1, span) }
    return scaled({ op: 'multiply', left: base, right: factors }, scale)
  },
  through: ({ left, right, kernel }, { scale, base }) => {
    const wide = (matrix: MatrixView): RowProgram => (kernel === 1 ? view(matrix) : { op: 'kron', left: view(matrix), right: identity(kernel) })
    return { op: 'product', B: { op: 'product', B: base, A: wide(left), scale: 1 }, A: wide(right), scale }
  },
  loha: ({ left, right }, { scale }) => scaled({ op: 'multiply', left: factor(left), right: factor(right) }, scale),
  lokr: ({ left, right }, { scale }) => {
    const first = factor(left)
    return scaled(stack(right.map((one) => ({ op: 'kron', left: first, right: factor(one) }))), scale)
  },
  experts: ({ parts, lay = asIs }, { scale }) => lay(stack(parts.map((part) => lowRank(part, scale)))),
  grouped: ({ along, parts }, { scale, base }) => {
    const { rows, cols } = programShape(base)
    const programs = parts.map((part) => {
      if ('B' in part) return lowRank(part, scale)
      return along === 'rows' ? all(0, part.zeros, cols) : all(0, rows, part.zeros)
    })
    return along === 'rows' ? stack(programs) : beside(programs)
  },
  grid: ({ blocks }, { scale }) => stack(blocks.map((row) => beside(row.map((block) => lowRank(block, scale))))),
  factors: combinedFactors,
  truncated: truncatedSum,
  hira: ({ B, A }, { scale, base }) => ({ op: 'multiply', left: base, right: lowRank({ B, A }, scale) }),
  delora: ({ B, A, strength, norms }, { scale }) => {
    const least = 1e-4
    const lengths = scaled(repeated(view(strength), A.rows, 1), Math.fround(1 / A.rows))
    const rows: RowProgram = { op: 'rescaleRows', input: view(A), lengths, least }
    const cols: RowProgram = { op: 'rescaleColumns', input: view(B), lengths: all(1, 1, B.cols), least }
    return { op: 'multiply', left: { op: 'product', B: cols, A: rows, scale }, right: view(transposed(norms)) }
  },
  miss,
  bat: ({ blocks }, { scale, base }) => {
    const { cols } = programShape(base)
    const parts = blocks.map((block, i): RowProgram => {
      const rows = rowRange(base, i * block.rows, block.rows)
      const rotated: RowProgram = { op: 'rotateColumns', input: rows, blocks: view(transposed(block)) }
      return { op: 'add', base: rotated, deltas: [repeated(view(block), 1, cols / block.cols)] }
    })
    return scaled(stack(parts), scale)
  },
  sparse: ({ positions, values }, { scale, base }) => ({ op: 'scatter', ...programShape(base), positions, values: scaled(view(values), scale) }),
  circulant: ({ kernels, size }, { scale }) => scaled({ op: 'circulant', input: view(kernels), size }, scale),
  randlora,
  vblora,
  tinylora: ({ B, A, v, P }, { scale }) => {
    const mixed = inRows({ op: 'product', B: view(v), A: view(P), scale: 1 }, { rows: B.cols, cols: A.rows })
    return { op: 'product', B: view(B), A: { op: 'product', B: mixed, A: view(A), scale: 1 }, scale }
  },
  glora,
  deft,
  peanut,
}

function miss({ value }: MissDelta, { scale, base }: Context): RowProgram {
  const { rows, cols } = programShape(base)
  const [down, rest] = [rows / value.rows, cols % value.cols]
  const whole = repeated(view(value), down, (cols - rest) / value.cols)
  return scaled(rest === 0 ? whole : beside([whole, repeated(view({ ...value, cols: rest }), down, 1)]), scale)
}

function randlora({ B, A, lambda, gamma, turned }: RandloraDelta, { scale }: Context): RowProgram {
  const rows = stack(
    Array.from({ length: A.rows }, (_, i): RowProgram => {
      // (lambda · A) · gamma, in this order
      const bases: RowProgram = { op: 'product', B: view(transposed(rowSlice(lambda, i, 1))), A: view(rowSlice(A, i, 1)), scale: 1 }
      return { op: 'multiply', left: bases, right: view(gamma) }
    }),
  )
  return turned ? { op: 'product', B: transpose(rows), A: view(transposed(B)), scale, fused: true } : { op: 'product', B: view(B), A: rows, scale, fused: true }
}

function vblora({ bank, A, B, rank, pieces }: VbloraDelta, { scale }: Context): RowProgram {
  const mixture = (choice: MixtureChoice): RowProgram => ({ op: 'mixture', bank: view(bank), choice })
  const rowsOfA = inRows(mixture(A), { rows: rank, cols: pieces.A * bank.cols })
  const byRank: RowProgram = { op: 'permuteRows', input: mixture(B), shape: [pieces.B, rank], order: [1, 0] }
  return { op: 'product', B: transpose(inRows(byRank, { rows: rank, cols: pieces.B * bank.cols })), A: rowsOfA, scale }
}

function glora({ times, plus, product }: GloraDelta, { scale, base, tensor }: Context): RowProgram {
  const shape = programShape(base)
  const terms: RowProgram[] = []
  if (times !== undefined) terms.push({ op: 'multiply', left: base, right: broadcast(times, shape) })
  if (plus !== undefined) terms.push(broadcast(plus, shape))
  if (product !== undefined) terms.push({ op: 'product', B: tensor(product.weight), A: factor(product.by), scale: 1 })
  const [first = all(0, shape.rows, shape.cols), ...deltas] = terms
  return scaled(deltas.length === 0 ? first : { op: 'add', base: first, deltas }, scale)
}

function deft({ P, R, basis, injection }: DeftDelta, { scale, base }: Context): RowProgram {
  const Q: RowProgram = basis === 'qr' ? { op: 'orthonormal', input: view(P) } : view(P)
  const right: RowProgram = basis === 'qr' ? Q : { op: 'apply', input: Q, function: 'relu' }
  const removed = scaled({ op: 'transposedProduct', left: right, right: base }, -1)
  const injected: RowProgram = R === undefined ? removed : { op: 'add', base: scaled(view(R), Math.fround(injection)), deltas: [removed] }
  return { op: 'product', B: Q, A: injected, scale }
}

function peanut({ B, A, encoders, decoders, activation }: PeanutDelta, { scale, base }: Context): RowProgram {
  const active = (input: RowProgram): RowProgram => ({ op: 'apply', input, function: activation })
  const layers = [active({ op: 'transposedProduct', left: view(transposed(A)), right: base })]
  const through = (matrix: (typeof encoders)[number], input: RowProgram): RowProgram => active({ op: 'product', B: view(matrix), A: input, scale: 1 })
  for (const encoder of encoders) layers.push(through(encoder, layers.at(-1) ?? base))
  let found = layers.pop() ?? base
  for (const decoder of decoders) found = { op: 'add', base: through(decoder, found), deltas: layers.splice(-1) }
  return { op: 'product', B: view(B), A: found, scale }
}
