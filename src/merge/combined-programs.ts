/** Row programs of changes that several adapters make together. */
import type { WeightedInput } from '../core/adapter-nodes.js'
import type { FactorsDelta, TruncatedDelta } from '../core/combined-delta.js'
import type { WeightedFactors } from '../core/factor.js'
import { transpose } from '../core/row-maps.js'
import { transposed, type MatrixView } from '../core/matrix-view.js'
import type { RowProgram } from '../core/row-program.js'
import { asIs, beside, scaled, stack, view } from './parts.js'

/** `(one of all B) · (one of all A)`. */
export function combinedFactors({ parts, pruning, turned, lay = asIs }: FactorsDelta): RowProgram {
  const [first, ...others] = parts
  const side = (matrixOf: (part: WeightedFactors) => MatrixView, weightOf: (part: WeightedFactors) => number): RowProgram => {
    if (pruning === undefined) {
      const term = (part: WeightedFactors): RowProgram => scaled(view(matrixOf(part)), weightOf(part))
      return { op: 'add', base: term(first), deltas: others.map(term) }
    }
    // rows and columns are the adapter's: where elements are equally large, their order decides which are kept
    const input = (part: WeightedFactors): WeightedInput => ({
      input: view(turned === true ? transposed(matrixOf(part)) : matrixOf(part)),
      weight: weightOf(part),
    })
    const sum: RowProgram = { op: 'prunedSum', parts: [input(first), ...others.map(input)], ...pruning }
    return turned === true ? transpose(sum) : sum
  }
  const B = side(
    (part) => part.B,
    ({ ofB }) => ofB,
  )
  const A = side(
    (part) => part.A,
    ({ ofA }) => ofA,
  )
  return lay({ op: 'product', B, A, scale: 1 })
}

/** The sum of all products, which is one product of longer factors, cut to a rank. */
export function truncatedSum({ parts, rank, lay = asIs }: TruncatedDelta): RowProgram {
  const B = beside(parts.map(({ B: matrix, ofB }) => scaled(view(matrix), ofB)))
  const A = stack(parts.map(({ A: matrix, ofA }) => scaled(view(matrix), ofA)))
  return lay({ op: 'truncatedProduct', B, A, rank })
}
