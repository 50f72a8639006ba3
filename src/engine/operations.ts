/** What each node means that the evaluator does not know itself: one row per node. */
import type { RowProgram } from '../core/row-program.js'
import {
  evaluateBecome,
  evaluateBeside,
  evaluateKron,
  evaluateMultiply,
  evaluateProduct,
  evaluateReplaceRows,
  evaluateRescaleColumns,
  evaluateRescaleRows,
  evaluateReshape,
  evaluateScale,
  evaluateStack,
  type Bench,
  type Node,
} from './operations-adapters.js'
import { evaluatePrunedSum, evaluateTruncatedProduct } from './operations-combined.js'
import {
  evaluateCayley,
  evaluateDropSmallest,
  evaluateOrthonormal,
  evaluateReflectColumns,
  evaluateRotateColumns,
  evaluateRotatePairs,
  evaluateRotateRows,
} from './operations-orthogonal.js'
import { evaluatePermuteRows, evaluateSliceRows } from './operations-rows.js'
import { evaluateCirculant, evaluateMixture, evaluateScatter, evaluateTransposedProduct } from './operations-sparse.js'
import { evaluateAddConstant, evaluateApply, evaluateTranspose } from './operations-values.js'

/** Nodes that read stored tensors, or that are the merge itself: src/engine/evaluate.ts. */
type Own = 'read' | 'values' | 'lowRank' | 'add' | 'round' | 'view' | 'gather' | 'fill' | 'codes' | 'blockwise'

type Operation<P extends RowProgram> = (bench: Bench, program: P, first: number, into: Float32Array) => void

const OPERATIONS: { readonly [O in Exclude<RowProgram['op'], Own>]: Operation<Node<O>> } = {
  permuteRows: evaluatePermuteRows,
  sliceRows: evaluateSliceRows,
  transpose: evaluateTranspose,
  addConstant: evaluateAddConstant,
  apply: evaluateApply,
  product: evaluateProduct,
  multiply: evaluateMultiply,
  scale: evaluateScale,
  kron: evaluateKron,
  reshape: evaluateReshape,
  stack: evaluateStack,
  replaceRows: evaluateReplaceRows,
  rescaleRows: evaluateRescaleRows,
  rescaleColumns: evaluateRescaleColumns,
  become: evaluateBecome,
  beside: evaluateBeside,
  rotateColumns: evaluateRotateColumns,
  rotateRows: evaluateRotateRows,
  cayley: evaluateCayley,
  reflectColumns: evaluateReflectColumns,
  rotatePairs: evaluateRotatePairs,
  circulant: evaluateCirculant,
  mixture: evaluateMixture,
  scatter: evaluateScatter,
  transposedProduct: evaluateTransposedProduct,
  orthonormal: evaluateOrthonormal,
  dropSmallest: evaluateDropSmallest,
  prunedSum: evaluatePrunedSum,
  truncatedProduct: evaluateTruncatedProduct,
}

/** Evaluates one node: rows [first, first + into.length / cols) of `program` into `into`. */
export function operationOf<P extends Exclude<RowProgram, { op: Own }>>(program: P): Operation<P> {
  return OPERATIONS[program.op] as unknown as Operation<P> // the table's type says that each row takes its own kind of node
}
