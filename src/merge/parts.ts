/** Row programs that variants are put together of. */
import type { Factor, LowRank, SeenAs } from '../core/factor.js'
import { transpose } from '../core/row-maps.js'
import { transposed, type MatrixView } from '../core/matrix-view.js'
import { inRows, programShape, type RowProgram } from '../core/row-program.js'
import type { RowShape } from '../core/shape.js'

export function view(matrix: MatrixView): RowProgram {
  return { op: 'view', view: matrix }
}

export function lowRank({ B, A }: LowRank, scale = 1): RowProgram {
  return { op: 'lowRank', B, A, scale }
}

export function scaled(input: RowProgram, factor: number): RowProgram {
  return factor === 1 ? input : { op: 'scale', input, factor }
}

/** The same number everywhere. */
export function all(value: number, rows: number, cols: number): RowProgram {
  return { op: 'fill', rows, cols, value }
}

/** Ones on the diagonal, zeros elsewhere. */
export function identity(size: number): RowProgram {
  return { op: 'values', rows: size, cols: size, values: Array.from({ length: size * size }, (_, i) => (i % (size + 1) === 0 ? 1 : 0)) }
}

/** `program` again and again: `down` times one under the other, `across` times side by side. */
export function repeated(program: RowProgram, down: number, across: number): RowProgram {
  return down === 1 && across === 1 ? program : { op: 'kron', left: all(1, down, across), right: program }
}

/** A factor, whatever it is stored as. */
export function factor(one: Factor): RowProgram {
  if ('tensor' in one) return view(one)
  if (!('core' in one)) return lowRank(one)
  const { core, out, inputs } = one
  const inner = core.map((matrix): RowProgram => inRows(lowRank({ B: transposed(inputs), A: matrix }), { rows: 1, cols: inputs.cols * matrix.cols }))
  return { op: 'product', B: view(transposed(out)), A: { op: 'stack', parts: inner }, scale: 1 }
}

/** A factor that may be a column, or one number, that holds for all of a row. */
export function broadcast(one: Factor, { rows, cols }: RowShape): RowProgram {
  const program = factor(one)
  const own = programShape(program)
  return repeated(program, rows / own.rows, cols / own.cols)
}

/** Where it lies already. */
export function asIs(program: RowProgram): RowProgram {
  return program
}

/** Parts one under the other. */
export function stack(parts: readonly RowProgram[]): RowProgram {
  const [only] = parts
  return parts.length === 1 && only !== undefined ? only : { op: 'stack', parts }
}

/** Parts side by side. */
export function beside(parts: readonly RowProgram[]): RowProgram {
  const [only] = parts
  return parts.length === 1 && only !== undefined ? only : { op: 'beside', parts }
}

/** The base as a formula sees it. */
export function seen(base: RowProgram, as: SeenAs | undefined): RowProgram {
  if (as === undefined) return base
  return as.transposed ? transpose(inRows(base, { rows: as.cols, cols: as.rows })) : inRows(base, as)
}

/** What a formula gives, as the base lies. */
export function asStored(program: RowProgram, as: SeenAs | undefined, shape: RowShape): RowProgram {
  return inRows(as?.transposed === true ? transpose(program) : program, shape)
}
