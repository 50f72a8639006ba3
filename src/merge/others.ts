/**
 * Variants that are no sum: what they make of the tensor before them. One row of a table per variant. They have no weights, and act on a
 * tensor that no other adapter changes.
 *
 * Law: PEFT 0.21.2 tuners/<type>/layer.py `merge`.
 */
import type { Delta } from '../core/delta.js'
import type { DoraDelta, OtherDelta, RoadDelta, Rotation } from '../core/delta-others.js'
import { rowsOf, transposed, type MatrixView } from '../core/matrix-view.js'
import { inRows, programShape, type RowProgram } from '../core/row-program.js'
import { all, view } from './parts.js'

type Of<V extends Delta['variant']> = Extract<Delta, { variant: V }>
export type OtherVariant = OtherDelta['variant']

/** Those that change what the others, and sums, begin with. */
export const FIRST: ReadonlySet<Delta['variant']> = new Set<Delta['variant']>(['replace', 'truncate'])

export const OTHERS: { readonly [V in OtherVariant]: (delta: Of<V>, before: RowProgram) => RowProgram } = {
  replace: ({ tensor }) => view(rowsOf(tensor)),
  truncate: ({ rank }, before) => ({ op: 'dropSmallest', input: before, count: rank }),
  dora,
  magnitude: ({ magnitudes, along, span, plus }, before) => {
    const lengths = view(magnitudes)
    return along === 'rows' ? { op: 'rescaleRows', input: before, lengths, plus } : { op: 'rescaleColumns', input: before, lengths, plus, span }
  },
  rescale: ({ by, spread }, before) => {
    const right: RowProgram = spread === undefined ? view(by) : { op: 'kron', left: view(by), right: all(1, spread.rows, spread.cols) }
    return { op: 'multiply', left: before, right }
  },
  rotate: ({ rotations, factors }, before) => {
    const rotated = rotations.reduce<RowProgram>((input, rotation) => {
      const { columns } = rotation
      return { op: 'rotateColumns', input, blocks: cayley(rotation), ...(columns === undefined ? {} : { columns }) }
    }, before)
    return times(rotated, factors)
  },
  rotateRows: ({ rotation, factors }, before) => times({ op: 'rotateRows', input: before, blocks: cayley(rotation) }, factors),
  reflect: ({ vectors, orthogonal }, before) => ({ op: 'reflectColumns', input: before, vectors: view(vectors), orthogonal }),
  road,
  tokens: ({ ids, values }, before) => ({ op: 'replaceRows', input: before, ids, values: view(rowsOf(values)) }),
}

function cayley({ blocks, size, form, together }: Rotation): RowProgram {
  const node = { op: 'cayley' as const, input: view(blocks), size, form }
  return together === undefined ? node : { ...node, together: { limit: together.limit, blocks: view(together.blocks) } }
}

function times(program: RowProgram, factors: MatrixView | undefined): RowProgram {
  return factors === undefined ? program : { op: 'multiply', left: program, right: view(factors) }
}

function dora({ B, A, scale, magnitude, along, features }: DoraDelta, before: RowProgram): RowProgram {
  const shape = programShape(before)
  const sum: RowProgram = { op: 'add', base: before, deltas: [inRows({ op: 'lowRank', B, A, scale: Math.fround(scale) }, shape)] }
  const lengths = { ...rowsOf(magnitude), rows: features, cols: 1, rowStride: 1 }
  if (along === 'columns') return { op: 'rescaleColumns', input: sum, lengths: view(transposed(lengths)) }
  const byFeature = inRows(sum, { rows: features, cols: (shape.rows * shape.cols) / features })
  return inRows({ op: 'rescaleRows', input: byFeature, lengths: view(lengths) }, shape)
}

function road({ group, first, second, shared }: RoadDelta, before: RowProgram): RowProgram {
  const { rows } = programShape(before)
  const perRow = (values: MatrixView): RowProgram => inRows(shared ? { op: 'kron', left: view(values), right: all(1, 2, 1) } : view(values), { rows, cols: 1 })
  const term = ({ angles, lengths }: RoadDelta['first'], name: 'cos' | 'sin'): RowProgram => ({
    op: 'multiply',
    left: perRow(lengths),
    right: { op: 'apply', input: perRow(angles), function: name },
  })
  return { op: 'rotatePairs', input: before, first: term(first, 'cos'), second: term(second, 'sin'), group }
}
